"""Tokens and the caller's own data (API.md section 3)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpResponseRedirect
from django.utils import timezone
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import challenges, errors, lockout, mfa, proofs, queries, ranks
from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView, validated
from accounts.api.mfa import known_user, prove, temp_token
from accounts.api.serializers import TokenPrefixSerializer, TokenRequestSerializer
from accounts.api.throttles import ApiThrottle, PasswordThrottle
from accounts.capabilities import Capability
from accounts.challenges import Purpose
from accounts.identity import Auth, Identity
from accounts.login import check_password, client_ip, second_step
from accounts.models import ApiToken, User
from accounts.sentences import english

DEFAULT_TOKEN_HOURS = 720.0


class GenerateTokenView(GatewayView):
    """POST: exchange a password or a session for an API token, shown this once."""

    permission_classes = (AllowAny,)
    throttle_classes = (ApiThrottle, PasswordThrottle)

    def get(self, request: Request) -> HttpResponseRedirect:
        return HttpResponseRedirect("/account#tokens")

    def post(self, request: Request) -> Response:
        wanted = validated(TokenRequestSerializer, request.data)
        if "mfa_temp_token" in wanted:
            row = temp_token(wanted, Purpose.TOKEN)
            user = known_user(row)
            prove(request, user, wanted, row)
            challenges.finish(row)
            lockout.succeeded(user.username)
            return self._create(request, user, {**row.data, **_of_token(wanted)})
        user, held = self._who(request, wanted)
        _check(wanted, held)
        match mfa.due(user):
            case None:
                if "password" in wanted:
                    lockout.succeeded(user.username)
                return self._create(request, user, _of_token(wanted), held)
            case Purpose.SETUP as due:
                return Response(second_step(user, due, {"next": "/account#tokens"})[1])
            case _:
                return Response(second_step(user, Purpose.TOKEN, _of_token(wanted))[1])

    def _create(
        self,
        request: Request,
        user: User,
        wanted: dict[str, Any],
        held: frozenset[Capability] | None = None,
    ) -> Response:
        hours, scopes = _check(wanted, ranks.capabilities_of(user) if held is None else held)
        expires_at = None if hours is None else timezone.now() + timedelta(hours=hours)
        row, token = proofs.create_api_token(
            user,
            label=wanted.get("label", ""),
            scopes=scopes,
            expires_at=expires_at,
            actor=user,
            ip=client_ip(request),
            networks=wanted.get("networks", ()),
            in_path=wanted.get("in_path", False),
        )
        return Response(
            {
                "message": "Keep this token; it is shown only now.",
                "token": token,
                "jwt_token": token,
                "expires_in_hours": hours,
                **token_json(row),
            }
        )

    def _who(self, request: Request, wanted: dict[str, Any]) -> tuple[User, frozenset[Capability]]:
        if "username" in wanted or "password" in wanted:
            for field in ("username", "password"):
                if field not in wanted:
                    raise errors.BadRequest(f"{field} is missing.", field=field)
            user = check_password(request, wanted["username"], wanted["password"])
            return user, ranks.capabilities_of(user)
        if not isinstance(request.auth, Identity):
            raise errors.AuthRequired("Send user name and password, or a session.")
        user, identity = caller(request)
        if identity.auth is Auth.API_TOKEN:
            raise errors.PermissionDenied(
                english("An API token cannot create another. Log in instead.")
            )
        if wanted["require_password_reauth"]:
            raise errors.AuthRequired("Send user name and password.")
        return user, identity.capabilities


def _of_token(wanted: dict[str, Any]) -> dict[str, Any]:
    """What the request says of the token to be, without what proves who asks."""
    names = ("label", "scopes", "expire_hours", "networks", "in_path")
    return {name: wanted[name] for name in names if name in wanted}


def _check(
    wanted: dict[str, Any], held: frozenset[Capability]
) -> tuple[float | None, list[str] | None]:
    """Hours and scopes that the token will have, for somebody who holds `held`.

    Raises:
        PermissionDenied, BadRequest (INVALID_SCOPE, field `networks`)
    """
    if Capability.HAVE_API_TOKENS not in held:
        raise errors.PermissionDenied(permission=str(Capability.HAVE_API_TOKENS))
    proofs.normalised_networks(wanted.get("networks", ()))
    hours = _granted_hours(wanted.get("expire_hours", DEFAULT_TOKEN_HOURS), held)
    return hours, _granted_scopes(wanted.get("scopes"), held)


def _granted_hours(hours: float, held: frozenset[Capability]) -> float | None:
    """0 is never (None), with its capability; anything else lies in 1…maximum."""
    if hours == 0:
        if Capability.HAVE_NON_EXPIRING_JWT not in held:
            raise errors.PermissionDenied(permission=str(Capability.HAVE_NON_EXPIRING_JWT))
        return None
    return min(max(hours, 1.0), settings.MSS_MAX_TOKEN_HOURS)


def _granted_scopes(scopes: list[str] | None, held: frozenset[Capability]) -> list[str] | None:
    if scopes is None:
        return None
    for scope in scopes:
        if scope not in held:
            raise errors.BadRequest(
                f"You do not hold “{scope}”, so a token cannot either.",
                code="INVALID_SCOPE",
                field="scopes",
            )
    return sorted(set(scopes))


def token_json(row: ApiToken) -> dict[str, Any]:
    """An API token as the API lists it; never the token."""
    return {
        "token_hash_prefix": row.token_hash_prefix,
        "label": row.label,
        "scopes": row.scopes,
        "networks": row.networks,
        "in_path": row.in_path,
        "created_at": row.created_at,
        "last_used_at": row.last_used_at,
        "last_used_ip": row.last_used_ip,
        "expires_at": row.expires_at,
    }


class TokensView(GatewayView):
    """GET lists the caller's own API tokens, DELETE revokes one of them."""

    permission_classes = (HasIdentity,)

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        _, identity = caller(request)
        ranks.require_own_account(caller(request)[0])
        # A token that was limited must not reach tokens that were not.
        if identity.scopes is not None:
            raise errors.PermissionDenied(english("Log in to manage tokens."))

    def get(self, request: Request) -> Response:
        user, _ = caller(request)
        return Response({"tokens": [token_json(row) for row in queries.live_api_tokens(user.pk)]})

    def delete(self, request: Request) -> Response:
        user, _ = caller(request)
        data = request.data or request.query_params
        prefix = validated(TokenPrefixSerializer, data)["token_hash_prefix"]
        rows = queries.api_tokens_by_prefix(user.pk, prefix)
        if not rows:
            raise errors.NotFound(english("You have no such token."))
        if len(rows) > 1:
            raise errors.BadRequest(
                english("Several of your tokens begin like that."), field="token_hash_prefix"
            )
        proofs.revoke_api_token(rows[0], actor=user, ip=client_ip(request))
        return Response({"message": "The token is revoked."})


