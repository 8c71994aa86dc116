"""The admin pages of the gateway: prompts, files, rules for custom nodes' routes and events,
ComfyUI's state, people's files and settings, deleted users' things."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest

from accounts.adminbase import ReadOnlyAdmin, TellingAdmin

# These register themselves.
from comfyproxy import (  # noqa: F401
    admin_files,
    admin_grants,
    admin_prompts,
    admin_review,
    admin_userfiles,
)
from comfyproxy.models import Backend, BroadcastEvent, FormerNamespace, RouteRule


@admin.register(RouteRule)
class RouteRuleAdmin(TellingAdmin):
    list_display = ("pattern", "methods", "capability", "note")


@admin.register(BroadcastEvent)
class BroadcastEventAdmin(TellingAdmin):
    list_display = ("event_type", "note")


class LookedAtAdmin(ReadOnlyAdmin):
    """What the gateway keeps for itself: nothing of it is deleted here."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Backend)
class BackendAdmin(LookedAtAdmin):
    list_display = ("name", "fault", "fault_since", "checked_at", "running_id", "running_since")
    fields = (*list_display, "idle_since")


@admin.register(FormerNamespace)
class FormerNamespaceAdmin(LookedAtAdmin):
    list_display = ("username", "namespace", "keep_files", "deleted_at", "done_at", "waits_for")
    list_filter = ("keep_files",)
    search_fields = ("username", "namespace")
    fields = readonly_fields = list_display

    @admin.display(description="still to be cleared away")
    def waits_for(self, obj: FormerNamespace) -> str:
        if obj.done_at is not None:
            return ""
        left = []
        if obj.prompt_ids:
            left.append(f"{len(obj.prompt_ids)} prompts in ComfyUI's queue or history")
        if not obj.keep_files:
            left += [
                f"the {kind} folder" if folder else f"the {kind} folder: set {_variable(kind)}"
                for kind, folder in settings.COMFYUI_FOLDERS.items()
            ]
        return "; ".join(left) or "the worker looks every 10 minutes"


def _variable(kind: str) -> str:
    return f"COMFYUI_{kind.upper()}_DIR"
