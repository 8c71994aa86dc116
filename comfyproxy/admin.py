"""The admin pages of the gateway: prompts, and rules for custom nodes' routes."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin, actor_of
from accounts.audit import audit
from accounts.login import client_ip
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
class RouteRuleAdmin(admin.ModelAdmin):
    list_display = ("pattern", "methods", "capability", "note")

    def save_model(self, request: HttpRequest, obj: RouteRule, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit(
            "route_rule.changed" if change else "route_rule.created",
            actor=actor_of(request),
            ip=client_ip(request),
            rule=str(obj),
            capability=obj.capability,
        )

    def delete_model(self, request: HttpRequest, obj: RouteRule) -> None:
        audit("route_rule.deleted", actor=actor_of(request), ip=client_ip(request), rule=str(obj))
        super().delete_model(request, obj)
