"""Too many wrong passwords or codes: by user name and by address, with a growing delay.

django-axes counts; this is the one place that asks it, for logins, token creation, second
factors and thereby the admin (which has no login of its own). What counts is a wrong secret,
never an expired or revoked session: open tabs retry those every 0.3 s.

A name is guessed from anywhere, so anybody could keep its owner out by guessing. From an
address where the owner has logged in lately, only the failures made there count.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max, Q, QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone

from accounts import addresses, errors, metrics
from accounts.audit import audit
from accounts.models import Session, User

# Beyond the forgiven failures each further one doubles the wait. Somebody who only forgot
# their password is not shut out for long; an address that goes through names is.
FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT_OF_NAME: Final = timedelta(hours=1)
LONGEST_WAIT_OF_ADDRESS: Final = timedelta(hours=12)
# Failures older than this are forgotten.
MEMORY: Final = timedelta(hours=24)
# Between the machines that share a database.
CLOCKS_DIFFER: Final = timedelta(minutes=1)
FAMILIAR_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Lock:
    """What is locked, and until when."""

    by: str
    until: datetime


def require_open(username: str, ip: str | None) -> None:
    """Refuse before the secret is even looked at.

    Raises:
        LockedOut with Retry-After
    """
    locks = _locks(username, ip)
    if locks:
        until = max(lock.until for lock in locks)
        seconds = max(ceil((until - timezone.now()).total_seconds()), 1)
        raise errors.LockedOut(headers={"Retry-After": str(seconds)})


def counted_request(ip: str | None) -> HttpRequest:
    """What axes is shown of a request: the address. It would keep query and form otherwise,
    and add to the row whatever the next attempt sends."""
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = addresses.household(ip) if ip else ""
    return request


def failed(username: str, ip: str | None) -> None:
    """A wrong code was given for this name from this address. (Wrong passwords reach axes by
    Django's own signal; see `noticed`.)"""
    AxesProxyHandler.user_login_failed(
        sender=__name__, credentials={"username": username}, request=counted_request(ip)
    )
    noticed(username, ip)


def noticed(username: str, ip: str | None) -> None:
    """Write down that a failure, just counted, locked the name or the address."""
    for lock in _locks(username, ip):
        known = User.objects.filter(username__iexact=username).first()
        audit("lockout", subject=known, ip=ip, username=username, by=lock.by, until=lock.until)


def succeeded(username: str) -> None:
    """The whole login was right: the name's failures are forgotten, the address's other
    failures stay."""
    _of_name(username).delete()
    metrics.login_succeeded()


def unlock(*, username: str | None = None, ip: str | None = None) -> int:
    """Forget failures of a name, or of an address; how many records that were."""
    removed = 0
    if username is not None:
        removed += _of_name(username).delete()[0]
    if ip is not None:
        removed += _of_address(ip).delete()[0]
    return removed


def unlock_all() -> int:
    """Forget all failures; how many records that were."""
    return int(AccessAttempt.objects.all().delete()[0])


def forget_old() -> int:
    """Remove failures that count no more; how many records that were."""
    limit = timezone.now() - MEMORY
    return int(AccessAttempt.objects.filter(attempt_time__lt=limit).delete()[0])


def _locks(username: str, ip: str | None) -> list[Lock]:
    of_name = _of_name(username)
    if ip and _is_familiar(username, ip):
        of_name = of_name.filter(ip_address=addresses.household(ip))
    found = [_lock("user name", of_name, settings.MSS_LOCKOUT_NAME_FAILURES, LONGEST_WAIT_OF_NAME)]
    if ip:
        limit = settings.MSS_LOCKOUT_ADDRESS_FAILURES
        found.append(_lock("address", _of_address(ip), limit, LONGEST_WAIT_OF_ADDRESS))
    return [lock for lock in found if lock is not None]


def _of_name(username: str) -> QuerySet[AccessAttempt]:
    return AccessAttempt.objects.filter(username=_counted_as(username))


def _of_address(ip: str) -> QuerySet[AccessAttempt]:
    return AccessAttempt.objects.filter(ip_address=addresses.household(ip))


def _is_familiar(username: str, ip: str) -> bool:
    since = timezone.now() - FAMILIAR_FOR
    return Session.objects.filter(
        Q(user__username__iexact=username), ip=ip, created_at__gte=since
    ).exists()


def _lock(
    by: str, attempts: QuerySet[AccessAttempt], limit: int, longest: timedelta
) -> Lock | None:
    now = timezone.now()
    # What is said to have happened later than now was counted by a clock that was wrong.
    remembered = attempts.filter(attempt_time__range=(now - MEMORY, now + CLOCKS_DIFFER))
    found = remembered.aggregate(count=Sum("failures_since_start"), last=Max("attempt_time"))
    excess = (found["count"] or 0) - limit
    if excess < 0:
        return None
    until = found["last"] + min(FIRST_WAIT * 2 ** min(excess, 20), longest)
    return Lock(by, until) if until > now else None


def _counted_as(username: str) -> str:
    """What a name is counted under: the account that the database takes it for, as a login
    does; two spellings of one name are one, and two names that merely look alike are two. What
    nobody is called begins with a sign that no name holds."""
    known = User.objects.filter(username__iexact=username).values_list("username", flat=True)
    return known.first() or f"?{User.normalize_username(username).casefold()}"[:255]


def name_in(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """AXES_USERNAME_CALLABLE: names count in any case."""
    return _counted_as(str((credentials or {}).get("username", "")))


def address_in(request: HttpRequest) -> str | None:
    """AXES_CLIENT_IP_CALLABLE: the address that the entry found."""
    return request.META.get("REMOTE_ADDR") or None
