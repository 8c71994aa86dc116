"""Check a password, start a session, set its cookie: shared by the pages and the API."""

from threading import BoundedSemaphore

from django.contrib.auth import authenticate
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import errors, services
from accounts.audit import audit
from accounts.credentials import COOKIE_NAME
from accounts.middleware import client_ip
from accounts.models import Session, User

HOME = "/"
# Each check of a password takes some 70 MB for a moment (Argon2): so many at a time, the
# others wait their turn, and not for ever.
PARALLEL_CHECKS = 3
MAX_WAIT_SECONDS = 10.0
_checks = BoundedSemaphore(PARALLEL_CHECKS)


def check_password(request: HttpRequest, username: str, password: str) -> User:
    """The account these belong to.

    Raises:
        InvalidCredentials: wrong password, unknown or disabled user, all with one answer;
            Django hashes for an unknown name as well, so the time tells nothing either.
        Throttled: too many are being checked at this moment
    """
    if not _checks.acquire(timeout=MAX_WAIT_SECONDS):
        raise errors.Throttled(headers={"Retry-After": "5"})
    try:
        user = authenticate(request, username=username, password=password)
    finally:
        _checks.release()
    if not isinstance(user, User):
        known = User.objects.filter(username__iexact=username).first()
        audit("login.failed", subject=known, ip=client_ip(request), username=username)
        raise errors.InvalidCredentials
    return user


def log_in(request: HttpRequest, user: User) -> tuple[Session, str]:
    """Start a session for `user` from this request's address."""
    agent = request.headers.get("User-Agent", "")
    return services.start_session(user, ip=client_ip(request), user_agent=agent)


def set_cookie(
    response: HttpResponseBase, request: HttpRequest, session: Session, jwt: str
) -> None:
    """The browser's copy of the session."""
    lifetime = session.expires_at - session.created_at
    response.set_cookie(
        COOKIE_NAME,
        jwt,
        max_age=round(lifetime.total_seconds()),
        httponly=True,
        secure=request.is_secure(),
        samesite="Strict",
    )


def clear_cookie(response: HttpResponseBase) -> None:
    response.delete_cookie(COOKIE_NAME, samesite="Strict")


def next_url(request: HttpRequest, wanted: object) -> str:
    """Where to go after the login: `wanted` if it is a path of ours, else the front page."""
    if (
        isinstance(wanted, str)
        and wanted.startswith("/")
        and url_has_allowed_host_and_scheme(
            wanted, allowed_hosts=None, require_https=request.is_secure()
        )
    ):
        return wanted
    return HOME
