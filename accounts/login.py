"""Check a password, start a session, set its cookie: shared by the pages and the API.

A login is: a password, a link or a passkey → `mfa.due` → a session. Where a second factor is due
the client gets a temp token instead (`second_step`).
"""

import re
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import unquote

from django.contrib.auth import authenticate
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import url_has_allowed_host_and_scheme
from rest_framework.response import Response

from accounts import challenges, errors, languages, lockout, mfa, passkeys, proofs
from accounts.audit import audit
from accounts.credentials import COOKIE_NAME
from accounts.mfa_models import CHALLENGE_MINUTES
from accounts.middleware import client_ip
from accounts.models import Challenge, Session, User
from accounts.sentences import english
from accounts.telling import told

HOME = "/"
NO_GOALS = frozenset({"login", "logout", "t"})
WAITING_COOKIE = "mss_mfa"
WAITING_PATH = "/mfa"
# Each check of a password takes some 70 MB for a moment (Argon2): so many at a time, the
# others wait their turn, and not for ever.
PARALLEL_CHECKS = 3
MAX_WAIT_SECONDS = 10.0
# Each that waits holds a thread.
MAX_WAITING = 30
_checks = BoundedSemaphore(PARALLEL_CHECKS)
_waiting = BoundedSemaphore(MAX_WAITING)


def check_password(request: HttpRequest, username: str, password: str) -> User:
    """The account these belong to. It counts against name and address if they do not match.

    Raises:
        InvalidCredentials: wrong password, unknown or disabled user, all with one answer;
            Django hashes for an unknown name as well, so the time tells nothing either.
        LockedOut: too many were wrong lately; the password is not looked at
        Throttled: too many are being checked at this moment
    """
    ip = client_ip(request)
    _take_turn()
    try:
        # Here and not before the wait: what waits must not slip past the limit.
        lockout.require_open(username, ip)
        user = authenticate(lockout.counted_request(ip), username=username, password=password)
    finally:
        _checks.release()
    if not isinstance(user, User):
        known = User.objects.filter(username__iexact=username).first()
        audit("login.failed", subject=known, ip=ip, username=username)
        lockout.noticed(username, ip)
        raise errors.InvalidCredentials
    return user


def check_passkey(request: HttpRequest, state: dict[str, Any], answer: dict[str, Any]) -> User:
    """The account whose passkey answered, in a login with nothing else.

    Raises:
        InvalidCode
    """
    try:
        return passkeys.finish_use(request, None, state, answer)
    except errors.InvalidCode:
        audit("login.failed", ip=client_ip(request), by="passkey")
        raise


def _take_turn() -> None:
    """Wait until a password may be checked. Whoever called gives `_checks` back.

    Raises:
        Throttled: at once if too many wait already, or if it takes too long
    """
    if not _waiting.acquire(blocking=False):
        raise errors.Throttled(headers={"Retry-After": "5"})
    try:
        if not _checks.acquire(timeout=MAX_WAIT_SECONDS):
            raise errors.Throttled(headers={"Retry-After": "5"})
    finally:
        _waiting.release()


def second_step(
    user: User, due: Challenge.Purpose, data: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """A temp token for what is due after the first factor, and the answer that carries it.
    `data`: what goes on afterwards needs it."""
    token = challenges.begin(user, due, data)
    if due is Challenge.Purpose.SETUP:
        message = told(english("Your account needs a second factor. Set it up to log in."))
        return token, {"message": message, "mfa_setup_required": True, "mfa_temp_token": token}
    return token, {
        "message": told(english("Send the code of your second factor.")),
        "mfa_required": True,
        "mfa_temp_token": token,
        "methods": mfa.methods(user),
    }


def log_in(request: HttpRequest, user: User, *, second_factor: bool) -> tuple[Session, str]:
    """Start a session for `user` from this request's address: every factor was right."""
    lockout.succeeded(user.username)
    agent = request.headers.get("User-Agent", "")
    return proofs.start_session(
        user, ip=client_ip(request), user_agent=agent, second_factor=second_factor
    )


def finished(
    request: HttpRequest, user: User, target: str, *, second_factor: bool
) -> HttpResponseBase:
    """The answer of a finished login to a client, with the browser's cookie."""
    session, jwt = log_in(request, user, second_factor=second_factor)
    message = told(english("You are logged in."))
    response = Response({"message": message, "jwt_token": jwt, "redirect_url": target})
    set_cookie(response, request, session, jwt)
    return response


def set_cookie(
    response: HttpResponseBase, request: HttpRequest, session: Session, jwt: str
) -> None:
    """The browser's copy of the session, and the language that its user chose."""
    lifetime = session.expires_at - session.created_at
    response.set_cookie(
        COOKIE_NAME,
        jwt,
        max_age=round(lifetime.total_seconds()),
        httponly=True,
        secure=request.is_secure(),
        samesite="Strict",
    )
    if session.user.language:
        languages.remember(response, request, session.user.language)


def set_waiting_cookie(response: HttpResponseBase, request: HttpRequest, token: str) -> None:
    """The browser's temp token, from the login form to the page that asks for the code."""
    response.set_cookie(
        WAITING_COOKIE,
        token,
        max_age=CHALLENGE_MINUTES * 60,
        path=WAITING_PATH,
        httponly=True,
        secure=request.is_secure(),
        samesite="Strict",
    )


def clear_waiting_cookie(response: HttpResponseBase) -> None:
    response.delete_cookie(WAITING_COOKIE, path=WAITING_PATH, samesite="Strict")


def clear_cookie(response: HttpResponseBase) -> None:
    response.delete_cookie(COOKIE_NAME, samesite="Strict")


def next_url(request: HttpRequest, wanted: object) -> str:
    """Where to go after the login: `wanted` if it is a path of ours, else the front page. Not
    where a visit does something by itself: out again, or in as a token's owner."""
    if (
        isinstance(wanted, str)
        and wanted.startswith("/")
        and wanted.isprintable()
        and _is_goal(wanted)
        and url_has_allowed_host_and_scheme(
            wanted, allowed_hosts=None, require_https=request.is_secure()
        )
    ):
        return wanted
    return HOME


def _is_goal(wanted: str) -> bool:
    """As a browser reads a path: `\\` is `/`, `..` goes up, also percent-encoded."""
    path = re.split(r"[?#]", wanted, maxsplit=1)[0]
    steps = unquote(path).replace("\\", "/").split("/")
    first = next(filter(None, steps), "")
    return first.casefold() not in NO_GOALS and not {".", ".."} & set(steps)
