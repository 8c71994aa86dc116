"""The admin pages of accounts: users, roles, sessions, API tokens, the audit trail.

Every change leaves its audit row: of `accounts.services`, or of `TellingAdmin`.
"""

from typing import Any

from axes.models import AccessAttempt
from django import forms
from django.contrib import admin, messages
from django.contrib.auth import admin as auth_admin  # noqa: F401 - it registers Group, see below
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from accounts import errors, mfa, services
from accounts.admin_deletion import AsksAboutFiles
from accounts.admin_grants import LinksToModels
from accounts.admin_links import MakesPasswordLinks
from accounts.adminbase import ROLE_FILTER, ReadOnlyAdmin, TellingAdmin, actor_of
from accounts.adminforms import AsRoleField, PermissionsField, TeamsField, capability_permissions
from accounts.audit import audit
from accounts.login import client_ip
from accounts.models import ApiToken, AuditEntry, IpRule, Role, Session, User

# Django's page for groups would show roles as well; TeamAdmin replaces it.
admin.site.unregister(Group)


class AddUserForm(forms.ModelForm):
    """A new account: name, role, password."""

    password = forms.CharField(widget=forms.PasswordInput, strip=False)

    class Meta:
        model = User
        fields = ("username", "role")

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        try:
            services.check_password_strength(password, self.instance)
        except errors.BadRequest as error:
            raise ValidationError(error.message) from None
        return password


class PasswordForm(SetPasswordForm):
    """A new password, twice."""

    keep_tokens = forms.BooleanField(
        required=False,
        label="Keep API tokens",
        help_text="Otherwise they are removed, and apps and scripts need new ones.",
    )


class ChangeUserForm(forms.ModelForm):
    """An account as an admin edits it. The password has its own page."""

    keep_tokens = forms.BooleanField(
        required=False,
        label="Keep API tokens",
        help_text="Switching an account off removes them otherwise. They never work while it is.",
    )

    mfa_required = AsRoleField(required=False, label="Must have a second factor")
    sfw_enforced = AsRoleField(required=False, label="Is kept from explicit images")
    groups = TeamsField(
        required=False, label="Teams", help_text="What a team was given, each of its members has."
    )
    user_permissions = PermissionsField(
        capability_permissions(),
        required=False,
        label="Capabilities beside the role's",
        help_text="For this user alone. What the role allows need not be ticked.",
    )

    class Meta:
        model = User
        fields = (
            "username",
            "email",
            "role",
            "is_active",
            "mfa_required",
            "sfw_enforced",
            "groups",
            "user_permissions",
        )


