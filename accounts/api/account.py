"""What only the account page asks for: a new password, another language."""

from typing import Any

from django.conf import settings
from django.http import HttpResponseRedirect
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errors, languages, login, services
from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView, validated
from accounts.api.mfa import Permissions, prove_again, session_caller
from accounts.api.serializers import ProofSerializer, StrictBooleanField, password_field
from accounts.api.throttles import ApiThrottle, LoginThrottle
from accounts.identity import Auth
from accounts.sentences import english


class PasswordSerializer(ProofSerializer):
    current_password = password_field()
    new_password = password_field()
    keep_tokens = StrictBooleanField(required=False, default=False)


class PasswordView(GatewayView):
    """POST: a new password, for the present one and the second factor. Every session ends, and
    API tokens unless they are to stay; the browser that asked gets a new session."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (HasIdentity,)

    def post(self, request: Request) -> Any:
        user, identity = session_caller(request)
        given = validated(PasswordSerializer, request.data)
        login.check_password(request._request, user.username, given["current_password"])
        prove_again(request, user, given)
        services.set_password(
            user,
            given["new_password"],
            actor=user,
            keep_tokens=given["keep_tokens"],
            ip=login.client_ip(request._request),
        )
        return login.finished(
            request._request, user, "/account", second_factor=identity.second_factor
        )


class LanguageSerializer(serializers.Serializer):
    language = serializers.ChoiceField(settings.LANGUAGES, allow_blank=True)


class LanguageView(GatewayView):
    """POST {language}: what the pages and mails speak from now on; empty: as the browser says.
    The choice is the account's and follows to other browsers; in an account that several people
    share it is only this browser's. Answers a form with the account page."""

    permission_classes: Permissions = (HasIdentity,)

    def post(self, request: Request) -> Any:
        user, identity = caller(request)
        if identity.auth is not Auth.SESSION:
            raise errors.PermissionDenied(english("Log in to manage your account; a token cannot."))
        language = validated(LanguageSerializer, request.data)["language"]
        if not user.shared:
            services.set_language(user, language, ip=login.client_ip(request._request))
        response: Any = Response({"language": language})
        if request.headers.get("Sec-Fetch-Mode") == "navigate":
            response = HttpResponseRedirect("/account")
        languages.remember(response, request._request, language)
        return response
