"""The admin's pages of downloads: whose, how far, and what went wrong; keys are only counted."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from accounts import errors
from accounts.adminbase import ReadOnlyAdmin, actor_of
from accounts.login import client_ip
from accounts.middleware import page_identity
from downloads import services
from downloads.models import DownloadJob, SourceKey


@admin.register(DownloadJob)
class DownloadJobAdmin(ReadOnlyAdmin):
    purpose = "Models that people had downloaded from CivitAI and Hugging Face."
    empty_text = "They are asked for on the page of downloads, or by apps."
    list_display = (
        "name",
        "user",
        "target",
        "source",
        "folder_type",
        "status",
        "progress",
        "created_at",
        "finished_at",
        "error",
    )
    list_filter = ("status", "source", "folder_type", "created_at")
    list_select_related = ("user", "target")
    search_fields = ("filename", "destination", "user__username", "sha256")
    date_hierarchy = "created_at"
    actions = ("cancel_jobs", "retry_jobs")
    fields = readonly_fields = (
        "job_id",
        "user",
        "target",
        "source",
        "wanted",
        "status",
        "progress",
        "destination",
        "sha256",
        "error",
        "error_code",
        "attempts",
        "created_at",
        "started_at",
        "finished_at",
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # One that runs would go on without a row.
        return super().has_delete_permission(request, obj) and not (obj and obj.is_active)

    def get_actions(self, request: HttpRequest) -> Any:
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        if not self.may_act(request):
            return {}
        return found

    @admin.display(description="model", ordering="filename")
    def name(self, obj: DownloadJob) -> str:
        return obj.filename or ", ".join(str(value) for value in obj.wanted.values())[:100]

    @admin.display(description="progress")
    def progress(self, obj: DownloadJob) -> str:
        done = f"{obj.bytes_done / 1_048_576:.0f} MB"
        if obj.progress_pct is None:
            return done if obj.bytes_done else ""
        speed = f", {obj.speed_bps / 1_048_576:.1f} MB/s" if obj.speed_bps else ""
        return format_html(
            '<progress max="100" value="{}">{}%</progress> {}%, {}{}',
            obj.progress_pct,
            obj.progress_pct,
            obj.progress_pct,
            done,
            speed,
        )

    @admin.action(description="Cancel", permissions=("view",))
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[DownloadJob]) -> None:
        self._each(request, queryset, services.cancel, "Cancelled")

    @admin.action(description="Try again", permissions=("view",))
    def retry_jobs(self, request: HttpRequest, queryset: QuerySet[DownloadJob]) -> None:
        retry = partial(services.retry, identity=page_identity(request))
        self._each(request, queryset, retry, "Tried again")

    def _each(
        self, request: HttpRequest, queryset: QuerySet[DownloadJob], act: Any, word: str
    ) -> None:
        done = left = 0
        for job in queryset.select_related("user", "target"):
            try:
                act(job, actor=actor_of(request), ip=client_ip(request))
            except errors.GatewayError:
                left += 1
            else:
                done += 1
        rest = f" Of {left} that was not possible." if left else ""
        self.message_user(request, f"{word}: {done}.{rest}", messages.SUCCESS)


@admin.register(SourceKey)
class SourceKeyAdmin(ReadOnlyAdmin):
    """That there is one; never what it is."""

    purpose = "Whose keys for CivitAI and Hugging Face there are. What they are is never shown."
    empty_text = "Users give their keys on the page of downloads."

    list_display = ("user", "source", "updated_at")
    list_filter = ("source",)
    list_select_related = ("user",)
    search_fields = ("user__username",)
    fields = readonly_fields = list_display
