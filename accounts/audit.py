"""The audit log: who did what to whom, from where. Rows are added, and after a time forgotten.

What was changed stands in the details as `before` and `after`, or, of several fields, as
`changes`: {field: {before, after}}.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts import metrics
from accounts.models import AuditEntry, User


def audit(
    event: str,
    *,
    actor: User | None = None,
    subject: User | None = None,
    ip: str | None = None,
    **details: Any,
) -> None:
    """Add a row. `details` must be what JSON can hold (times too) and no secret."""
    AuditEntry.objects.create(
        event=event,
        actor=actor,
        actor_name=actor.username if actor else "",
        subject=subject,
        subject_name=subject.username if subject else "",
        details=details,
        ip=ip,
    )
    metrics.event_audited(event)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields whose values differ, as `changes` has them."""
    return {
        name: {"before": before.get(name), "after": value}
        for name, value in after.items()
        if before.get(name) != value
    }


def forget_old() -> int:
    """Remove rows older than MSS_AUDIT_DAYS; how many that were. Nothing else removes any."""
    limit = timezone.now() - timedelta(days=settings.MSS_AUDIT_DAYS)
    return int(AuditEntry._base_manager.filter(at__lt=limit).delete()[0])
