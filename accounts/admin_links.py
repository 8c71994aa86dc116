"""The admin pages of invitations and password links. A link is shown once, when it is made."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import path, reverse

from accounts import errors, links, mail
from accounts.adminbase import ReadOnlyAdmin, TellingAdmin, Tool, actor_of
from accounts.login import client_ip
from accounts.models import AccountLink, Role, User


class InvitationForm(forms.Form):
    """Whom to invite, as what."""

    role = forms.ModelChoiceField(Role.objects.none(), empty_label=None)
    days = forms.IntegerField(
        label="Valid for (days)",
        min_value=1,
        max_value=links.MAX_INVITATION_DAYS,
        initial=links.INVITATION_DAYS,
    )
    note = forms.CharField(
        required=False, max_length=100, help_text="For whom it is. Only shown here."
    )
    email = forms.EmailField(
        label="E-mail",
        required=False,
        help_text="Becomes the new account's address. If mail is set up, the link is sent there.",
    )

    def __init__(self, actor: User, data: Any = None) -> None:
        super().__init__(data)
        givable = [role.slug for role in Role.objects.all() if links.may_invite(actor, role)]
        roles = Role.objects.filter(slug__in=givable)
        role_field = self.fields["role"]
        assert isinstance(role_field, forms.ModelChoiceField)
        role_field.queryset = roles
        role_field.initial = roles.order_by("rank").exclude(slug="guest").first()


class ShowsLinks(TellingAdmin):
    """An admin page that makes links."""

    def link_page(self, request: HttpRequest, link: AccountLink, token: str) -> HttpResponse:
        """The one page that shows a new link, mailed first if it has somewhere to go. Call it
        outside of transactions: a mail server may take its time."""
        url = links.address(mail.origin(request), link, token)
        invitation = link.kind == AccountLink.Kind.INVITATION
        send = mail.send_invitation if invitation else mail.send_password_link
        context = {
            "title": "Invitation" if invitation else f"Password link for {link.user}",
            "link": link,
            "url": url,
            "wants_mail": bool(link.email) and mail.is_on(),
            "mailed": mail.is_on() and send(link, url),
        }
        return self.own_page(request, "admin/link_made.html", context)


class MakesPasswordLinks(ShowsLinks):
    """The button on a user's page that makes a password link."""

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.password_link_view)
        name = "accounts_user_password_link"
        return [path("<id>/password-link/", view, name=name), *super().get_urls()]

    def object_tools(self, request: HttpRequest, obj: Any) -> Sequence[Tool]:
        tools = super().object_tools(request, obj)
        actor = actor_of(request)
        if obj == actor or not links.may_make_password_link(actor, obj):
            return tools
        url = reverse("admin:accounts_user_password_link", args=[obj.pk])
        told = "A link that lets whoever has it set the password, once"
        return [*tools, Tool("Make a password link", url, is_post=True, title=told)]

    def password_link_view(self, request: HttpRequest, id: str) -> HttpResponse:
        """POST: make the link and show it."""
        user = self.get_object(request, id)
        if user is None or not self.has_change_permission(request, user):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if user == actor_of(request):
            # There the present password is asked for: a stolen session is not enough.
            return redirect("/account")
        try:
            link, token = links.create_password_link(
                user, actor=actor_of(request), ip=client_ip(request)
            )
        except errors.GatewayError as error:
            self.message_user(request, error.message, messages.ERROR)
            return redirect("admin:accounts_user_change", user.pk)
        return self.link_page(request, link, token)


@admin.register(AccountLink)
class AccountLinkAdmin(ShowsLinks, ReadOnlyAdmin):
    purpose = (
        "Links by which people make their account or set a new password. Each works once and is "
        "shown only when it is made."
    )
    empty_text = "Invite somebody: you choose the role, they choose name and password."
    list_display = (
        "kind",
        "note",
        "gives",
        "state",
        "created_by",
        "expires_at",
        "used_at",
    )
    list_filter = ("kind",)
    list_select_related = ("role", "user__role", "created_by__role")
    search_fields = ("note", "email", "user__username", "created_by__username")
    fields = (
        "kind",
        "note",
        "email",
        "role",
        "user",
        "state",
        "created_by",
        "created_at",
        "expires_at",
        "used_at",
    )

    @admin.display(description="role or account")
    def gives(self, obj: AccountLink) -> str:
        return str(obj.role or obj.user)

    @admin.display(description="state")
    def state(self, obj: AccountLink) -> str:
        return links.state(obj)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return not lookup.startswith("token_hash") and super().lookup_allowed(
            lookup, value, request
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make an invitation. Password links are made on their user's page."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        actor = actor_of(request)
        form = InvitationForm(actor, request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                link, token = links.create_invitation(
                    **form.cleaned_data, actor=actor, ip=client_ip(request)
                )
            except errors.GatewayError as error:
                form.add_error(None, error.message)
            else:
                return self.link_page(request, link, token)
        return self.own_page(
            request,
            "admin/invite.html",
            {"title": "Invite somebody", "form": form},
            purpose="Makes a link. Whoever has it can make one account with this role.",
        )

    def has_delete_permission(self, request: HttpRequest, obj: AccountLink | None = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or links.may_revoke(actor_of(request), obj))

    def delete_model(self, request: HttpRequest, obj: AccountLink) -> None:
        links.revoke(obj, actor=actor_of(request), ip=client_ip(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AccountLink]) -> None:
        for link in queryset.select_related(*self.list_select_related):
            if links.may_revoke(actor_of(request), link):
                self.delete_model(request, link)
