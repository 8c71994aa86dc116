"""Temp tokens: something begun that waits for a second factor or a passkey.

A temp token is random, stored only as its hash, works for one purpose, for ten minutes, for at
most five tries, and is gone once it has done its work. It is no login: nothing else takes it.
"""

import secrets
from typing import Any, Final

from django.db.models import F
from django.utils import timezone

from accounts import errors
from accounts.models import Challenge, User
from accounts.sentences import english
from accounts.tokens import token_hash

PREFIX: Final = "mfa_"
# More at a time nobody needs; fewer would let two devices of one person get in each other's way.
MAX_OPEN: Final = 10

VOID: Final = english("This login is void. Log in again.")
# In a row's data: which password was right when it began. With another one it is void, also if
# that was set between the check of the password and the making of the row.
PASSWORD: Final = "password"  # noqa: S105 - a key, not a secret

Purpose = Challenge.Purpose


def begin(user: User | None, purpose: str, data: dict[str, Any] | None = None) -> str:
    """A new temp token. The oldest of the user's go if there are many."""
    token = PREFIX + secrets.token_urlsafe(32)
    kept = {**(data or {}), PASSWORD: _password_of(user)}
    Challenge.objects.create(token_hash=token_hash(token), user=user, purpose=purpose, data=kept)
    if user is not None:
        own = Challenge.objects.filter(user=user)
        newest = list(own.order_by("-id").values_list("id", flat=True)[:MAX_OPEN])
        own.exclude(id__in=newest).delete()
    return token


def _password_of(user: User | None) -> str:
    """A keyed hash of the stored password hash."""
    return "" if user is None else user.get_session_auth_hash()


def find(token: str, *purposes: str) -> Challenge:
    """What a temp token stands for.

    Raises:
        TokenInvalid: unknown, used, void, for another purpose, or its user was disabled
        TokenExpired
    """
    row = (
        Challenge.objects.select_related("user__role")
        .filter(token_hash=token_hash(token), purpose__in=purposes)
        .first()
    )
    if row is None or row.attempts >= Challenge.MAX_ATTEMPTS:
        raise errors.TokenInvalid(VOID)
    if row.user is not None and not row.user.is_active:
        raise errors.TokenInvalid(VOID)
    if row.data.get(PASSWORD) != _password_of(row.user):
        raise errors.TokenInvalid(VOID)
    if row.expires_at <= timezone.now():
        raise errors.TokenExpired(english("This took too long. Log in again."))
    return row


def count_attempt(row: Challenge) -> None:
    """One of its tries is being used. Before the try, so that many at once get no more.

    Raises:
        TokenInvalid: there was none left, or another request has finished it
    """
    open_rows = Challenge.objects.filter(pk=row.pk, attempts__lt=Challenge.MAX_ATTEMPTS)
    if not open_rows.update(attempts=F("attempts") + 1):
        raise errors.TokenInvalid(VOID)


def keep(row: Challenge, **data: Any) -> None:
    """Remember more about it.

    Raises:
        TokenInvalid: another request has finished it
    """
    row.data = {**row.data, **data}
    if not Challenge.objects.filter(pk=row.pk).update(data=row.data):
        raise errors.TokenInvalid(VOID)


def finish(row: Challenge) -> None:
    """Use it up.

    Raises:
        TokenInvalid: another request was faster
    """
    deleted, _ = Challenge.objects.filter(pk=row.pk).delete()
    if not deleted:
        raise errors.TokenInvalid(VOID)
