"""What the admin's first page tells of downloads: those that run and wait."""

from typing import Final

from downloads.models import DownloadJob

MAX_SHOWN: Final = 10


def active() -> tuple[list[DownloadJob], int]:
    """(those that run, then those that wait, the oldest first; how many there are)."""
    rows = DownloadJob.objects.filter(status__in=DownloadJob.ACTIVE).select_related("user")
    running = DownloadJob.Status.RUNNING
    ordered = sorted(rows[:1000], key=lambda job: (job.status != running, job.created_at))
    return ordered[:MAX_SHOWN], rows.count()
