"""The admin page of prompts: whose, how they ended, what they made; and stopping them."""

import re
from itertools import groupby
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse

from accounts.adminbase import LookedAtAdmin, actor_of
from accounts.audit import audit
from accounts.capabilities import Capability
from accounts.errors import GatewayError
from accounts.login import client_ip
from accounts.middleware import page_identity
from accounts.models import User
from comfyproxy.admin_files import types_seen_of
from comfyproxy.cancel import cancel
from comfyproxy.models import FileOwner, PromptRecord
from comfyproxy.shownfiles import address_of, is_picture

# Shown on a prompt's page.
MAX_FILES: Final = 200
# So many users may have a name like what is searched for.
LIKE: Final = 100
_PART_OF_ID: Final = re.compile(r"[0-9a-fA-F-]{4,36}")


@admin.register(PromptRecord)
class PromptRecordAdmin(LookedAtAdmin):
    """Not deleted: without its record a prompt still in ComfyUI would be nobody's."""

    purpose = "What people had ComfyUI run, how it ended, and the files it made."
    empty_text = "Nobody has run a prompt yet."
    list_display = (
        "prompt_id",
        "user",
        "state",
        "created_at",
        "started_at",
        "finished_at",
        "seconds",
        "file_count",
    )
    list_filter = ("state", "created_at")
    # Joined to the users, SQLite would begin at these, and sort the prompts of all.
    list_select_related = ()
    search_fields = ("prompt_id", "user__username")
    date_hierarchy = "created_at"
    actions = ("cancel_prompts",)
    fields = readonly_fields = (
        "prompt_id",
        "user",
        "number",
        "state",
        "created_at",
        "started_at",
        "finished_at",
        "seconds",
        "size_bytes",
        "workflow_id",
        "client_id",
    )
    change_form_template = "admin/comfyproxy/promptrecord/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[PromptRecord]:
        own = FileOwner.objects.filter(prompt=OuterRef("pk")).order_by().values("prompt")
        counted = Subquery(own.annotate(number=Count("pk")).values("number"))
        rows = super().get_queryset(request)
        rows = rows.prefetch_related("user")
        return rows.annotate(files_made=Coalesce(counted, 0, output_field=IntegerField()))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[PromptRecord], search_term: str
    ) -> tuple[QuerySet[PromptRecord], bool]:
        """Prompts of users of such a name, along the index; or whose id has the word in it."""
        for word in search_term.replace("\0", "").split():
            users = User.objects.filter(username__icontains=word)[:LIKE]
            wanted = Q(user__in=list(users.values_list("pk", flat=True)))
            if _PART_OF_ID.fullmatch(word):
                wanted |= Q(prompt_id__icontains=word)
            queryset = queryset.filter(wanted)
        return queryset, False

    @admin.display(ordering="execution_seconds")
    def seconds(self, obj: PromptRecord) -> str:
        return "" if obj.execution_seconds is None else f"{obj.execution_seconds:.1f}"

    @admin.display(description="files", ordering="files_made")
    def file_count(self, obj: Any) -> int:
        return int(obj.files_made)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        record = self.get_object(request, unquote(object_id))
        shown = {} if record is None else files_of(request, record)
        return super().change_view(request, object_id, form_url, (extra_context or {}) | shown)

    @admin.action(description="Cancel: take out of the queue, interrupt")
    def cancel_prompts(
        self, request: HttpRequest, queryset: QuerySet[PromptRecord]
    ) -> HttpResponse | None:
        """Waiting ones leave the queue, running ones are interrupted, whoever's they are."""
        identity = page_identity(request)
        if identity is None or not identity.can(Capability.MANAGE_BACKEND):
            refusal = f"Your role does not allow this: it takes {Capability.MANAGE_BACKEND}."
            self.message_user(request, refusal, messages.ERROR)
            return None
        page = self.ask(
            request,
            queryset,
            question="Cancel these prompts?",
            losses=(
                "Those that wait leave the queue.",
                "One that runs is interrupted, and what it has worked out so far is lost.",
            ),
            button="Cancel the prompts",
        )
        if page is not None:
            return page
        chosen = {str(record.pk): record for record in queryset.select_related("user")}
        try:
            stopped = async_to_sync(cancel)(list(chosen))
        except GatewayError as error:
            self.message_user(request, error.message, messages.ERROR)
            return None
        tell_stopped(request, [chosen[prompt_id] for prompt_id in stopped])
        rest = len(chosen) - len(stopped)
        others = f" {rest} neither waited nor ran any more." if rest else ""
        self.message_user(request, f"Stopped {len(stopped)} of {len(chosen)} prompts.{others}")
        return None


def tell_stopped(request: HttpRequest, records: list[PromptRecord]) -> None:
    """One audit row for each user whose prompts were stopped."""
    records.sort(key=lambda record: (record.user_id, str(record.pk)))
    for _, group in groupby(records, key=lambda record: record.user_id):
        theirs = list(group)
        audit(
            "prompts.cancelled",
            actor=actor_of(request),
            subject=theirs[0].user,
            ip=client_ip(request),
            prompts=[str(record.pk) for record in theirs],
        )


def files_of(request: HttpRequest, record: PromptRecord) -> dict[str, Any]:
    """A prompt's files as its page shows them: those that the person may open, and whether
    there are others."""
    seen = types_seen_of(page_identity(request), record.user_id)
    rows = FileOwner.objects.filter(prompt=record).select_related("file").order_by("file_id")
    refs = [row.file.ref for row in rows[: MAX_FILES + 1]]
    shown = [ref for ref in refs[:MAX_FILES] if ref.type in seen]
    return {
        "files": [
            {"name": str(ref.path), "url": address_of(ref), "is_picture": is_picture(ref)}
            for ref in shown
        ],
        "some_hidden": len(shown) < len(refs[:MAX_FILES]),
        "more": len(refs) > MAX_FILES,
    }
