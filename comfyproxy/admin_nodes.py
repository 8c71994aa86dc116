"""The admin's page of the nodes that a role's prompts may not use, chosen from ComfyUI's."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from asgiref.sync import async_to_sync
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse

from accounts import errors, services
from accounts.admin_roles import RoleAdmin
from accounts.adminbase import Tool, actor_of
from accounts.api.administration import role_changes
from accounts.login import client_ip
from accounts.models import Role
from comfyproxy import catalog

MAX_SHOWN: Final = 5000


class BlocksNodes(RoleAdmin):
    """The page. Of the admin of roles."""

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.nodes_view)
        return [path("<id>/nodes/", view, name="accounts_role_nodes"), *super().get_urls()]

    def object_tools(self, request: HttpRequest, obj: Role) -> Sequence[Tool]:
        url = reverse("admin:accounts_role_nodes", args=[obj.pk])
        text = f"Blocked nodes ({len(obj.blocked_node_classes)})"
        return [*super().object_tools(request, obj), Tool(text, url)]

    def nodes_view(self, request: HttpRequest, id: str) -> HttpResponse:
        """GET: ComfyUI's nodes to tick. POST: these are blocked."""
        role = self.get_object(request, id)
        if role is None or not self.has_view_permission(request, role):
            raise PermissionDenied
        may_change = self.has_change_permission(request, role)
        if request.method == "POST":
            if not may_change:
                raise PermissionDenied
            try:
                self._save_nodes(request, role)
            except errors.GatewayError as error:
                self.message_user(request, error.message, messages.ERROR)
            return redirect(request.get_full_path())
        known = self._known(request)
        blocked = sorted(set(role.blocked_node_classes), key=str.casefold)
        rest = [name for name in known if name not in set(blocked)]
        context = {
            "title": f"Nodes that {role} may not use",
            "original": role,
            "blocked": [(name, name in known) for name in blocked],
            "others": rest[:MAX_SHOWN],
            "before_json": orjson.dumps(blocked).decode(),
            "may_change": may_change,
            "asked": bool(known),
        }
        return self.own_page(
            request,
            "admin/accounts/role/nodes.html",
            context,
            purpose="Prompts with a ticked node are refused, and say so.",
        )

    def _known(self, request: HttpRequest) -> dict[str, None]:
        """The classes of ComfyUI's nodes, by name. None, and a message, if it cannot be asked."""
        try:
            found = async_to_sync(catalog.to_show)().specs
        except errors.GatewayError as error:
            self.message_user(request, error.message, messages.WARNING)
            return {}
        return dict.fromkeys(sorted(found, key=str.casefold))

    def _save_nodes(self, request: HttpRequest, role: Role) -> None:
        """Only what was changed on the page: it may show fewer than there are."""
        try:
            before = set(orjson.loads(request.POST.get("before", "")))
        except (orjson.JSONDecodeError, TypeError):
            raise errors.BadRequest("The form is not complete. Load the page again.") from None
        ticked = set(request.POST.getlist("m"))
        now = set(role.blocked_node_classes)
        wanted = {"blocked_node_classes": sorted((now | (ticked - before)) - (before - ticked))}
        if set(wanted["blocked_node_classes"]) == now:
            return
        given = role_changes(wanted)
        services.change_role(role, given, actor=actor_of(request), ip=client_ip(request))
        self.message_user(request, f"Blocked: {len(wanted['blocked_node_classes'])} nodes.")
