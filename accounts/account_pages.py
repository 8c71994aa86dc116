"""/mfa, where a login asks for the second factor, and /account, where a person manages theirs."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import challenges, errors, languages, login, mfa, ranks, services
from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView, validated
from accounts.api.mfa import complete, known_user
from accounts.api.passkeys import passkey_options
from accounts.api.serializers import ProofSerializer
from accounts.api.throttles import ApiThrottle, LoginThrottle
from accounts.capabilities import DESCRIPTIONS, Capability
from accounts.challenges import Purpose
from accounts.identity import Auth
from accounts.middleware import check_own_page, cookie_identity
from accounts.models import Challenge, User
from accounts.pages import Page, finished_login, sent_credential, text_field, wants_page
from accounts.sentences import english
from accounts.telling import told


class MfaPage(Page):
    """GET: asks for the second factor of a login that waits, or has one set up. POST: a form
    of that page. Without a login that waits: back to /login."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    template = "accounts/mfa.html"

    def get(self, request: Request) -> HttpResponseBase:
        row = self._waiting(request)
        if row is None:
            return HttpResponseRedirect("/login")
        return self.page(request, **self._context(row))

    def post(self, request: Request) -> HttpResponseBase:
        check_own_page(request._request)
        row = self._waiting(request)
        if row is None:
            return HttpResponseRedirect("/login")
        if text_field(request, "begin"):
            if row.purpose != Purpose.SETUP:
                raise errors.PermissionDenied(english("Your second factor is set up already."))
            mfa.require_unenrolled(row)
            context = self._context(row)
            return self.page(request, **{**context, "setup": mfa.begin_setup(known_user(row))})
        code = text_field(request, "code")[:40]
        of_app = row.purpose == Purpose.SETUP or mfa.looks_like_app_code(code)
        user = complete(request, row, {"code" if of_app else "backup_code": code})
        response = finished_login(request, user, row.data["next"], second_factor=True)
        login.clear_waiting_cookie(response)
        return response

    def _waiting(self, request: Request) -> Challenge | None:
        token = request._request.COOKIES.get(login.WAITING_COOKIE, "")
        try:
            return challenges.find(token, Purpose.LOGIN, Purpose.SETUP)
        except errors.Unauthenticated:
            return None

    def page_context(self, request: Request) -> dict[str, Any]:
        row = self._waiting(request)
        return {"void": True} if row is None else self._context(row)

    def _context(self, row: Challenge) -> dict[str, Any]:
        user = known_user(row)
        setting_up = row.purpose == Purpose.SETUP
        return {
            "username": user.username,
            "setting_up": setting_up,
            "setup": mfa.begun_setup(user) if setting_up else None,
            "methods": mfa.methods(user),
            "next": row.data["next"],
        }


class MfaPasskeyView(GatewayView):
    """POST /mfa/passkey, for that page's script: options, then the passkey's answer, which
    finishes the login."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    authentication_classes: Any = ()
    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Any:
        check_own_page(request._request)
        given = validated(ProofSerializer, request.data)
        row = challenges.find(request._request.COOKIES.get(login.WAITING_COOKIE, ""), Purpose.LOGIN)
        if "passkey" not in given:
            return Response({"options": passkey_options(request, row)})
        user = complete(request, row, {"passkey": given["passkey"]})
        response = login.finished(request._request, user, row.data["next"], second_factor=True)
        login.clear_waiting_cookie(response)
        return response


class AccountPage(Page):
    """GET: who one is, and everything of one's account. Its forms talk to the API."""

    template = "accounts/account.html"

    def get(self, request: Request) -> HttpResponse:
        identity = cookie_identity(sent_credential(request), login.client_ip(request._request))
        if identity is None:
            return HttpResponseRedirect("/login?next=/account")
        user = User.objects.select_related("role").filter(pk=identity.user_id).first()
        if user is None:  # deleted this moment
            return HttpResponseRedirect("/login?next=/account")
        held = ranks.capabilities_of(user)
        return self.page(
            request,
            user=user,
            role=told(user.role.title),
            languages=languages.choices(),
            # Who shares the account chose for this browser alone.
            language=languages.kept(request._request) if user.shared else user.language,
            teams=list(user.groups.filter(role=None).values_list("name", flat=True)),
            mfa_enabled=mfa.is_enrolled(user),
            has_app=mfa.has_app(user),
            mfa_required=mfa.is_required(user),
            methods=mfa.methods(user),
            backup_codes_left=mfa.backup_codes_left(user),
            may_download=Capability.DOWNLOAD_MODELS in held,
            may_have_tokens=Capability.HAVE_API_TOKENS in held,
            may_have_endless=Capability.HAVE_NON_EXPIRING_JWT in held,
            scopes=[(str(cap), told(text)) for cap, text in DESCRIPTIONS.items() if cap in held],
        )


class LanguageSerializer(serializers.Serializer):
    language = serializers.ChoiceField(settings.LANGUAGES, allow_blank=True)


class LanguageView(GatewayView):
    """POST {language}: what the pages and mails speak from now on; empty: as the browser says.
    The choice is the account's and follows to other browsers; in an account that several people
    share it is only this browser's. Answers a form with the account page."""

    permission_classes = (HasIdentity,)

    def post(self, request: Request) -> Any:
        user, identity = caller(request)
        if identity.auth is not Auth.SESSION:
            raise errors.PermissionDenied(english("Log in to manage your account; a token cannot."))
        language = validated(LanguageSerializer, request.data)["language"]
        if not user.shared:
            services.set_language(user, language, ip=login.client_ip(request._request))
        response: Any = Response({"language": language})
        if wants_page(request._request):
            response = HttpResponseRedirect("/account")
        languages.remember(response, request._request, language)
        return response
