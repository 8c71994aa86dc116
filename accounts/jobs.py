"""Long work that somebody asks for in the admin and a worker does: how far it is, how it ended.

The row is the truth; the broker only wakes a worker, and one looks by itself now and then. A worker
that dies over a job leaves its row without a sign of life; the next that looks ends it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import errors
from accounts.audit import audit
from accounts.handover import hand_over
from accounts.models import Job, User

logger = logging.getLogger(__name__)

TASK: Final = "accounts.tasks.run_jobs"
# A running job says how far it is at least so often, if it goes on at all.
SIGN_SECONDS: Final = 1.0
SILENT_AFTER: Final = timedelta(minutes=5)
# How long what a job made can be fetched.
FILES_KEPT: Final = timedelta(days=7)


class Stopped(Exception):
    """Somebody stopped the job."""


class Progress:
    """What a job's work tells of itself. Each call may raise Stopped."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._told = monotonic()

    @property
    def file(self) -> Path:
        """Where the job may leave what it made."""
        path = _file_of(self._job)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return path

    def begin(self, total: int) -> None:
        """So much there is to do."""
        self._tell(total=total, done=0)

    def step(self, number: int = 1) -> None:
        """So much more is done."""
        self._job.done += number
        if monotonic() - self._told >= SIGN_SECONDS:
            self._tell(done=self._job.done)

    def finish(self) -> None:
        self._tell(done=self._job.done)

    def _tell(self, **values: int) -> None:
        self._told = monotonic()
        rows = Job.objects.filter(pk=self._job.pk, status=Job.Status.RUNNING)
        if not rows.update(seen_at=timezone.now(), **values):
            raise Stopped


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of long work. `permission` is Django's, of whoever may ask for it and fetch what it
    made; `run` returns a sentence about what came of it, and may leave a file named `file_name`
    for people."""

    name: str
    title: str
    permission: str
    run: Callable[[Progress], str]
    file_name: str = ""
    # What is lost by it, if anything is: it is asked then whether it is meant.
    loses: str = ""


KINDS: Final[dict[str, Kind]] = {}


def register(kind: Kind) -> None:
    """Make a kind known. Each app does for its own, when it is ready."""
    KINDS[kind.name] = kind


def ask(name: str, *, actor: User, ip: str | None) -> Job:
    """Ask for work of that kind.

    Raises:
        PermissionDenied: not theirs to ask for
        Conflict: the same waits or runs
    """
    kind = KINDS[name]
    if not actor.has_perm(kind.permission):
        raise errors.PermissionDenied
    for job in Job.objects.filter(kind=name, status__in=Job.ACTIVE):
        if not is_silent(job):
            raise errors.Conflict("The same is being done already.")
    with transaction.atomic():
        job = Job.objects.create(kind=name, started_by=actor)
        audit("job.asked", actor=actor, ip=ip, job=kind.title)
    hand_over(TASK)
    return job


def stop(job: Job, *, actor: User, ip: str | None) -> bool:
    """Stop a job that waits or runs; whether it did either."""
    rows = Job.objects.filter(pk=job.pk, status__in=Job.ACTIVE)
    if not rows.update(status=Job.Status.STOPPED, finished_at=timezone.now()):
        return False
    audit("job.stopped", actor=actor, ip=ip, job=KINDS[job.kind].title if job.kind in KINDS else "")
    return True


def is_silent(job: Job) -> bool:
    """Whether a job that should be under way gave no sign for a while: its worker died, or none
    runs."""
    return job.status in Job.ACTIVE and timezone.now() - job.seen_at > SILENT_AFTER


def run_all() -> int:
    """Do all jobs that wait, one after the other; how many that were."""
    number = 0
    while (job := _claimed()) is not None:
        _run(job)
        number += 1
    return number


def _claimed() -> Job | None:
    """The next job, which is now this process's. Of two that reach for one, one gets it."""
    now = timezone.now()
    for job in Job.objects.filter(status=Job.Status.WAITING).order_by("asked_at"):
        rows = Job.objects.filter(pk=job.pk, status=Job.Status.WAITING)
        if rows.update(status=Job.Status.RUNNING, seen_at=now):
            job.status = Job.Status.RUNNING
            return job
    return None


def _run(job: Job) -> None:
    progress = Progress(job)
    kind = KINDS.get(job.kind)
    try:
        if kind is None:
            raise errors.NotFound("This version of the gateway does not know this kind of work.")
        said = kind.run(progress)
        progress.finish()
    except Stopped:
        _file_of(job).unlink(missing_ok=True)
    except Exception as error:
        logger.exception("job %s failed", job.kind)
        _file_of(job).unlink(missing_ok=True)
        # A kind of ours says what is wrong; of others, which kind it was is enough.
        text = error.message if isinstance(error, errors.GatewayError) else type(error).__name__
        _end(job, Job.Status.FAILED, text)
    else:
        _end(job, Job.Status.DONE, said)


def _end(job: Job, status: Job.Status, said: str) -> None:
    rows = Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING)
    rows.update(status=status, said=said[:300], finished_at=timezone.now())


def made(job: Job) -> Path | None:
    """What a job left for people, as long as it is there."""
    path = _file_of(job)
    return path if job.status == Job.Status.DONE and path.is_file() else None


def _file_of(job: Job) -> Path:
    return Path(settings.MSS_DATA_DIR / "jobs" / str(job.pk))


def end_silent() -> int:
    """End the jobs whose worker died over them, and remove what it left half done; how many that
    were. A worker that lives after all finds its job ended, and stops."""
    number = 0
    for job in Job.objects.filter(status=Job.Status.RUNNING):
        if is_silent(job):
            _end(job, Job.Status.FAILED, "The worker died over it. Ask for it again.")
            _file_of(job).unlink(missing_ok=True)
            number += 1
    return number


def forget_old() -> int:
    """Forget jobs that ended long ago, with what they made; how many that were."""
    old = Job.objects.exclude(status__in=Job.ACTIVE).filter(
        finished_at__lt=timezone.now() - FILES_KEPT
    )
    number = 0
    for job in old:
        _file_of(job).unlink(missing_ok=True)
        job.delete()
        number += 1
    return number