# What other apps tell everybody there: name → what gives the value.
_more_of_me: dict[str, Callable[[], Any]] = {}


def add_to_me(name: str, value: Callable[[], Any]) -> None:
    """Have `GET …/me` tell something of another app's, the same to everybody."""
    _more_of_me[name] = value


class MeView(GatewayView):
    """GET: who the caller is and what they may do."""

    permission_classes = (HasIdentity,)

    def get(self, request: Request) -> Response:
        user, identity = caller(request)
        return Response(
            {
                "username": identity.username,
                "role": identity.role,
                "groups": queries.team_names(user.pk),
                "is_admin": user.is_superuser,
                "mfa_enabled": mfa.is_enrolled(user),
                "sfw_enforced": identity.sfw_enforced,
                "permissions": {str(cap): identity.can(cap) for cap in Capability},
                "auth": str(identity.auth),
                "scopes": None if identity.scopes is None else list(identity.scopes),
                "quotas": {
                    "max_waiting_prompts": identity.max_waiting_prompts,
                    "max_prompt_bytes": identity.max_prompt_bytes,
                },
                **{name: value() for name, value in _more_of_me.items()},
            }
        )


class IsHttpsView(GatewayView):
    """GET: whether this request came over HTTPS, as the gateway sees it."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response({"is_https": request.is_secure()})


class UnknownView(GatewayView):
    """Any other address below /mss-login: 404 as JSON."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise errors.NotFound
