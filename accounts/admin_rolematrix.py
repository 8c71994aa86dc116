"""The admin's page of all roles beside each other: capabilities to tick, flags, limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path

from accounts import errors, services
from accounts.adminbase import TellingAdmin, actor_of
from accounts.api.administration import role_changes, role_json
from accounts.capabilities import DESCRIPTIONS, Capability
from accounts.login import client_ip
from accounts.models import Role

FLAGS: Final = {
    "mfa_required": "Must have a second factor",
    "sfw_enforced": "Is kept from explicit images",
}
NUMBERS: Final = {
    "max_waiting_prompts": "Prompts waiting at most, per user (empty: any number)",
    "max_prompt_bytes": "Largest prompt in bytes (empty: 10 MB)",
}
_BOXES: Final = {**{str(cap): text for cap, text in DESCRIPTIONS.items()}, **FLAGS}


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting of one role. `value`: whether it is ticked, or the number as text."""

    name: str
    label: str
    value: Any
    is_open: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One setting of all roles."""

    text: str
    cells: list[Cell]
    is_number: bool = False


class ShowsRoleMatrix(TellingAdmin):
    """The page. Of the admin of roles."""

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.matrix_view)
        return [path("matrix/", view, name="accounts_role_matrix"), *super().get_urls()]

    def matrix_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows all roles; POST saves what was changed of them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._matrix(request)
        try:
            number = self._save_matrix(request)
        except errors.GatewayError as error:
            self.message_user(request, error.message, messages.ERROR)
        else:
            self.message_user(request, f"Roles changed: {number}.")
        return redirect(request.path)

    def _matrix(self, request: HttpRequest) -> HttpResponse:
        roles = list(Role.objects.prefetch_related("permissions"))
        states = {role.slug: role_json(role) for role in roles}
        is_open = {role.slug: self.has_change_permission(request, role) for role in roles}

        def row(name: str, text: str, *, is_number: bool = False) -> Row:
            cells = []
            for role in roles:
                value = states[role.slug][name]
                shown = ("" if value is None else str(value)) if is_number else value
                label = f"{role}: {text}"
                cells.append(Cell(f"{role.slug}/{name}", label, shown, is_open[role.slug]))
            return Row(text, cells, is_number)

        shown = {slug: states[slug] for slug, may in is_open.items() if may}
        context = {
            "title": "Roles and capabilities",
            "roles": roles,
            "groups": (
                ("May", [row(str(cap), DESCRIPTIONS[cap]) for cap in Capability]),
                ("Rules", [row(name, text) for name, text in FLAGS.items()]),
                ("Limits", [row(name, text, is_number=True) for name, text in NUMBERS.items()]),
            ),
            "before_json": orjson.dumps(shown).decode(),
            "may_change": any(is_open.values()),
        }
        return self.own_page(
            request,
            "admin/accounts/role/matrix.html",
            context,
            purpose="What each role may do, side by side. Tick and save; it counts at once.",
        )

    @transaction.atomic
    def _save_matrix(self, request: HttpRequest) -> int:
        """Only what was changed on the page; what somebody else changed meanwhile stays."""
        before = _before(request)
        ticked = set(request.POST.getlist("on"))
        number = 0
        for role in Role.objects.filter(slug__in=before):
            if not self.has_change_permission(request, role):
                raise errors.PermissionDenied("You may not change this role.")
            changes = _changes(request, role.slug, before[role.slug], ticked)
            if changes:
                wanted = role_changes(changes)
                actor, ip = actor_of(request), client_ip(request)
                services.change_role(role, wanted, actor=actor, ip=ip)
                number += 1
        return number


def _before(request: HttpRequest) -> dict[str, dict[str, Any]]:
    try:
        found = orjson.loads(request.POST.get("before", ""))
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise errors.BadRequest("The form is not complete. Load the page again.")
    return found


def _changes(
    request: HttpRequest, slug: str, before: Mapping[str, Any], ticked: set[str]
) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name in _BOXES:
        is_on = f"{slug}/{name}" in ticked
        if is_on != (before.get(name) is True):
            changes[name] = is_on
    for name in NUMBERS:
        text = request.POST.get(f"{slug}/{name}")
        if text is None:
            continue
        value = _number(text)
        if value != before.get(name):
            changes[name] = value
    return changes


def _number(text: str) -> int | None:
    stripped = text.strip()
    if not stripped:
        return None
    if not stripped.isascii() or not stripped.isdigit() or len(stripped) > 12:
        raise errors.BadRequest(f"“{text[:40]}” is no number. Nothing was changed.")
    return int(stripped)
