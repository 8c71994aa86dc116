"""DRF's adapter to `accounts.authentication`: any token, in a header or a cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import errors
from accounts.authentication import identify_sync
from accounts.credentials import Place, check_same_origin, find_credential
from accounts.identity import Identity
from accounts.middleware import client_ip, raw_headers, request_scheme
from accounts.models import User

if TYPE_CHECKING:
    # DRF's settings import this module while rest_framework.views is being imported.
    from rest_framework.views import APIView


class IdentityAuthentication(BaseAuthentication):
    """Sets `request.user` (User) and `request.auth` (Identity).

    Query tokens do not count here (API.md section 8).
    """

    def authenticate(self, request: Request) -> tuple[User, Identity] | None:
        headers = raw_headers(request._request)
        credential = find_credential(headers)
        if credential is None:
            return None
        identity = identify_sync(credential, client_ip(request._request))
        if credential.place is Place.COOKIE:
            check_same_origin(
                headers,
                scheme=request_scheme(request._request),
                method=request.method or "GET",
            )
        user = User.objects.select_related("role").filter(pk=identity.user_id).first()
        if user is None:
            raise errors.TokenRevoked
        return user, identity

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasIdentity(BasePermission):
    """Anyone who proved who they are."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.auth, Identity):
            raise errors.AuthRequired
        return True


def caller(request: Request) -> tuple[User, Identity]:
    """The authenticated caller of a view that has `HasIdentity`."""
    return cast(User, request.user), cast(Identity, request.auth)
