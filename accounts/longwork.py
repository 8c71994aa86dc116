"""The long work that accounts can have done: the whole audit log as a file."""

import json
from collections.abc import Iterator
from typing import Final

from accounts import sheets
from accounts.jobs import Kind, Progress, register
from accounts.models import AuditEntry

AUDIT_EXPORT: Final = "audit-export"
_NAMES: Final = ("at", "event", "actor", "subject", "ip", "details")
_CHUNK: Final = 2000


def connect() -> None:
    """Make it known."""
    register(
        Kind(
            AUDIT_EXPORT,
            "Export the audit log",
            "accounts.view_auditentry",
            _export_audit,
            file_name="audit-log.csv",
        )
    )


def _export_audit(progress: Progress) -> str:
    # What comes while it runs is not in it.
    last = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    rows = AuditEntry.objects.filter(pk__lte=last).order_by("pk")
    progress.begin(rows.count())
    number = 0

    def lines() -> Iterator[tuple[str, ...]]:
        nonlocal number
        for row in rows.iterator(chunk_size=_CHUNK):
            yield (
                row.at.isoformat(),
                row.event,
                row.actor_name,
                row.subject_name,
                row.ip or "",
                json.dumps(row.details, ensure_ascii=False),
            )
            number += 1
            progress.step()

    path = progress.file
    with path.open("w", encoding="utf-8", newline="") as file:
        path.chmod(0o600)
        sheets.write_csv(file, _NAMES, lines())
    return f"{number} rows."
