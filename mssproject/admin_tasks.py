"""The admin's page of workers and what they do from time to time."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from accounts.adminbase import LookedAtAdmin, actor_of
from accounts.audit import audit
from accounts.handover import hand_over
from accounts.login import client_ip
from mssproject.celery import app
from mssproject.models import TaskRun

# The most frequent tasks run every 15 s.
SILENT_AFTER: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Due:
    """One task that runs from time to time, and its last run, if there was one."""

    task: str
    what: str
    every: timedelta
    run: TaskRun | None

    @property
    def state(self) -> str:
        if self.run is None:
            return "not yet"
        if self.run.finished_at is None:
            return "running"
        return f"failed: {self.run.error}" if self.run.error else "done"

    @property
    def often(self) -> str:
        """How often, for people to read: `15 s`, `10 min`, `24 h`."""
        seconds = int(self.every.total_seconds())
        for size, unit in ((3600, "h"), (60, "min")):
            if seconds >= size and seconds % size == 0:
                return f"{seconds // size} {unit}"
        return f"{seconds} s"

    @property
    def took(self) -> float | None:
        if self.run is None or self.run.finished_at is None:
            return None
        return (self.run.finished_at - self.run.started_at).total_seconds()


def due_tasks() -> Iterator[Due]:
    """What the schedule has, the most frequent first."""
    runs = {run.task: run for run in TaskRun.objects.all()}
    schedule = sorted(app.conf.beat_schedule.values(), key=lambda entry: entry["schedule"])
    for entry in schedule:
        name = entry["task"]
        every = timedelta(seconds=entry["schedule"])
        yield Due(name, _what(name), every, runs.get(name))


def _what(name: str) -> str:
    """The first sentence of a task's description."""
    app.loader.import_default_modules()
    task = app.tasks.get(name)
    text = inspect.getdoc(task.run) if task is not None else None
    return (text or name).split("\n\n")[0].replace("\n", " ")


@admin.register(TaskRun)
class TaskRunAdmin(LookedAtAdmin):
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """GET shows the tasks; POST has one run now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            if not self.may_act(request):
                raise PermissionDenied
            self._run(request, request.POST.get("task", ""))
            return redirect(request.path)
        due = list(due_tasks())
        context = {
            "title": "Workers and tasks",
            "due": due,
            "workers": _workers(due),
            "may_run": self.may_act(request),
        }
        return self.own_page(
            request,
            "admin/mssproject/taskrun/change_list.html",
            context,
            purpose="What the gateway's workers do by themselves, and how it went last.",
        )

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("admin:mssproject_taskrun_changelist")

    def _run(self, request: HttpRequest, name: str) -> None:
        if name not in {entry["task"] for entry in app.conf.beat_schedule.values()}:
            self.message_user(request, "There is no such task.", messages.ERROR)
            return
        fault = hand_over(name)
        if fault is not None:
            told = f"The worker could not be told: {type(fault).__name__}. Is the broker there?"
            self.message_user(request, told, messages.ERROR)
            return
        audit("task.asked", actor=actor_of(request), ip=client_ip(request), task=name)
        self.message_user(request, "The worker was told. Reload to see how it went.")


def _workers(due: list[Due]) -> list[dict[str, Any]]:
    """Each worker of whom anything was heard, and when that was."""
    heard: dict[str, Any] = {}
    for each in due:
        if each.run is not None and each.run.worker:
            last = each.run.finished_at or each.run.started_at
            heard[each.run.worker] = max(last, heard.get(each.run.worker, last))
    limit = timezone.now() - SILENT_AFTER
    return [
        {"name": name, "heard": last, "silent": last < limit}
        for name, last in sorted(heard.items())
    ]
