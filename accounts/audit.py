"""Adds rows to the audit trail: who did what to whom, from where."""

from typing import Any

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
