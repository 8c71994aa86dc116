"""Second factors over the API (API.md section 3): set up, prove, finish a login, turn off."""

from typing import Any

from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import challenges, errors, login, mfa, passkeys, ranks
from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView, validated
from accounts.api.serializers import ProofSerializer, password_field
from accounts.api.throttles import ApiThrottle, LoginThrottle
from accounts.challenges import Purpose
from accounts.identity import Auth, Identity
from accounts.middleware import check_own_page
from accounts.models import Challenge, User
from accounts.sentences import english

Permissions = tuple[type[BasePermission], ...]


class DisableSerializer(ProofSerializer):
    password = password_field()


# --- shared by the views of second factors, passkeys and tokens ----------------------------


def session_caller(request: Request) -> tuple[User, Identity]:
    """The caller, who must have come with a session: a token manages no second factor.

    Raises:
        AuthRequired, PermissionDenied
    """
    if not isinstance(request.auth, Identity):
        raise errors.AuthRequired
    user, identity = caller(request)
    if identity.auth is not Auth.SESSION:
        raise errors.PermissionDenied(english("Log in to manage your account; a token cannot."))
    ranks.require_own_account(user)
    return user, identity


def temp_token(given: dict[str, Any], *purposes: Purpose) -> Challenge:
    """The login, or the change, that this request goes on with.

    Raises:
        BadRequest, TokenInvalid, TokenExpired
    """
    if "mfa_temp_token" not in given:
        raise errors.BadRequest("mfa_temp_token is missing.", field="mfa_temp_token")
    return challenges.find(given["mfa_temp_token"], *purposes)


def prove(
    request: Request,
    user: User,
    given: dict[str, Any],
    challenge: Challenge | None = None,
    *,
    setup: bool = False,
) -> None:
    """Check the second factor in this request. Raises as `mfa.prove`."""

    def check_passkey(state: dict[str, Any], answer: dict[str, Any]) -> None:
        passkeys.finish_use(request._request, user, state, answer)

    mfa.prove(
        user,
        mfa.Proof(given.get("code"), given.get("backup_code"), given.get("passkey")),
        ip=login.client_ip(request._request),
        challenge=challenge,
        setup=setup,
        check_passkey=check_passkey,
    )


def complete(request: Request, row: Challenge, given: dict[str, Any]) -> User:
    """Finish what a login's temp token stands for: the second factor, or its setup, is proved
    and the token used up. Whose login that is. Raises as `mfa.prove`, and BadRequest NO_SETUP."""
    user = known_user(row)
    setup = row.purpose == Purpose.SETUP
    if setup:
        require_begun(user)
    prove(request, user, given, row, setup=setup)
    challenges.finish(row)
    if setup:
        mfa.confirm_setup(user, keep_session=None, ip=login.client_ip(request._request))
    return user


def require_begun(user: User) -> None:
    if mfa.begun_setup(user) is None:
        raise errors.BadRequest(english("Begin the setup first."), code="NO_SETUP")


def prove_again(request: Request, user: User, given: dict[str, Any]) -> None:
    """Before a change that a stolen session must not make. Who has no second factor passes.

    Raises:
        BadRequest PROOF_REQUIRED: no second factor was sent
    """
    if not mfa.is_enrolled(user):
        return
    if not {"code", "backup_code", "passkey"} & given.keys():
        raise errors.BadRequest(
            english("Confirm this with your second factor."),
            code="PROOF_REQUIRED",
            methods=mfa.methods(user),
        )
    row = None
    if "passkey" in given:
        row = temp_token(given, Purpose.PROOF)
        if row.user_id != user.pk:
            raise errors.TokenInvalid
    prove(request, user, given, row)
    if row is not None:
        challenges.finish(row)


# --- views ---------------------------------------------------------------------------------


class SetupView(GatewayView):
    """POST: a new secret and backup codes, for a session or a login that must enrol."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (AllowAny,)

    def post(self, request: Request) -> Response:
        given = validated(ProofSerializer, request.data)
        return Response(setup_json(mfa.begin_setup(self._user(request, given))))

    def _user(self, request: Request, given: dict[str, Any]) -> User:
        if "mfa_temp_token" in given and "passkey" not in given:
            row = temp_token(given, Purpose.SETUP)
            mfa.require_unenrolled(row)
            return known_user(row)
        user, _ = session_caller(request)
        prove_again(request, user, given)
        return user


def setup_json(setup: mfa.Setup) -> dict[str, Any]:
    return {
        "provisioning_uri": setup.provisioning_uri,
        "qr_svg": setup.qr_svg,
        "secret": setup.secret,
        "backup_codes": setup.backup_codes,
        "backup_code": setup.backup_codes[0],
    }


def known_user(row: Challenge) -> User:
    assert row.user is not None
    return row.user


class VerifySetupView(GatewayView):
    """POST: the app's first code puts it in force; with a temp token it also logs in."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (AllowAny,)

    def post(self, request: Request) -> Any:
        given = validated(ProofSerializer, request.data)
        if "code" not in given:
            raise errors.BadRequest("code is missing.", field="code")
        code = {"code": given["code"]}
        if "mfa_temp_token" not in given:
            user, identity = session_caller(request)
            require_begun(user)
            prove(request, user, code, setup=True)
            ip = login.client_ip(request._request)
            mfa.confirm_setup(user, keep_session=identity.jti, ip=ip)
            return Response({"message": "Your second factor is on.", "mfa_enabled": True})
        check_own_page(request._request)
        row = temp_token(given, Purpose.SETUP)
        user = complete(request, row, code)
        return login.finished(request._request, user, row.data["next"], second_factor=True)


class VerifyView(GatewayView):
    """POST: temp token and code finish a login."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (AllowAny,)
    authentication_classes: Any = ()

    def post(self, request: Request) -> Any:
        check_own_page(request._request)
        given = validated(ProofSerializer, request.data)
        row = temp_token(given, Purpose.LOGIN)
        user = complete(request, row, given)
        return login.finished(request._request, user, row.data["next"], second_factor=True)


class DisableView(GatewayView):
    """POST: takes the caller's second factors away, proved by password and code."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (HasIdentity,)

    def post(self, request: Request) -> Response:
        user, identity = session_caller(request)
        given = validated(DisableSerializer, request.data)
        if not mfa.is_enrolled(user):
            raise errors.BadRequest(
                english("There is no second factor to turn off."), code="MFA_OFF"
            )
        mfa.require_dispensable(user)
        login.check_password(request._request, user.username, given["password"])
        prove_again(request, user, given)
        ip = login.client_ip(request._request)
        mfa.disable(user, keep_session=identity.jti, ip=ip)
        return Response({"message": "Your second factor is off.", "mfa_enabled": False})


class BackupCodesView(GatewayView):
    """POST: a fresh set of backup codes, proved by a code of the app (or a passkey)."""

    throttle_classes = (ApiThrottle, LoginThrottle)
    permission_classes: Permissions = (HasIdentity,)

    def post(self, request: Request) -> Response:
        user, _ = session_caller(request)
        given = validated(ProofSerializer, request.data)
        if not mfa.is_enrolled(user):
            raise errors.BadRequest(english("Set up a second factor first."), code="MFA_OFF")
        prove_again(request, user, given)
        codes = mfa.new_backup_codes(user, ip=login.client_ip(request._request))
        return Response({"backup_codes": codes, "backup_code": codes[0]})