@admin.register(User)
class UserAdmin(LinksToModels, MakesPasswordLinks, AsksAboutFiles):
    purpose = "Everybody who can log in, what they are, and when they were last here."
    list_display = (
        "username",
        "role",
        "is_active",
        "has_second_factor",
        "last_login",
        "date_joined",
    )
    list_filter = ("role", "is_active")
    list_select_related = ("role",)
    search_fields = ("username", "email")
    readonly_fields = ("password_set", "namespace", "shared", "last_login", "date_joined")
    actions = ("delete_selected", "log_out_everywhere", "reset_second_factor", "unlock")
    form = ChangeUserForm
    told_by_service = frozenset({"role", "is_active"})
    adds_by_service = True

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        if lookup == ROLE_FILTER:
            return True
        # `?password__startswith=` would tell a hash letter by letter.
        return not lookup.startswith("password") and super().lookup_allowed(lookup, value, request)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        # Who does not administrate everything would give away, or take, what they lack.
        actor = actor_of(request)
        single = () if actor.is_superuser else ("user_permissions",)
        # Nobody excepts themselves from the second factor.
        own = ("mfa_required",) if obj == actor else ()
        return (*self.readonly_fields, *single, *own)

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None:
            kwargs["form"] = AddUserForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("username", "password", "role")}),)
        return (
            (None, {"fields": ("username", "password_set", "email", "role")}),
            (None, {"fields": (("is_active", "keep_tokens"),)}),
            ("Overrides of the role", {"fields": ("mfa_required", "sfw_enforced")}),
            ("Teams and single capabilities", {"fields": ("groups", "user_permissions")}),
            ("About", {"fields": self.readonly_fields[1:]}),
        )

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.password_view)
        return [path("<id>/password/", view, name="accounts_user_password"), *super().get_urls()]

    def password_view(self, request: HttpRequest, id: str) -> HttpResponse:
        """Set a password; ends every session of that account."""
        user = self.get_object(request, id)
        if user is None or not self.has_change_permission(request, user):
            raise PermissionDenied
        if user.pk == actor_of(request).pk:
            # There the present password is asked for.
            return redirect("/account")
        form = PasswordForm(user, request.POST or None)
        if request.method == "POST" and form.is_valid():
            password = form.cleaned_data["new_password1"]
            try:
                services.set_password(
                    user,
                    password,
                    actor=actor_of(request),
                    ip=client_ip(request),
                    keep_tokens=form.cleaned_data["keep_tokens"],
                )
            except errors.GatewayError as error:
                form.add_error("new_password1", error.message)
            else:
                self.message_user(request, "The password is set; all sessions have ended.")
                return redirect("admin:accounts_user_change", user.pk)
        return self.own_page(
            request,
            "admin/set_password.html",
            {"title": f"Set the password of {user}", "form": form},
            purpose="All sessions of this account end.",
        )

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "role":
            # The owner's role stays on offer for the owner's own page only.
            kwargs["queryset"] = Role.objects.filter(rank__lte=actor_of(request).role.rank)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description="password")
    def password_set(self, user: User) -> str:
        state = "There is one." if user.has_usable_password() else "There is none."
        url = reverse("admin:accounts_user_password", args=[user.pk])
        return format_html('{} <a href="{}">Set another one</a>', state, url)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or services.may_manage(actor_of(request), obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        if obj is None:
            return allowed
        return allowed and not obj.is_owner and services.may_manage(actor_of(request), obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        actor, ip = actor_of(request), client_ip(request)
        if not change:
            created = services.create_user(
                username=obj.username,
                password=form.cleaned_data["password"],
                role=obj.role_id,
                actor=actor,
                ip=ip,
            )
            obj.pk, obj._state.adding = created.pk, False
            return
        wanted_role, wanted_active = obj.role, obj.is_active
        before = User.objects.select_related("role").get(pk=obj.pk)
        obj.role, obj.is_active = before.role, before.is_active
        super().save_model(request, obj, form, change)
        services.set_role(obj, wanted_role, actor=actor, ip=ip)
        keep = form.cleaned_data["keep_tokens"]
        services.set_active(obj, wanted_active, actor=actor, ip=ip, keep_tokens=keep)

    @admin.action(description="Unlock after wrong passwords", permissions=["change"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset.select_related("role"):
            if services.may_manage(actor_of(request), user):
                services.unlock(
                    username=user.username, actor=actor_of(request), ip=client_ip(request)
                )
        self.message_user(request, "They may try again at once, from addresses not locked.")

    @admin.display(description="second factor", boolean=True)
    def has_second_factor(self, user: User) -> bool:
        return mfa.is_enrolled(user)

    @admin.action(description="Reset the second factor", permissions=["change"])
    def reset_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """For who lost it. Their sessions and API tokens end."""
        for user in queryset.select_related("role"):
            try:
                mfa.reset(user, actor=actor_of(request), ip=client_ip(request))
            except errors.GatewayError as error:
                self.message_user(request, f"{user}: {error.message}", messages.ERROR)
            else:
                self.message_user(request, f"{user} logs in without a second factor next.")

    @admin.action(description="Log out everywhere", permissions=["change"])
    def log_out_everywhere(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        ended = 0
        for user in queryset.select_related("role"):
            if services.may_manage(actor_of(request), user):
                ended += services.end_all_sessions(
                    user, actor=actor_of(request), ip=client_ip(request)
                )
        self.message_user(request, f"Ended {ended} sessions.")


@admin.register(Role)
class RoleAdmin(LinksToModels):
    purpose = (
        "What a kind of user may do. Each user has one role; nobody manages a user whose role "
        "ranks above their own."
    )
    events = ("role.created", "role.changed", "role.deleted")
    list_display = ("title", "slug", "rank", "is_staff", "mfa_required", "sfw_enforced")
    fields = (
        "title",
        "slug",
        "rank",
        "is_staff",
        "mfa_required",
        "sfw_enforced",
        "max_waiting_prompts",
        "max_prompt_bytes",
        "blocked_node_classes",
        "permissions",
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Role | None = None) -> Any:
        return () if obj is None else ("slug",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and actor_of(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        actor = actor_of(request)
        may = actor.is_superuser if obj is None else services.may_shape(actor, obj)
        return super().has_change_permission(request, obj) and may

    def has_delete_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        return self.has_change_permission(request, obj) and (obj is None or not obj.users.exists())

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "permissions":
            return PermissionsField(Permission.objects.all(), required=False, label="May")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Role, form: Any, change: bool) -> None:
        if obj.rank > actor_of(request).role.rank:
            raise PermissionDenied
        super().save_model(request, obj, form, change)

    def tell(self, request: HttpRequest, event: str, obj: Any, **details: Any) -> None:
        super().tell(request, event, obj, role=obj.slug, **details)


@admin.register(Group)
class TeamAdmin(LinksToModels):
    """Plain groups. They carry model grants; capabilities are the roles' business."""

    purpose = "Groups of users that models are given to together. What one may do is the role's."
    empty_text = "Make one for people who use the same models, then add them on their pages."
    fields = ("name",)
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).filter(role=None)


class BelongsToUserAdmin(ReadOnlyAdmin):
    """Rows of a user, which only who may manage that user may delete."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or services.may_manage(actor_of(request), obj.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset.select_related("user__role"):
            if services.may_manage(actor_of(request), row.user):
                self.delete_model(request, row)


@admin.register(Session)
class SessionAdmin(BelongsToUserAdmin):
    purpose = "Logins, each in one browser or app. Deleting one logs that browser out at once."
    empty_text = "Nobody has logged in yet."
    list_display = ("user", "created_at", "last_used_at", "expires_at", "revoked_at", "ip")
    list_select_related = ("user",)
    search_fields = ("user__username", "ip")

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        services.end_session(obj, actor=actor_of(request), ip=client_ip(request))


@admin.register(ApiToken)
class ApiTokenAdmin(BelongsToUserAdmin):
    purpose = (
        "Tokens of apps and scripts. They are made by their users; deleting one ends its access "
        "at once."
    )
    empty_text = "Users make tokens on their account page, or apps do with name and password."
    list_display = (
        "token_hash_prefix",
        "user",
        "label",
        "created_at",
        "last_used_at",
        "expires_at",
    )
    list_select_related = ("user",)
    search_fields = ("user__username", "label")
    fields = (
        "token_hash_prefix",
        "user",
        "label",
        "scopes",
        "networks",
        "in_path",
        "created_at",
        "expires_at",
        "last_used_at",
        "last_used_ip",
    )

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        services.revoke_api_token(obj, actor=actor_of(request), ip=client_ip(request))


class IpRuleForm(forms.ModelForm):
    """A rule, and the word for one that shuts out the address it is made from."""

    confirm = forms.BooleanField(
        required=False, help_text="Needed if this shuts out the address you come from."
    )

    class Meta:
        model = IpRule
        fields = ("kind", "network", "expires_at", "note")


@admin.register(IpRule)
class IpRuleAdmin(TellingAdmin):
    purpose = (
        "Networks that may come in, or may not. As soon as one is allowed, all others are shut out."
    )
    empty_text = "Everybody may come in from everywhere."
    list_display = ("network", "kind", "expires_at", "note")
    list_filter = ("kind",)
    form = IpRuleForm
    events = ("ip_rules.changed",) * 3
    # Deleted one by one: each is checked for shutting out who deletes it.
    actions = None

    def save_model(self, request: HttpRequest, obj: IpRule, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        services.require_way_in(client_ip(request), confirm=form.cleaned_data["confirm"])

    def delete_model(self, request: HttpRequest, obj: IpRule) -> None:
        super().delete_model(request, obj)
        services.require_way_in(client_ip(request), confirm=False)


@admin.register(AccessAttempt)
class FailedLoginAdmin(ReadOnlyAdmin):
    """Wrong passwords and codes by name and address. Deleting a row forgets these failures."""

    purpose = (
        "Wrong passwords and codes, by name and address. Deleting a row forgets them, and lets "
        "in again who was locked out."
    )
    empty_text = "No wrong password was given lately."
    list_display = ("attempt_time", "username", "ip_address", "failures_since_start")
    search_fields = ("username", "ip_address")
    fields = list_display

    def delete_model(self, request: HttpRequest, obj: AccessAttempt) -> None:
        audit(
            "unlocked",
            actor=actor_of(request),
            ip=client_ip(request),
            username=obj.username,
            address=obj.ip_address,
        )
        obj.delete()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AccessAttempt]) -> None:
        for row in queryset:
            self.delete_model(request, row)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    purpose = "What was done, by whom, to whom, and from where. Nobody can change it."
    empty_text = "Nothing was done yet."
    list_display = ("at", "event", "actor_name", "subject_name", "ip", "what")
    list_filter = ("event",)
    # `in_details`: also a name that was tried and belongs to nobody.
    search_fields = ("actor_name", "subject_name", "event", "ip", "in_details")
    date_hierarchy = "at"
    fields = ("at", "event", "actor_name", "actor", "subject_name", "subject", "ip", "what")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return super().get_queryset(request).annotate(in_details=Cast("details", TextField()))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="details")
    def what(self, obj: AuditEntry) -> str:
        return format_html_join(mark_safe("<br>"), "{}", ((line,) for line in lines_of(obj)))


def lines_of(entry: AuditEntry) -> list[str]:
    """An audit entry's details as a person reads them."""
    details = dict(entry.details)
    changes = dict(details.pop("changes", {}))
    if "before" in details and "after" in details:
        changes[""] = {name: details.pop(name) for name in ("before", "after")}
    lines = [f"{name.replace('_', ' ')}: {_text(value)}" for name, value in details.items()]
    for name, change in changes.items():
        label = f"{name.replace('_', ' ')}: " if name else ""
        lines.append(f"{label}{_text(change.get('before'))} → {_text(change.get('after'))}")
    return lines


def _text(value: Any) -> str:
    match value:
        case None | "" | []:
            return "(none)"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
