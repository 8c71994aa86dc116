"""Long work: asked for, done by a worker, stopped, lost with its worker; who sees what it made."""

import csv
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import errors, handover, jobs
from accounts.admin_jobs import JobAdmin
from accounts.audit import audit
from accounts.jobs import KINDS, Kind, Progress
from accounts.models import AuditEntry, Job, Role, User
from comfyproxy.files import FileRef
from comfyproxy.models import FileRecord
from tests.comfyproxy.adminpages import page, request_of, sent

pytestmark = pytest.mark.django_db

EXPORT, EMPTY = "audit-export", "empty-quarantine"


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> list[str]:
    """What was handed to the broker."""
    settings.MSS_DATA_DIR = tmp_path
    told: list[str] = []
    monkeypatch.setattr(handover.current_app, "send_task", lambda name, **kwargs: told.append(name))
    return told


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin")


@pytest.fixture
def watcher() -> User:
    role = Role.objects.create(slug="watcher", title="Watcher", rank=50, is_staff=True)
    role.permissions.add(Permission.objects.get(codename="view_auditentry"))
    return User.objects.create(username="watcher", role=role)


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A kind of work that does what its list says."""
    plan: list[str] = []

    def run(progress: Progress) -> str:
        progress.begin(3)
        progress.file.write_text("half")
        for step in plan:
            if step == "stop":
                Job.objects.update(status=Job.Status.STOPPED)
            elif step == "fail":
                raise ValueError("a secret")
            elif step == "refuse":
                raise errors.BadRequest("That is wrong.")
            progress._told = float("-inf")
            progress.step()
        return "All of it."

    monkeypatch.setitem(KINDS, "test", Kind("test", "Test", "accounts.view_user", run))
    yield plan


def state(job: Job) -> tuple[str, int, int, str]:
    row = Job.objects.get(pk=job.pk)
    return row.status, row.done, row.total, row.said


@pytest.mark.parametrize(
    ("plan", "expected", "left"),
    [
        (["", "", ""], ("done", 3, 3, "All of it."), True),
        (["", "fail"], ("failed", 1, 3, "ValueError"), False),
        (["", "refuse"], ("failed", 1, 3, "That is wrong."), False),
        (["", "stop", ""], ("stopped", 1, 3, ""), False),
    ],
)
def test_job_tells_how_far_it_came_and_how_it_ended(
    adam: User,
    kind: list[str],
    broker: list[str],
    plan: list[str],
    expected: tuple[str, int, int, str],
    left: bool,
) -> None:
    kind.extend(plan)
    job = jobs.ask("test", actor=adam, ip="192.0.2.1")
    assert (broker, state(job)) == ([jobs.TASK], ("waiting", 0, 0, ""))
    assert jobs.run_all() == 1
    assert state(job) == expected
    row = Job.objects.get(pk=job.pk)
    assert row.finished_at is not None or expected[0] == "stopped"
    assert (jobs.made(row) is not None) == left
    assert jobs.run_all() == 0


def test_the_same_is_not_done_twice_at_once_unless_its_worker_died(
    adam: User, kind: list[str]
) -> None:
    job = jobs.ask("test", actor=adam, ip=None)
    with pytest.raises(errors.Conflict):
        jobs.ask("test", actor=adam, ip=None)
    Job.objects.filter(pk=job.pk).update(
        status="running", seen_at=timezone.now() - jobs.SILENT_AFTER - timedelta(seconds=1)
    )
    assert jobs.ask("test", actor=adam, ip=None).pk != job.pk
    assert "No sign of life" in page(Job, request_of(adam))[0]


def test_job_whose_worker_died_is_ended_and_what_it_left_removed(
    adam: User, kind: list[str]
) -> None:
    dead, alive = (Job.objects.create(kind="test", status="running") for _ in range(2))
    for job in (dead, alive):
        Progress(job).file.write_text("half")
    silent = timezone.now() - jobs.SILENT_AFTER - timedelta(seconds=1)
    Job.objects.filter(pk=dead.pk).update(seen_at=silent)
    waiting = Job.objects.create(kind="test", seen_at=silent)
    assert jobs.end_silent() == 1
    assert state(dead)[::3] == ("failed", "The worker died over it. Ask for it again.")
    assert [state(job)[0] for job in (alive, waiting)] == ["running", "waiting"]
    assert [Progress(job).file.exists() for job in (dead, alive)] == [False, True]
    # Should it live after all, it stops.
    with pytest.raises(jobs.Stopped):
        Progress(dead).begin(1)


def test_job_of_a_kind_nobody_knows_fails(adam: User) -> None:
    job = Job.objects.create(kind="gone", started_by=adam)
    jobs.run_all()
    assert state(job)[0] == "failed"


def test_broker_that_is_away_loses_no_job(
    adam: User, kind: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str, **kwargs: object) -> None:
        raise OSError

    monkeypatch.setattr(handover.current_app, "send_task", away)
    job = jobs.ask("test", actor=adam, ip=None)
    assert jobs.run_all() == 1 and state(job)[0] == "done"


def test_jobs_are_forgotten_with_what_they_made(adam: User, kind: list[str]) -> None:
    job = jobs.ask("test", actor=adam, ip=None)
    jobs.run_all()
    path = jobs.made(Job.objects.get(pk=job.pk))
    assert path is not None
    assert jobs.forget_old() == 0
    Job.objects.update(finished_at=timezone.now() - jobs.FILES_KEPT - timedelta(seconds=1))
    waiting = jobs.ask("test", actor=adam, ip=None)
    assert jobs.forget_old() == 1
    assert not path.exists() and list(Job.objects.all()) == [waiting]


# --- the kinds ----------------------------------------------------------------------------------


def test_audit_log_is_exported_whole_and_runs_nothing(adam: User, watcher: User) -> None:
    audit("login.failed", ip="192.0.2.1", username="=cmd|x", note='a "b", c')
    audit("user.role", actor=adam, subject=watcher, before="user", after="watcher")
    job = jobs.ask(EXPORT, actor=watcher, ip=None)
    jobs.run_all()
    path = jobs.made(Job.objects.get(pk=job.pk))
    assert path is not None and stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["event"] for row in rows] == ["login.failed", "user.role", "job.asked"]
    assert (rows[1]["actor"], rows[1]["subject"], rows[0]["ip"]) == ("adam", "watcher", "192.0.2.1")
    assert '"username": "=cmd|x"' in rows[0]["details"]
    assert state(job) == ("done", 3, 3, "3 rows.")


def test_quarantine_is_emptied_where_this_machine_can(
    adam: User, settings: Settings, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    settings.COMFYUI_FOLDERS = {"output": output, "input": None}
    for kind, name in (("output", "a.png"), ("output", "b.png"), ("input", "c.png")):
        (output / name).write_bytes(b"x")
        row = FileRecord.of(FileRef(kind, "", name))
        row.quarantined_at = None if name == "b.png" else timezone.now() - timedelta(seconds=1)
        row.save()
    job = jobs.ask(EMPTY, actor=adam, ip=None)
    jobs.run_all()
    assert state(job)[3] == "1 deleted for good. 1 cannot be deleted from here and stay hidden."
    assert sorted(path.name for path in output.iterdir()) == ["b.png", "c.png"]
    assert set(FileRecord.objects.values_list("filename", flat=True)) == {"b.png", "c.png"}


# --- the pages ----------------------------------------------------------------------------------


def pages() -> JobAdmin:
    return JobAdmin(Job, admin.site)


def test_what_deletes_is_asked_about_first(adam: User) -> None:
    request = request_of(adam)
    html = pages().ask_view(request, EMPTY).content.decode()
    assert "They cannot be restored." in html and not Job.objects.exists()
    sent(lambda request: pages().ask_view(request, EMPTY), adam)
    assert Job.objects.get().kind == EMPTY
    assert AuditEntry.objects.get().details == {"job": "Empty the quarantine"}


def test_staff_asks_for_sees_and_fetches_only_what_they_may(adam: User, watcher: User) -> None:
    theirs = jobs.ask(EXPORT, actor=watcher, ip=None)
    others = jobs.ask(EMPTY, actor=adam, ip=None)
    jobs.run_all()
    html, _ = page(Job, request_of(watcher))
    assert "Export the audit log" in html and "Empty the quarantine" not in html
    answer = pages().file_view(request_of(watcher), theirs.pk)
    assert answer["Content-Disposition"] == 'attachment; filename="audit-log.csv"'
    with pytest.raises(PermissionDenied):
        pages().file_view(request_of(watcher), others.pk)
    with pytest.raises(PermissionDenied):
        pages().ask_view(request_of(watcher), EMPTY)
    with pytest.raises(PermissionDenied):
        sent(lambda request: pages().stop_view(request, others.pk), watcher)
    with pytest.raises(errors.PermissionDenied):
        jobs.ask(EMPTY, actor=watcher, ip=None)
    watcher.role.permissions.clear()
    stranger = User.objects.get(pk=watcher.pk)
    for view in (pages().changelist_view, pages().rows_view):
        with pytest.raises(PermissionDenied):
            view(request_of(stranger))
    with pytest.raises(PermissionDenied):
        pages().file_view(request_of(stranger), theirs.pk)


def test_a_file_that_is_not_there_is_not_found(adam: User) -> None:
    job = jobs.ask(EXPORT, actor=adam, ip=None)
    for key in (job.pk, "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(Http404):
            pages().file_view(request_of(adam), key)


def test_admin_stops_a_job(adam: User) -> None:
    job = jobs.ask(EXPORT, actor=adam, ip=None)
    sent(lambda request: pages().stop_view(request, job.pk), adam)
    assert state(job)[0] == "stopped" and jobs.run_all() == 0
    events = list(AuditEntry.objects.order_by("pk").values_list("event", flat=True))
    assert events == ["job.asked", "job.stopped"]
    # It is over: nothing to stop.
    sent(lambda request: pages().stop_view(request, job.pk), adam)
    assert AuditEntry.objects.count() == 2


def test_page_shows_how_far_it_is(adam: User) -> None:
    Job.objects.create(kind=EXPORT, started_by=adam, status="running", done=5, total=20)
    html = pages().rows_view(request_of(adam)).content.decode()
    assert 'max="20" value="5"' in html and "5 of 20" in html and "Stop" in html
