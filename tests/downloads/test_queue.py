"""Whose download is next, how many at once, and what becomes of a silent worker's."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from downloads import queue
from downloads.models import DownloadJob
from downloads.queue import Progress, Sign

pytestmark = pytest.mark.django_db

Status = DownloadJob.Status
CIVITAI, HUGGINGFACE = "civitai", "huggingface"


class Clock:
    def __init__(self) -> None:
        self.now = timezone.now()

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    found = Clock()
    monkeypatch.setattr("downloads.queue.timezone.now", lambda: found.now)
    yield found


def user(name: str) -> User:
    return User.objects.create(username=name, role_id="power")


def ask(who: User, source: str = HUGGINGFACE, *, at: datetime | None = None, **more: Any) -> Any:
    return DownloadJob.objects.create(
        user=who, target=who, source=source, created_at=at or timezone.now(), **more
    )


def claimed(worker: str = "w") -> Any:
    job = queue.claim(worker)
    return None if job is None else job.pk


def test_first_asked_for_is_first_begun(clock: Clock) -> None:
    ann = user("ann")
    jobs = []
    for _ in range(3):
        clock.pass_(1)
        jobs.append(ask(ann).pk)
    assert claimed() == jobs[0]
    job = DownloadJob.objects.get(pk=jobs[0])
    assert (job.status, job.attempts, job.lease_owner) == (Status.RUNNING, 1, "w")
    assert job.started_at == clock.now


def test_site_takes_so_many_at_once_and_all_sites_together(clock: Clock) -> None:
    ann = user("ann")
    for source, number in ((HUGGINGFACE, 4), (CIVITAI, 5)):
        for _ in range(number):
            ask(ann, source)
    begun = [queue.claim("w") for _ in range(10)]
    sources = [job.source for job in begun if job is not None]
    assert (sources.count(HUGGINGFACE), sources.count(CIVITAI)) == (2, 3)
    assert queue.stats() == {
        "active_total": 5,
        "active_civitai": 3,
        "active_huggingface": 2,
        "pending_total": 4,
        "limit_total": 5,
        "limit_civitai": 3,
        "limit_huggingface": 2,
    }
    done = next(job for job in begun if job is not None and job.source == CIVITAI)
    assert queue.completed(done.pk, "w", sha256="0" * 64)
    following = queue.claim("w")
    assert following is not None and following.source == CIVITAI


def test_who_asked_for_many_does_not_keep_the_others_waiting(clock: Clock) -> None:
    ann, ben, eve = map(user, ("ann", "ben", "eve"))
    for _ in range(10):
        clock.pass_(1)
        ask(ann, CIVITAI)
    clock.pass_(1)
    bens, eves = ask(ben, CIVITAI).pk, ask(eve, CIVITAI).pk
    first = queue.claim("w")
    assert first is not None and first.user_id == ann.pk
    assert {claimed(), claimed()} == {bens, eves}
    assert queue.claim("w") is None


def test_worker_that_lives_keeps_its_job_and_a_silent_one_loses_it_once(clock: Clock) -> None:
    ann = user("ann")
    job = ask(ann).pk
    assert claimed("first") == job
    lease = settings.DOWNLOAD_LEASE_SECONDS
    for seconds in range(3):
        clock.pass_(lease - 1)
        assert queue.alive(job, "first", Progress(seconds, 10, 1.0)) is Sign.GO_ON
        assert claimed("second") is None
    clock.pass_(lease + 1)
    assert claimed("second") == job
    assert claimed("third") is None
    # The first one was only slow: it hears that the job is not its own any more.
    assert queue.alive(job, "first", Progress(9, 10, 1.0)) is Sign.LOST
    assert not queue.completed(job, "first")
    assert not queue.failed(job, "first", error="x", code="X")
    row = DownloadJob.objects.get(pk=job)
    assert (row.status, row.attempts, row.bytes_done) == (Status.RUNNING, 2, 2)
    assert queue.completed(job, "second")


def test_what_a_worker_left_goes_before_anything_new(clock: Clock) -> None:
    ann = user("ann")
    left = ask(ann).pk
    assert claimed("first") == left
    clock.pass_(1)
    ask(user("ben"))
    clock.pass_(settings.DOWNLOAD_LEASE_SECONDS + 1)
    assert claimed("second") == left


def test_cancelled_job_of_a_dead_worker_ends(clock: Clock) -> None:
    job = ask(user("ann")).pk
    assert claimed("first") == job
    DownloadJob.objects.filter(pk=job).update(cancel_requested=True)
    assert queue.alive(job, "first", None) is Sign.CANCEL
    clock.pass_(settings.DOWNLOAD_LEASE_SECONDS + 1)
    assert claimed("second") is None
    assert DownloadJob.objects.get(pk=job).status == Status.CANCELLED


def test_job_that_no_worker_survives_is_not_begun_for_ever(clock: Clock) -> None:
    job = ask(user("ann")).pk
    for _ in range(queue.MAX_ATTEMPTS):
        assert claimed() == job
        clock.pass_(settings.DOWNLOAD_LEASE_SECONDS + 1)
    assert claimed() is None
    row = DownloadJob.objects.get(pk=job)
    assert row.status == Status.FAILED
    assert "Start it again" in row.error


def test_worker_that_ends_gives_its_job_back(clock: Clock) -> None:
    job = ask(user("ann")).pk
    # However often: the job is not to blame.
    for _ in range(queue.MAX_ATTEMPTS + 1):
        assert claimed("first") == job
        assert queue.put_back(job, "first")
    assert claimed("second") == job
    assert DownloadJob.objects.get(pk=job).attempts == 1


def test_cancelled_job_that_is_given_back_ends(clock: Clock) -> None:
    job = ask(user("ann")).pk
    assert claimed("first") == job
    DownloadJob.objects.filter(pk=job).update(cancel_requested=True)
    assert queue.put_back(job, "first")
    assert claimed("second") is None
    assert DownloadJob.objects.get(pk=job).status == Status.CANCELLED


def test_job_whose_cancel_was_accepted_does_not_end_well(clock: Clock) -> None:
    job = ask(user("ann")).pk
    assert claimed("first") == job
    DownloadJob.objects.filter(pk=job).update(cancel_requested=True)
    assert not queue.completed(job, "first")
    assert queue.cancelled(job, "first")


def test_errors_are_kept_as_text_whatever_a_site_says(clock: Clock) -> None:
    job = ask(user("ann")).pk
    assert claimed("first") == job
    assert queue.failed(job, "first", error="a\0b\ud800\n" + "x" * 600, code="X")
    assert DownloadJob.objects.get(pk=job).error == "a b " + "x" * 496


def test_what_ended_long_ago_or_is_one_too_many_is_forgotten(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "KEPT", 3)
    ann, ben = user("ann"), user("ben")
    over = {"status": Status.COMPLETED, "finished_at": clock.now}
    ended = [ask(ann, at=clock.now - timedelta(hours=n), **over) for n in range(5)]
    waiting = ask(ann, at=clock.now - timedelta(days=200))
    bens = ask(ben, **over | {"finished_at": clock.now - timedelta(days=89)})
    ask(ben, **over | {"finished_at": clock.now - timedelta(days=91)})
    assert queue.forget_old() == 3
    left = set(DownloadJob.objects.values_list("pk", flat=True))
    assert left == {*(job.pk for job in ended[:3]), waiting.pk, bens.pk}
    assert queue.forget_old() == 0


def test_job_that_is_to_wait_waits(clock: Clock) -> None:
    job = ask(user("ann"), not_before=clock.now + timedelta(minutes=5)).pk
    assert claimed() is None
    clock.pass_(301)
    assert claimed() == job


def test_users_jobs_go_with_them_and_the_worker_hears(clock: Clock) -> None:
    ann = user("ann")
    job = ask(ann).pk
    assert claimed("first") == job
    ann.delete()
    assert queue.alive(job, "first", None) is Sign.LOST
