"""Passkeys over the API: the caller's own, and logins with one."""

from typing import Any

from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import challenges, errors, login, mfa, passkeys
from accounts.api.authentication import HasIdentity
from accounts.api.base import GatewayView, validated
from accounts.api.mfa import (
    Permissions,
    known_user,
    prove_again,
    session_caller,
    temp_token,
)
from accounts.api.serializers import ProofSerializer, StrictCharField, password_field
from accounts.api.throttles import ApiThrottle, LoginThrottle
from accounts.challenges import Purpose
from accounts.middleware import check_own_page
from accounts.models import Challenge
from accounts.sentences import english


class PasskeyOptionsView(GatewayView):
    """POST: what the browser needs to ask for a passkey: for a login that waits (its temp
    token), or to prove oneself again (a session)."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (AllowAny,)

    def post(self, request: Request) -> Response:
        given = validated(ProofSerializer, request.data)
        if "mfa_temp_token" in given:
            token = given["mfa_temp_token"]
            row = temp_token(given, Purpose.LOGIN, Purpose.TOKEN)
        else:
            user, _ = session_caller(request)
            token = challenges.begin(user, Purpose.PROOF)
            row = challenges.find(token, Purpose.PROOF)
        return Response({"mfa_temp_token": token, "options": passkey_options(request, row)})


def passkey_options(request: Request, row: Challenge) -> dict[str, Any]:
    """What the browser needs to ask for a passkey of the user who is to be proved.

    Raises:
        BadRequest NO_PASSKEY, NO_HOST_NAME
    """
    user = known_user(row)
    if not mfa.has_passkey(user):
        raise errors.BadRequest(english("You have no passkey."), code="NO_PASSKEY")
    options, state = passkeys.begin_use(request._request, user)
    challenges.keep(row, passkey=state)
    return options


class PasskeyLoginOptionsView(GatewayView):
    """POST: begins a login with a passkey alone."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (AllowAny,)
    authentication_classes: Any = ()

    def post(self, request: Request) -> Response:
        check_own_page(request._request)
        options, state = passkeys.begin_use(request._request, None)
        target = login.next_url(request._request, _next(request))
        token = challenges.begin(None, Purpose.PASSKEY, {"passkey": state, "next": target})
        return Response({"mfa_temp_token": token, "options": options})


class PasskeyLoginView(GatewayView):
    """POST: the passkey's answer finishes that login. The authenticator checked who holds it,
    so it is both factors."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (AllowAny,)
    authentication_classes: Any = ()

    def post(self, request: Request) -> Any:
        check_own_page(request._request)
        given = validated(ProofSerializer, request.data)
        if "passkey" not in given:
            raise errors.BadRequest("passkey is missing.", field="passkey")
        row = temp_token(given, Purpose.PASSKEY)
        challenges.finish(row)
        user = login.check_passkey(request._request, row.data["passkey"], given["passkey"])
        return login.finished(request._request, user, row.data["next"], second_factor=True)


class PasskeysView(GatewayView):
    """GET lists the caller's passkeys, POST adds one, DELETE takes one away."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (HasIdentity,)

    def get(self, request: Request) -> Response:
        user, _ = session_caller(request)
        return Response({"passkeys": [passkey_json(row) for row in passkeys.passkeys_of(user)]})

    def post(self, request: Request) -> Response:
        user, identity = session_caller(request)
        given = validated(NewPasskeySerializer, request.data)
        row = temp_token(given, Purpose.REGISTER)
        if row.user_id != user.pk:
            raise errors.TokenInvalid
        challenges.finish(row)
        passkey = passkeys.finish_registration(
            request._request, user, row.data["passkey"], given["passkey"], given["name"]
        )
        ip = login.client_ip(request._request)
        codes = mfa.passkey_added(user, passkey, keep_session=identity.jti, ip=ip)
        return Response({"passkey": passkey_json(passkey), "backup_codes": codes}, status=201)

    def delete(self, request: Request) -> Response:
        user, _ = session_caller(request)
        given = validated(RemovePasskeySerializer, request.data)
        passkey = passkeys.passkeys_of(user).filter(pk=given["id"]).first()
        if passkey is None:
            raise errors.NotFound(english("You have no such passkey."))
        prove_again(request, user, given)
        mfa.remove_passkey(user, passkey, ip=login.client_ip(request._request))
        return Response({"message": "The passkey is removed."})


class NewPasskeyOptionsView(GatewayView):
    """POST: begins adding a passkey."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (HasIdentity,)

    def post(self, request: Request) -> Response:
        user, _ = session_caller(request)
        given = validated(BeginPasskeySerializer, request.data)
        if mfa.is_enrolled(user):
            prove_again(request, user, given)
        elif "password" not in given:
            raise errors.BadRequest(
                english("Confirm this with your password."),
                code="PROOF_REQUIRED",
                methods=["password"],
            )
        else:
            # A passkey is a whole login: a stolen session must not come by one.
            login.check_password(request._request, user.username, given["password"])
        options, state = passkeys.begin_registration(request._request, user)
        token = challenges.begin(user, Purpose.REGISTER, {"passkey": state})
        return Response({"mfa_temp_token": token, "options": options})


class BeginPasskeySerializer(ProofSerializer):
    password = password_field(required=False)


class NewPasskeySerializer(ProofSerializer):
    name = StrictCharField(max_length=passkeys.MAX_NAME_CHARS, required=False, default="Passkey")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "passkey" not in attrs:
            raise serializers.ValidationError({"passkey": "This field is required."})
        return attrs


class RemovePasskeySerializer(ProofSerializer):
    id = serializers.IntegerField(min_value=1)


def passkey_json(passkey: Any) -> dict[str, Any]:
    return {
        "id": passkey.pk,
        "name": passkey.name,
        "created_at": passkey.created_at,
        "last_used_at": passkey.last_used_at,
    }


def _next(request: Request) -> object:
    return request.data.get("next") if hasattr(request.data, "get") else None
