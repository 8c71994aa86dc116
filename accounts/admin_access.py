"""The admin's pages of ways in: sessions, API tokens, IP rules, failed logins."""

from typing import Any

from axes.models import AccessAttempt
from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django_otp_webauthn.models import WebAuthnCredential

from accounts import admission, proofs, ranks
from accounts.adminbase import LookedAtAdmin, ReadOnlyAdmin, TellingAdmin, actor_of
from accounts.audit import audit
from accounts.login import client_ip
from accounts.models import ApiToken, IpRule, Session, TotpDevice


class BelongsToUserAdmin(ReadOnlyAdmin):
    """Rows of a user, which only who may manage that user may delete."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or ranks.may_manage(actor_of(request), obj.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset.select_related("user__role"):
            if ranks.may_manage(actor_of(request), row.user):
                self.delete_model(request, row)


@admin.register(Session)
class SessionAdmin(BelongsToUserAdmin):
    purpose = "Logins, each in one browser or app. Deleting one logs that browser out at once."
    empty_text = "Nobody has logged in yet."
    list_display = ("user", "created_at", "last_used_at", "expires_at", "revoked_at", "ip")
    list_select_related = ("user",)
    search_fields = ("user__username", "ip")

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        proofs.end_session(obj, actor=actor_of(request), ip=client_ip(request))


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
        proofs.revoke_api_token(obj, actor=actor_of(request), ip=client_ip(request))


class SecondFactorAdmin(LookedAtAdmin):
    """Second factors are reset all together, on their user's page."""

    list_select_related = ("user",)
    search_fields = ("user__username",)


@admin.register(TotpDevice)
class TotpDeviceAdmin(SecondFactorAdmin):
    purpose = (
        "Authenticator apps that people log in with beside their password. Who lost theirs: "
        "reset it on their page."
    )
    empty_text = "Users add one on their account page. A role or a user can be made to."
    list_display = ("user", "confirmed", "created_at")
    list_filter = ("confirmed",)
    fields = readonly_fields = list_display


@admin.register(WebAuthnCredential)
class PasskeyAdmin(SecondFactorAdmin):
    purpose = (
        "Passkeys that people log in with beside their password. Who lost theirs: reset it on "
        "their page."
    )
    empty_text = "Users add them on their account page."
    list_display = ("user", "name", "created_at", "last_used_at")
    fields = readonly_fields = list_display


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
        admission.require_way_in(client_ip(request), confirm=form.cleaned_data["confirm"])

    def delete_model(self, request: HttpRequest, obj: IpRule) -> None:
        super().delete_model(request, obj)
        admission.require_way_in(client_ip(request), confirm=False)


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
