"""Who is asking, for Django's pages and the admin: the cookie's session, or nobody."""

from collections.abc import Callable
from functools import cache
from os import SEEK_END
from typing import Any, cast

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, JsonResponse
from django.utils.functional import SimpleLazyObject

from accounts import errors
from accounts.authentication import identify_sync
from accounts.credentials import (
    Credential,
    Place,
    RawHeaders,
    check_login_origin,
    check_same_origin,
    find_credential,
)
from accounts.identity import Auth, Identity
from accounts.models import User
from accounts.telling import body_of


def raw_headers(request: HttpRequest) -> RawHeaders:
    """The headers as the client sent them; Django's own view of them merges repeated ones."""
    return cast("RawHeaders", cast(ASGIRequest, request).scope["headers"])


def request_scheme(request: HttpRequest) -> str:
    return "https" if request.is_secure() else "http"


def check_own_page(request: HttpRequest) -> None:
    """Another site's page must not log somebody in, as whoever it likes. Raises CrossOrigin."""
    check_login_origin(raw_headers(request), scheme=request_scheme(request))


def client_ip(request: HttpRequest) -> str | None:
    """The client's address, as the entry found it (trusted proxies only)."""
    return request.META.get("REMOTE_ADDR") or None


# Where the middleware leaves it; asked for once, and only if somebody wants to know.
IDENTITY = "mss_identity"


class SessionUserMiddleware(AuthenticationMiddleware):
    """Sets `request.user` from the `jwt_token` cookie.

    Only a cookie counts here: the admin is for browsers, and a token in a header must not
    open it. Every unsafe request that carries the cookie must be same-origin.
    """

    def process_request(self, request: HttpRequest) -> Any:
        _measure_body(request)
        try:
            credential = find_credential(raw_headers(request))
            if credential is not None and credential.place is Place.COOKIE:
                check_same_origin(
                    raw_headers(request),
                    scheme=request_scheme(request),
                    method=request.method or "GET",
                )
        except errors.CrossOrigin as refusal:
            no_store = {"Cache-Control": "no-store"}
            return JsonResponse(body_of(refusal), status=refusal.status, headers=no_store)
        except errors.TokenInvalid:
            credential = None
        address = client_ip(request)
        identity = cache(lambda: cookie_identity(credential, address))
        setattr(request, IDENTITY, identity)
        request.user = SimpleLazyObject(lambda: _user(identity()))  # type: ignore[assignment]
        return None


def _measure_body(request: HttpRequest) -> None:
    """Django and DRF take a body without a declared length (sent in chunks) for an empty one;
    the handler has it whole by now."""
    if "CONTENT_LENGTH" not in request.META and "HTTP_TRANSFER_ENCODING" in request.META:
        body = request._stream
        request.META["CONTENT_LENGTH"] = str(body.seek(0, SEEK_END))
        body.seek(0)


def page_identity(request: HttpRequest) -> Identity | None:
    """The identity behind this request's cookie, as the middleware found it."""
    found: Callable[[], Identity | None] = getattr(request, IDENTITY, lambda: None)
    return found()


def _user(identity: Identity | None) -> User | AnonymousUser:
    if identity is None:
        return AnonymousUser()
    return User.objects.select_related("role").filter(pk=identity.user_id).first() or (
        AnonymousUser()
    )


def cookie_identity(credential: Credential | None, address: str | None = None) -> Identity | None:
    """The identity behind a cookie sent from `address`, or None: a page shows its login form then.

    Only a session counts. An API token may be limited to some capabilities, and the admin
    asks for none of them.
    """
    if credential is None or credential.place is not Place.COOKIE:
        return None
    try:
        identity = identify_sync(credential, address)
    except (errors.Unauthenticated, errors.IpBlocked):
        return None
    return identity if identity.auth is Auth.SESSION else None
