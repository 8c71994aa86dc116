"""The admin pages of the gateway: prompts, and rules for custom nodes' routes."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.adminbase import ReadOnlyAdmin, TellingAdmin
from comfyproxy.models import PromptRecord, RouteRule


@admin.register(PromptRecord)
class PromptRecordAdmin(ReadOnlyAdmin):
    list_display = ("prompt_id", "user", "number", "state", "created_at")
    list_filter = ("state",)
    list_select_related = ("user",)
    search_fields = ("prompt_id", "user__username")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Without its record a prompt still in ComfyUI would be nobody's.
        return False


@admin.register(RouteRule)
class RouteRuleAdmin(TellingAdmin):
    list_display = ("pattern", "methods", "capability", "note")
