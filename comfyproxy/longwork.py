"""The long work that the gateway can have done: deleting all that lies in quarantine."""

from datetime import timedelta
from typing import Final

from accounts.jobs import Kind, Progress, register
from comfyproxy import quarantine

EMPTY_QUARANTINE: Final = "empty-quarantine"


def connect() -> None:
    """Make it known."""
    register(
        Kind(
            EMPTY_QUARANTINE,
            "Empty the quarantine",
            "comfyproxy.change_contentverdict",
            _empty_quarantine,
            loses="All files in quarantine are deleted from the disk. They cannot be restored.",
        )
    )


def _empty_quarantine(progress: Progress) -> str:
    rows = quarantine.due(timedelta(0))
    progress.begin(rows.count())
    gone = left = 0
    try:
        for record in rows:
            if quarantine.delete(record):
                gone += 1
            else:
                left += 1
            progress.step()
    finally:
        quarantine.changed()
    rest = f" {left} cannot be deleted from here and stay hidden." if left else ""
    return f"{gone} deleted for good.{rest}"
