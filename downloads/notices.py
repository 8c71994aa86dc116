"""Tells other apps that a model has come.

Downloads end in a worker, which tells; and without Redis nobody hears it in the web process. There
whoever asks how a download goes brings the news.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from downloads.models import DownloadJob

_hooks: list[Callable[[], None]] = []
_latest: datetime | None = None


def register(hook: Callable[[], None]) -> None:
    """Have `hook` called when new models are there. For `AppConfig.ready`."""
    if hook not in _hooks:
        _hooks.append(hook)


def came() -> None:
    """A model is there."""
    for hook in _hooks:
        hook()


def seen(jobs: Iterable[DownloadJob]) -> None:
    """Somebody is about to be told of these."""
    global _latest
    ends = [
        job.finished_at
        for job in jobs
        if job.status == DownloadJob.Status.COMPLETED and job.finished_at is not None
    ]
    latest = max(ends, default=None)
    if latest is not None and (_latest is None or latest > _latest):
        _latest = latest
        came()
