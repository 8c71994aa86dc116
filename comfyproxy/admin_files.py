"""The admin page of recorded files, and how the admin shows a file: by the gateway's own /view,
so nobody is shown more than there."""

from collections.abc import Collection
from typing import Any

from django.contrib import admin
from django.db.models import (
    BooleanField,
    Exists,
    ExpressionWrapper,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
)
from django.http import HttpRequest
from django.utils.html import format_html

from accounts.adminbase import LookedAtAdmin
from accounts.identity import Identity
from accounts.middleware import page_identity
from comfyproxy.files import TYPES
from comfyproxy.models import FileOwner, FileRecord
from comfyproxy.sharing import sees_files
from comfyproxy.shownfiles import address_of


def types_seen(identity: Identity | None) -> list[str]:
    """Of which of ComfyUI's folders this person sees everybody's files."""
    return [kind for kind in TYPES if identity is not None and sees_files(identity, kind)]


def types_seen_of(identity: Identity | None, user_id: int) -> Collection[str]:
    """Of which of them this person sees that user's: of all, their own."""
    is_own = identity is not None and identity.user_id == user_id
    return TYPES if is_own else types_seen(identity)


@admin.register(FileRecord)
class FileRecordAdmin(LookedAtAdmin):
    """Not deleted: without its record a file would be nobody's."""

    purpose = "Files that prompts made or people uploaded, and whose they are."
    empty_text = "They appear as people's prompts end."
    list_display = ("path", "type", "owned_by", "created_at", "link")
    list_filter = ("type", "created_at")
    search_fields = ("filename", "subfolder", "owners__user__username")
    date_hierarchy = "created_at"
    fields = readonly_fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[FileRecord]:
        identity = page_identity(request)
        me = None if identity is None else identity.user_id
        own = FileOwner.objects.filter(file=OuterRef("pk"), user=me)
        shown = Q(type__in=types_seen(identity)) | Exists(own)
        owners = FileOwner.objects.select_related("user").order_by("user__username")
        return (
            super()
            .get_queryset(request)
            .select_related("former")
            .annotate(shown=ExpressionWrapper(shown, output_field=BooleanField()))
            .prefetch_related(Prefetch("owners", owners))
        )

    @admin.display(ordering="filename")
    def path(self, obj: FileRecord) -> str:
        return obj.ref.path

    @admin.display(description="owners")
    def owned_by(self, obj: FileRecord) -> str:
        names = dict.fromkeys(row.user.username for row in obj.owners.all())
        if names or obj.former is None:
            return ", ".join(names)
        return f"(deleted with {obj.former.username})"

    @admin.display(description="")
    def link(self, obj: Any) -> str:
        is_gone = obj.former is not None and not obj.owners.all()
        if is_gone or not obj.shown:
            return "hidden"
        return format_html(
            '<a href="{}" target="_blank" rel="noopener">open</a>', address_of(obj.ref)
        )
