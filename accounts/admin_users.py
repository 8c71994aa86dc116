"""The admin's pages of users: who there is, one of them, what is done with several.

`mssproject.admin` registers it, with the columns and tabs of the other apps.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.db.models import (
    Count,
    DateTimeField,
    IntegerField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce, Greatest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from accounts import errors, holders, mfa, ranks, services, sheets
from accounts.admin_deletion import AsksAboutFiles
from accounts.admin_grants import LinksToModels, may_share
from accounts.admin_links import MakesPasswordLinks
from accounts.admin_useractions import ActsOnUsers
from accounts.admin_userforms import AddUserForm, ChangeUserForm, PasswordForm
from accounts.admin_usertabs import TABS, Tab
from accounts.adminbase import ROLE_FILTER, Tool, actor_of
from accounts.audit import audit
from accounts.login import client_ip
from accounts.models import AccountLink, ApiToken, Role, Session, User
from accounts.templatetags.mss_times import ago

MAX_EXPORTED = 50_000
# Stands for the last use of who never came.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class SecondFactorFilter(admin.SimpleListFilter):
    """Whether a user has a second factor."""

    title = "second factor"
    parameter_name = "factor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("yes", "Has one"), ("no", "Has none"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        match self.value():
            case "yes":
                return queryset.filter(mfa.enrolled())
            case "no":
                return queryset.exclude(mfa.enrolled())
        return queryset


class TeamFilter(admin.SimpleListFilter):
    """In which team a user is."""

    title = "team"
    parameter_name = "team"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return list(holders.teams().order_by("name").values_list("pk", "name"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        value = self.value()
        return queryset.filter(groups=int(value)) if value and value.isdecimal() else queryset


class UserAdmin(ActsOnUsers, LinksToModels, MakesPasswordLinks, AsksAboutFiles):
    purpose = "Everybody who can log in, what they are, and when they were last here."
    list_display: tuple[str, ...] = (
        "username",
        "role",
        "state",
        "last_seen",
        "has_second_factor",
        "token_count",
        "date_joined",
    )
    list_filter = ("role", "is_active", SecondFactorFilter, TeamFilter, "last_login")
    list_select_related = ("role",)
    search_fields = ("username", "email")
    readonly_fields = ("password_set", "namespace", "shared", "last_login", "date_joined")
    actions = (
        "disable",
        "enable",
        "log_out_everywhere",
        "change_role",
        "require_new_password",
        "reset_second_factor",
        "unlock",
        "delete_selected",
    )
    form = ChangeUserForm
    told_by_service = frozenset({"role", "is_active"})
    adds_by_service = True
    # Beside the account itself.
    tabs: ClassVar[Sequence[Tab]] = TABS

    # --- the list ---------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """With what the columns of the list tell."""
        used = Session.objects.filter(user=OuterRef("pk")).order_by().values("user")
        came = ApiToken.objects.filter(user=OuterRef("pk")).order_by().values("user")
        live = came.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        # Each stands in the statement once: what refers to it would have it worked out again.
        by_session = Subquery(used.annotate(last=Max("last_used_at")).values("last"))
        by_token = Subquery(came.annotate(last=Max("last_used_at")).values("last"))
        never = Value(NEVER, output_field=DateTimeField())
        number = Subquery(live.annotate(n=Count("pk")).values("n"))
        rows = super().get_queryset(request).select_related("role")
        return rows.annotate(
            seen=Greatest(Coalesce(by_session, never), Coalesce(by_token, never)),
            tokens=Coalesce(number, 0, output_field=IntegerField()),
            enrolled=mfa.enrolled(),
        )

    @display(
        description="state",
        ordering="-is_active",
        label={"active": "success", "disabled": "danger", "shared": "info"},
    )
    def state(self, user: User) -> str:
        if not user.is_active:
            return "disabled"
        return "shared" if user.shared else "active"

    @admin.display(description="last seen", ordering="seen")
    def last_seen(self, user: Any) -> str:
        return ago(None if user.seen == NEVER else user.seen)

    @admin.display(description="2nd factor", boolean=True, ordering="enrolled")
    def has_second_factor(self, user: Any) -> bool:
        return bool(user.enrolled)

    @admin.display(description="tokens", ordering="tokens")
    def token_count(self, user: Any) -> int:
        return int(user.tokens)

    def list_tools(self, request: HttpRequest) -> Sequence[Tool]:
        tools = [Tool("CSV", self._export_url(request), title="Export what the list shows")]
        invites = self.admin_site.get_model_admin(AccountLink)
        if invites.has_add_permission(request):
            url = reverse("admin:accounts_accountlink_add")
            return [Tool("Invite somebody", url), *tools]
        return tools

    def _export_url(self, request: HttpRequest) -> str:
        query = f"?{request.GET.urlencode()}" if request.GET else ""
        return reverse("admin:accounts_user_export") + query

    # What each line of the export holds, by its name.
    exported: ClassVar[dict[str, Callable[[Any], str]]] = {
        "username": lambda user: user.username,
        "email": lambda user: user.email,
        "role": lambda user: user.role_id,
        "state": lambda user: "active" if user.is_active else "disabled",
        "last_seen": lambda user: "" if user.seen == NEVER else user.seen.isoformat(),
        "second_factor": lambda user: "yes" if user.enrolled else "no",
        "tokens": lambda user: str(user.tokens),
        "joined": lambda user: user.date_joined.isoformat(),
    }

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """The users that the list shows with the same filters, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return redirect(f"../?{ERROR_FLAG}=1")
        rows = found[:MAX_EXPORTED].iterator(chunk_size=2000)
        lines = ([text(user) for text in self.exported.values()] for user in rows)
        answer = HttpResponse(sheets.to_csv(self.exported, lines), content_type="text/csv")
        answer["Content-Disposition"] = 'attachment; filename="users.csv"'
        audit("users.exported", actor=actor_of(request), ip=client_ip(request))
        return answer

    # --- one user ---------------------------------------------------------------------------

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        if lookup == ROLE_FILTER:
            return True
        # `?password__startswith=` would tell a hash letter by letter.
        return not lookup.startswith("password") and super().lookup_allowed(lookup, value, request)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        # Who does not administrate everything would give away, or take, what they lack.
        actor = actor_of(request)
        single = () if actor.is_superuser else ("user_permissions",)
        # Who is in a team has its models: putting somebody in is giving them.
        teams = () if may_share(request) else ("groups",)
        # Nobody excepts themselves from the second factor, nor from what is kept from them.
        own = ("mfa_required",) if obj == actor else ()
        own = (*own, "sfw_enforced") if obj == actor and not actor.is_superuser else own
        return (*self.readonly_fields, *single, *teams, *own)

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
        view = self.admin_site.admin_view
        return [
            path("export.csv", view(self.export_view), name="accounts_user_export"),
            path("<id>/password/", view(self.password_view), name="accounts_user_password"),
            path("<id>/about/<slug:slug>/", view(self.tab_view), name="accounts_user_tab"),
            *super().get_urls(),
        ]

    def tab_view(self, request: HttpRequest, id: str, slug: str) -> HttpResponse:
        """What there is of one kind of things of a user."""
        user = self.get_object(request, id)
        tab = next((tab for tab in self.tabs if tab.slug == slug), None)
        if user is None or tab is None:
            raise Http404
        if not self.has_view_permission(request, user) or not tab.is_shown(request):
            raise PermissionDenied
        context = {
            "title": f"{user}: {tab.title}",
            "holder": user,
            "original": user,
            "tabs": self._tabs(request, user, tab),
            **tab.context(request, user),
        }
        tools = self.object_tools(request, user)
        return self.own_page(request, tab.template, context, purpose=tab.purpose, tools=tools)

    def _tabs(self, request: HttpRequest, user: User, here: Tab | None) -> list[dict[str, Any]]:
        account = reverse("admin:accounts_user_change", args=[user.pk])
        return [
            {"title": "Account", "url": account, "is_here": here is None},
            *(
                {
                    "title": tab.title,
                    "url": reverse("admin:accounts_user_tab", args=[user.pk, tab.slug]),
                    "is_here": tab is here,
                }
                for tab in self.tabs
                if tab.is_shown(request)
            ),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        user = context.get("original")
        if user is not None:
            context |= {"tabs": self._tabs(request, user, None), "purpose": ""}
        return super().render_change_form(request, context, *args, **kwargs)

    def object_tools(self, request: HttpRequest, obj: User) -> Sequence[Tool]:
        tools = list(super().object_tools(request, obj))
        if obj != actor_of(request) and self.has_change_permission(request, obj):
            # The same that the list does with several.
            url = reverse("admin:accounts_user_changelist")
            for action, text in (
                ("log_out_everywhere", "Log out everywhere"),
                ("reset_second_factor", "Reset second factor"),
            ):
                fields = {"action": action, helpers.ACTION_CHECKBOX_NAME: str(obj.pk), "index": "0"}
                tools.append(Tool(text, url, is_post=True, fields=fields))
        return tools

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
        return allowed and (obj is None or ranks.may_manage(actor_of(request), obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        if obj is None:
            return allowed
        return allowed and not obj.is_owner and ranks.may_manage(actor_of(request), obj)

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
