"""What the admin's first page tells of accounts: who is on, failed logins, what is amiss."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from accounts import grantreads
from accounts.models import ApiToken, AuditEntry, Role, Session, User

# The last use is noted once a minute or so.
ON_WITHIN: Final = timedelta(minutes=5)
MAX_NAMES: Final = 3


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that waits for whoever administrates: what it is, what to do, and where."""

    text: str
    todo: str
    url: str = ""
    urgent: bool = False


@dataclass(slots=True)
class Presence:
    """Somebody who was here within the last minutes."""

    user: User
    last: datetime
    browsers: int = 0
    apps: int = 0


def who_is_on(now: datetime | None = None) -> list[Presence]:
    """Who used a session or an API token lately, the latest first."""
    since = (now or timezone.now()) - ON_WITHIN
    sessions = Session.objects.filter(last_used_at__gt=since, revoked_at=None)
    tokens = ApiToken.objects.filter(last_used_at__gt=since)
    found: dict[int, Presence] = {}
    rows: list[Session | ApiToken] = [*sessions.select_related("user__role")]
    rows += tokens.select_related("user__role")
    for row in rows:
        assert row.last_used_at is not None
        here = found.setdefault(row.user_id, Presence(row.user, row.last_used_at))
        here.last = max(here.last, row.last_used_at)
        if isinstance(row, Session):
            here.browsers += 1
        else:
            here.apps += 1
    return sorted(found.values(), key=lambda here: here.last, reverse=True)


def failed_logins(within: timedelta = timedelta(days=1)) -> int:
    """How many logins failed in that time."""
    since = timezone.now() - within
    return AuditEntry.objects.filter(at__gt=since, event__in=("login.failed", "mfa.failed")).count()


def notices() -> Iterator[Notice]:
    """What of accounts wants putting right."""
    lax = (
        User.objects.filter(role__is_staff=True, is_active=True, shared=False)
        .filter(Q(mfa_required=False) | Q(mfa_required=None, role__mfa_required=False))
        .count()
    )
    if lax:
        yield Notice(
            f"{_people(lax)} may open this administration without a second factor.",
            "Require one of their role.",
            _roles_page(),
        )
    lacking = grantreads.without_models()
    number = lacking.count()
    if number:
        names = ", ".join(lacking.values_list("username", flat=True)[:MAX_NAMES])
        more = f" and {number - MAX_NAMES} more" if number > MAX_NAMES else ""
        yield Notice(
            f"{_people(number)} may run prompts and see no model yet: {names}{more}.",
            "Grant some now.",
            reverse("admin:accounts_modelgrant_matrix"),
        )


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number} people"


def _roles_page() -> str:
    lax = Role.objects.filter(is_staff=True, mfa_required=False).order_by("rank")
    role = lax.first()
    if role is None:
        return reverse("admin:accounts_role_changelist")
    return reverse("admin:accounts_role_change", args=[role.pk])
