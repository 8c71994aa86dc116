"""The admin's page of workers and tasks: what it knows of each run, and having one run now."""

from datetime import timedelta
from typing import Any

import pytest
from celery import shared_task
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from accounts import handover
from accounts.models import AuditEntry, Role, User
from mssproject import admin_tasks
from mssproject.celery import app
from mssproject.models import TaskRun
from tests.comfyproxy.adminpages import page, post, request_of

pytestmark = pytest.mark.django_db

RECONCILE = "comfyproxy.tasks.reconcile_prompts"


@shared_task(name="tests.works")
def works() -> None:
    """Does nothing."""


@shared_task(name="tests.fails")
def fails() -> None:
    """Tells a secret while failing."""
    raise ValueError("the secret")


@pytest.fixture
def adam() -> User:
    return User.objects.create(username="adam", role_id="admin")


@pytest.fixture
def watcher() -> User:
    role = Role.objects.create(slug="watcher", title="Watcher", rank=50, is_staff=True)
    role.permissions.add(Permission.objects.get(codename="view_taskrun"))
    return User.objects.create(username="watcher", role=role)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of tasks that were handed to the broker."""
    names: list[str] = []
    monkeypatch.setattr(
        handover.current_app, "send_task", lambda name, **kwargs: names.append(name)
    )
    return names


def test_each_run_is_noted_with_how_it_ended_and_without_what_it_said() -> None:
    works.apply()
    fails.apply()
    good, bad = TaskRun.objects.get(task="tests.works"), TaskRun.objects.get(task="tests.fails")
    assert (good.error, bad.error) == ("", "ValueError")
    for run in (good, bad):
        assert run.finished_at is not None and run.finished_at >= run.started_at
    fails.apply()
    works.apply()
    assert TaskRun.objects.count() == 2


def test_admin_sees_every_task_of_the_schedule_and_how_it_went(adam: User) -> None:
    now = timezone.now()
    TaskRun.objects.create(
        task=RECONCILE,
        worker="celery@here",
        started_at=now - timedelta(seconds=9),
        finished_at=now - timedelta(seconds=7.5),
        error="",
    )
    TaskRun.objects.create(
        task="accounts.tasks.forget_old",
        worker="celery@gone",
        started_at=now - timedelta(hours=5),
        finished_at=now - timedelta(hours=5),
        error="OSError",
    )
    TaskRun.objects.create(task="downloads.tasks.work", worker="downloads@here", started_at=now)
    html, _ = page(TaskRun, request_of(adam))
    for entry in app.conf.beat_schedule.values():
        assert f'value="{entry["task"]}"' in html
    for text in ("Bring all records up to date", "1.5 s", "failed: OSError", "running", "not yet"):
        assert text in html, text
    found = {
        worker["name"]: worker["silent"]
        for worker in admin_tasks._workers(list(admin_tasks.due_tasks()))
    }
    assert found == {"celery@here": False, "celery@gone": True, "downloads@here": False}


def test_page_without_any_run_says_how_workers_start(adam: User) -> None:
    assert "No worker was heard of yet. ./run starts them." in page(TaskRun, request_of(adam))[0]


def test_admin_has_a_task_run_now(adam: User, sent: list[str]) -> None:
    _, said = post(TaskRun, adam, task=RECONCILE)
    assert (sent, said) == ([RECONCILE], ["The worker was told. Reload to see how it went."])
    row = AuditEntry.objects.get()
    assert (row.event, row.details) == ("task.asked", {"task": RECONCILE})


@pytest.mark.parametrize("task", ["", "tests.fails", "celery.backend_cleanup", "os.system"])
def test_nothing_but_what_is_scheduled_is_run(adam: User, sent: list[str], task: str) -> None:
    _, said = post(TaskRun, adam, task=task)
    assert (sent, said) == ([], ["There is no such task."])


def test_broker_that_is_away_is_told(adam: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str, **kwargs: Any) -> None:
        raise OSError("redis://user:secret@host")

    monkeypatch.setattr(handover.current_app, "send_task", away)
    _, (said,) = post(TaskRun, adam, task=RECONCILE)
    assert "could not be told: OSError" in said and "secret" not in said
    assert not AuditEntry.objects.exists()


def test_staff_who_only_looks_runs_nothing(watcher: User, sent: list[str]) -> None:
    assert "Run now" not in page(TaskRun, request_of(watcher))[0]
    with pytest.raises(PermissionDenied):
        post(TaskRun, watcher, task=RECONCILE)
    assert sent == []
    watcher.role.permissions.clear()
    with pytest.raises(PermissionDenied):
        page(TaskRun, request_of(User.objects.get(pk=watcher.pk)))
