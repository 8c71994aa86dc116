"""Notes in the database how each task of the worker ran. Signals of Celery call it."""

from typing import Any

from celery.signals import task_failure, task_postrun, task_prerun
from django.utils import timezone

from mssproject.models import MAX_ERROR_CHARS, TaskRun


def connect() -> None:
    """From now on, in this process."""
    task_prerun.connect(_begun, weak=False, dispatch_uid="mss-task-begun")
    task_failure.connect(_failed, weak=False, dispatch_uid="mss-task-failed")
    task_postrun.connect(_ended, weak=False, dispatch_uid="mss-task-ended")


def _begun(task: Any = None, **kwargs: Any) -> None:
    TaskRun.objects.update_or_create(
        task=task.name,
        defaults={
            "worker": str(task.request.hostname or "")[:200],
            "started_at": timezone.now(),
            "finished_at": None,
            "error": "",
        },
    )


def _failed(sender: Any = None, exception: BaseException | None = None, **kwargs: Any) -> None:
    # Which kind, not its text: that may quote anything.
    name = type(exception).__name__[:MAX_ERROR_CHARS]
    TaskRun.objects.filter(task=sender.name).update(error=name)


def _ended(task: Any = None, **kwargs: Any) -> None:
    TaskRun.objects.filter(task=task.name).update(finished_at=timezone.now())
