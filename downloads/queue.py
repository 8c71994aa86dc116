"""Which download is next, and whose turn it is: claims, leases, limits.

A worker claims a job for a while and says again and again that it lives. A job whose worker
is silent is claimed anew, by one worker only: every step is one statement that names the
lease it counts on.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from accounts.sentences import Sentence, english
from downloads.models import MAX_ERROR, DownloadJob
from downloads.texts import clean, cleaned

TOTAL: Final = 5
PER_SOURCE: Final = {"civitai": 3, "huggingface": 2}
# A job that its workers did not survive so often is not begun again.
MAX_ATTEMPTS: Final = 8
# What has ended is kept so long, and so many of each user.
KEPT_FOR: Final = timedelta(days=90)
KEPT: Final = 500

Status = DownloadJob.Status


def _lease() -> timedelta:
    """How long a worker may be silent."""
    return timedelta(seconds=settings.DOWNLOAD_LEASE_SECONDS)


class Sign(Enum):
    """What a worker that says that it lives is told."""

    GO_ON = auto()
    CANCEL = auto()
    # The job is another's by now, or gone.
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is."""

    bytes_done: int
    total_bytes: int | None
    speed_bps: float


def _running() -> QuerySet[DownloadJob]:
    return DownloadJob.objects.filter(status=Status.RUNNING, lease_until__gte=timezone.now())


def stats() -> dict[str, int]:
    """What runs and waits, of everybody, and how much may (API.md section 6)."""
    running = Counter(_running().values_list("source", flat=True))
    active = DownloadJob.objects.filter(status__in=DownloadJob.ACTIVE).count()
    found = {
        "active_total": running.total(),
        "pending_total": active - running.total(),
        "limit_total": TOTAL,
    }
    for source, limit in PER_SOURCE.items():
        found |= {f"active_{source}": running[source], f"limit_{source}": limit}
    return found


@transaction.atomic
def claim(worker: str) -> DownloadJob | None:
    """The next job, leased to that worker; None: there is none, or the limits are reached.

    Who has the fewest running goes first; of one's own, what was asked for first. What a
    worker left behind goes on before anything new.
    """
    # All of them: whoever claims at the same time waits here, and sees what this one took.
    active = list(
        DownloadJob.objects.select_for_update()
        .filter(status__in=DownloadJob.ACTIVE)
        .order_by("created_at")
    )
    now = timezone.now()
    running = [job for job in active if _is_leased(job, now)]
    for job in active:
        if _is_leased(job, now):
            continue
        if job.cancel_requested:
            _end(job, Status.CANCELLED)
        elif job.status == Status.RUNNING and job.attempts >= MAX_ATTEMPTS:
            _end(
                job,
                Status.FAILED,
                error=english("This download broke off too often. Start it again."),
            )
    left = [job for job in active if job.status == Status.RUNNING and not _is_leased(job, now)]
    waiting = [
        job
        for job in active
        if job.status == Status.QUEUED and (job.not_before is None or job.not_before <= now)
    ]
    chosen = _next(running, left) or _next(running, waiting)
    if chosen is None:
        return None
    chosen.status, chosen.lease_owner = Status.RUNNING, worker
    chosen.lease_until, chosen.attempts = now + _lease(), chosen.attempts + 1
    chosen.started_at = chosen.started_at or now
    chosen.save()
    return chosen


def _is_leased(job: DownloadJob, now: Any) -> bool:
    return job.status == Status.RUNNING and job.lease_until is not None and job.lease_until >= now


def _next(running: list[DownloadJob], candidates: Iterable[DownloadJob]) -> DownloadJob | None:
    if len(running) >= TOTAL:
        return None
    of_source = Counter(job.source for job in running)
    of_user = Counter(job.user_id for job in running)
    possible = [
        job for job in candidates if of_source[job.source] < PER_SOURCE.get(job.source, TOTAL)
    ]
    return min(possible, key=lambda job: (of_user[job.user_id], job.created_at), default=None)


def alive(job_id: UUID, worker: str, progress: Progress | None) -> Sign:
    """Extend a worker's lease, and write down how far it is."""
    changes: dict[str, Any] = {"lease_until": timezone.now() + _lease()}
    if progress is not None:
        changes |= {
            "bytes_done": progress.bytes_done,
            "total_bytes": progress.total_bytes,
            "speed_bps": progress.speed_bps,
        }
    if not _mine(job_id, worker).update(**changes):
        return Sign.LOST
    is_cancelled = _mine(job_id, worker).filter(cancel_requested=True).exists()
    return Sign.CANCEL if is_cancelled else Sign.GO_ON


def note(job_id: UUID, worker: str, **facts: Any) -> bool:
    """Write down what became known of a job (its name, size, folder); whether it is still this
    worker's."""
    return bool(_mine(job_id, worker).update(**facts))


def completed(job_id: UUID, worker: str, **facts: Any) -> bool:
    """Whether the job was still this worker's, and to go on, and has ended well now."""
    mine = _mine(job_id, worker).filter(cancel_requested=False)
    return bool(mine.update(**_ending(Status.COMPLETED), **facts))


def failed(job_id: UUID, worker: str, *, error: str, code: str) -> bool:
    # Sites have their say in errors.
    said = clean(error)[:MAX_ERROR]
    parts = cleaned([error.template, dict(error.values)]) if isinstance(error, Sentence) else None
    return _ended(job_id, worker, Status.FAILED, error=said, error_parts=parts, error_code=code)


def cancelled(job_id: UUID, worker: str) -> bool:
    return _ended(job_id, worker, Status.CANCELLED)


def put_back(job_id: UUID, worker: str) -> bool:
    """Give a job back that this worker cannot finish: it ends itself. That is no failed attempt
    of the job's."""
    changes: dict[str, Any] = {"status": Status.QUEUED, "lease_owner": "", "lease_until": None}
    changes |= {"speed_bps": 0, "attempts": F("attempts") - 1}
    return bool(_mine(job_id, worker).update(**changes))


def forget_old() -> int:
    """Delete what ended long ago, and of each user all but the newest; how many that were."""
    ended = DownloadJob.objects.exclude(status__in=DownloadJob.ACTIVE)
    deleted, _ = ended.filter(finished_at__lt=timezone.now() - KEPT_FOR).delete()
    many = ended.order_by().values("user").annotate(number=Count("pk")).filter(number__gt=KEPT)
    for user_id in many.values_list("user", flat=True):
        newest_first = ended.filter(user=user_id).order_by("-created_at", "pk")
        ids = list(newest_first.values_list("pk", flat=True)[KEPT:])
        for start in range(0, len(ids), 500):
            deleted += ended.filter(pk__in=ids[start : start + 500]).delete()[0]
    return deleted


def _mine(job_id: UUID, worker: str) -> QuerySet[DownloadJob]:
    return DownloadJob.objects.filter(
        Q(job_id=job_id) & Q(lease_owner=worker) & Q(status=Status.RUNNING)
    )


def _ended(job_id: UUID, worker: str, status: Status, **facts: Any) -> bool:
    return bool(_mine(job_id, worker).update(**_ending(status), **facts))


def _end(job: DownloadJob, status: Status, error: str = "") -> None:
    for name, value in (_ending(status) | {"error": error}).items():
        setattr(job, name, value)
    job.save()


def _ending(status: Status) -> dict[str, Any]:
    return {
        "status": status,
        "finished_at": timezone.now(),
        "lease_owner": "",
        "lease_until": None,
        "speed_bps": 0,
    }
