"""The admin pages of the gateway: prompts, files, rules for custom nodes' routes and events,
ComfyUI's state, people's files and settings, deleted users' things."""

from collections.abc import Sequence
from time import monotonic
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import path, reverse

from accounts.adminbase import LookedAtAdmin, TellingAdmin, Tool

# These register themselves.
from comfyproxy import (  # noqa: F401
    admin_files,
    admin_grants,
    admin_prompts,
    admin_review,
    admin_userfiles,
)
from comfyproxy.dashboard import look_now
from comfyproxy.models import Backend, BroadcastEvent, FormerNamespace, RouteRule


@admin.register(RouteRule)
class RouteRuleAdmin(TellingAdmin):
    purpose = (
        "Who may use routes that custom nodes added to ComfyUI. Without a rule, they take the "
        "capability “use routes added by custom nodes”."
    )
    empty_text = "Add one where a custom node's route should take more, or less, than that."
    list_display = ("pattern", "methods", "capability", "note")


@admin.register(BroadcastEvent)
class BroadcastEventAdmin(TellingAdmin):
    purpose = "Events that custom nodes send to everybody and every user may see."
    empty_text = "Other users' events are kept from each user. Name those that are nobody's."
    list_display = ("event_type", "note")


@admin.register(Backend)
class BackendAdmin(LookedAtAdmin):
    purpose = "The ComfyUI behind this gateway, and how it was when it was last looked at."
    empty_text = "It was not looked at yet. The worker does it every 15 seconds."
    list_display = ("name", "fault", "fault_since", "checked_at", "running_id", "running_since")
    fields = (*list_display, "idle_since")

    def list_tools(self, request: HttpRequest) -> Sequence[Tool]:
        url = reverse("admin:comfyproxy_backend_test")
        return [Tool("Test connection", url, is_post=True)]

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.test_view)
        return [path("test/", view, name="comfyproxy_backend_test"), *super().get_urls()]

    def test_view(self, request: HttpRequest) -> HttpResponse:
        """POST: ask ComfyUI now; what it says is told."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        began = monotonic()
        now = async_to_sync(look_now)()
        took = (monotonic() - began) * 1000
        where = settings.COMFYUI_URL
        if now.answers:
            version = f"ComfyUI {now.version}" if now.version else "ComfyUI"
            self.message_user(
                request,
                f"{version} at {where} answers, in {took:.0f} ms. "
                f"Running: {now.total_running}, waiting: {now.total_waiting}.",
            )
        else:
            told = f"ComfyUI at {where} does not answer. Start it, or correct COMFYUI_URL."
            self.message_user(request, told, messages.ERROR)
        return redirect("admin:comfyproxy_backend_changelist")


@admin.register(FormerNamespace)
class FormerNamespaceAdmin(LookedAtAdmin):
    purpose = "What deleted users left, and what is still to be cleared away of it."
    empty_text = "No user was deleted."
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
