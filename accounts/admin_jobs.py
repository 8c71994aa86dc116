"""The admin's page of long work: how far it is, what it made; and the buttons that ask for some."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path, reverse

from accounts import errors, jobs
from accounts.adminbase import LookedAtAdmin, Tool, actor_of
from accounts.jobs import KINDS, Kind
from accounts.login import client_ip
from accounts.models import Job

MAX_SHOWN = 50


def tool(request: HttpRequest, name: str, text: str, title: str = "") -> list[Tool]:
    """The button that asks for work of that kind, for whoever may."""
    if not request.user.has_perm(KINDS[name].permission):
        return []
    url = reverse("admin:accounts_job_ask", args=[name])
    return [Tool(text, url, is_post=not KINDS[name].loses, title=title)]


@admin.register(Job)
class JobAdmin(LookedAtAdmin):
    """Whoever may ask for a kind of work sees it, whatever else they may."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(self._kinds(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        kinds = self._kinds(request)
        return bool(kinds) if obj is None else obj.kind in kinds

    def _kinds(self, request: HttpRequest) -> dict[str, Kind]:
        return {
            name: kind for name, kind in KINDS.items() if request.user.has_perm(kind.permission)
        }

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view
        return [
            path("ask/<slug:name>/", view(self.ask_view), name="accounts_job_ask"),
            path("<uuid:id>/stop/", view(self.stop_view), name="accounts_job_stop"),
            path("<uuid:id>/file/", view(self.file_view), name="accounts_job_file"),
            path("rows/", view(self.rows_view), name="accounts_job_rows"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.own_page(
            request,
            "admin/accounts/job/change_list.html",
            {"title": "Long work", **self._rows(request)},
            purpose="What workers do or did at somebody's request, and the files it made.",
        )

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("admin:accounts_job_changelist")

    def rows_view(self, request: HttpRequest) -> HttpResponse:
        """The rows alone, for the page that follows them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return render(request, "admin/accounts/job/rows.html", self._rows(request))

    def _rows(self, request: HttpRequest) -> dict[str, Any]:
        kinds = self._kinds(request)
        rows = Job.objects.filter(kind__in=kinds).select_related("started_by")[:MAX_SHOWN]
        shown = [
            {
                "job": job,
                "title": kinds[job.kind].title,
                "silent": jobs.is_silent(job),
                "has_file": jobs.made(job) is not None,
                "is_active": job.status in Job.ACTIVE,
            }
            for job in rows
        ]
        return {"rows": shown, "days": jobs.FILES_KEPT.days}

    def ask_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """GET says what will be lost; POST has it done."""
        kind = self._kinds(request).get(name)
        if kind is None:
            raise PermissionDenied
        if request.method != "POST":
            context = {"title": f"{kind.title}?", "kind": kind}
            return self.own_page(request, "admin/accounts/job/ask.html", context)
        try:
            jobs.ask(name, actor=actor_of(request), ip=client_ip(request))
        except errors.GatewayError as error:
            self.message_user(request, error.message, messages.WARNING)
        return redirect("admin:accounts_job_changelist")

    def stop_view(self, request: HttpRequest, id: Any) -> HttpResponse:
        """POST: stop it."""
        job = self._job(request, id)
        if request.method != "POST":
            raise PermissionDenied
        jobs.stop(job, actor=actor_of(request), ip=client_ip(request))
        return redirect("admin:accounts_job_changelist")

    def file_view(self, request: HttpRequest, id: Any) -> HttpResponseBase:
        """What it made."""
        job = self._job(request, id)
        found = jobs.made(job)
        if found is None:
            raise Http404
        name = KINDS[job.kind].file_name
        return FileResponse(found.open("rb"), as_attachment=True, filename=name)

    def _job(self, request: HttpRequest, id: Any) -> Job:
        job = Job.objects.filter(pk=id).first()
        if job is None:
            raise Http404
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        return job
