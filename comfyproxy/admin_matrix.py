"""The admin's page of users and models of one folder: who was given what, to tick."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path

from accounts import errors, granting, grantreads
from accounts.adminbase import TellingAdmin, actor_of
from accounts.holdings import Holding
from accounts.login import client_ip
from accounts.models import Role, User
from comfyproxy.admin_give import (
    items,
    looked_for_new,
    models_now,
    of_this_backend,
    through,
    ticked_before,
)
from comfyproxy.modeltree import search

MAX_USERS: Final = 50
MAX_MODELS: Final = 100


@dataclass
class Cell:
    """One user and one model. `value` is what a ticked box sends."""

    value: str
    user: str
    ticked: bool
    through: str


@dataclass
class Row:
    """One model and what each user shown has of it."""

    name: str
    cells: list[Cell]


def rows_of(folder: str, names: list[str], users: list[User]) -> list[Row]:
    """The matrix. As many queries for one user as for fifty."""
    reaching = grantreads.reaching(users, folder)
    seen: dict[tuple[int, str], str] = {}

    def elsewhere(holding: Holding, name: str) -> str:
        # Most users of a page share their role: asked once for all of them.
        key = (id(holding), name)
        if key not in seen:
            seen[key] = through([holding], folder, name)
        return seen[key]

    def cell(user: User, name: str) -> Cell:
        own, *others = reaching[user.pk]
        wide = own.by_pattern(folder, name)
        texts = [f"through {'/'.join(wide)}"] if wide is not None else []
        texts += filter(None, (elsewhere(holding, name) for holding in others))
        ticked = (folder, name) in own.items
        return Cell(f"{user.pk}/{folder}/{name}", user.username, ticked, ", ".join(texts))

    return [Row(name, [cell(user, name) for user in users]) for name in names]


class ShowsMatrix(TellingAdmin):
    """The page. Of the admin of grants."""

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.matrix_view)
        return [path("matrix/", view, name="accounts_modelgrant_matrix"), *super().get_urls()]

    def matrix_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows a part of the matrix; POST saves its ticks, or has ComfyUI asked anew."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._matrix(request)
        try:
            if request.POST.get("do") == "refresh":
                self.message_user(request, looked_for_new())
            else:
                added, removed = self._save(request)
                self.message_user(request, f"Given: {added} more. Taken away: {removed}.")
        except errors.GatewayError as error:
            self.message_user(request, error.message, messages.ERROR)
        return redirect(request.get_full_path())

    @transaction.atomic
    def _save(self, request: HttpRequest) -> tuple[int, int]:
        before, ticked = ticked_before(request), set(request.POST.getlist("c"))
        changes: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for index, values in enumerate((ticked - before, before - ticked)):
            for value in values:
                key, _, model = value.partition("/")
                changes[key][index].append(model)
        users = _by_key(changes)
        added = removed = 0
        for key, (wanted, unwanted) in sorted(changes.items()):
            more, less = granting.change(
                users[key],
                items(wanted),
                of_this_backend(items(unwanted)),
                actor=actor_of(request),
                ip=client_ip(request),
            )
            added, removed = added + more, removed + less
        return added, removed

    def _matrix(self, request: HttpRequest) -> HttpResponse:
        models = models_now(request, self)
        query = {name: request.GET.get(name, "").replace("\0", "") for name in QUERY}
        filled = [name for name, names in models.items() if names]
        folder = query["folder"] if query["folder"] in models else next(iter(filled), "")
        names = [name for _, name in search(models, query["q"], folder)] if folder else []
        models_page = Paginator(names, MAX_MODELS).get_page(query["mp"])
        users_page = Paginator(_users(query["who"], query["role"]), MAX_USERS).get_page(query["up"])
        users = list(users_page.object_list)
        rows = rows_of(folder, list(models_page.object_list), users)
        see_all = grantreads.who_see_all(users)
        context = {
            "title": "Users and models",
            "query": query,
            "folder": folder,
            "folders": list(models),
            "roles": Role.objects.all(),
            "columns": [(user, user.pk in see_all) for user in users],
            "rows": rows,
            "before_json": orjson.dumps(
                [cell.value for row in rows for cell in row.cells if cell.ticked]
            ).decode(),
            "models_page": models_page,
            "users_page": users_page,
            "pages": [*_links(query, "up", users_page), *_links(query, "mp", models_page)],
        }
        return self.own_page(
            request,
            "admin/accounts/modelgrant/matrix.html",
            context,
            purpose="Who was given which models of one folder. Tick and save.",
        )


# What the address of the page may say: folder, words of models, of users, their role, pages.
QUERY: Final = ("folder", "q", "who", "role", "up", "mp")


def _users(text: str, role: str) -> QuerySet[User]:
    found = User.objects.select_related("role").order_by("username")
    if text:
        found = found.filter(username__icontains=text)
    return found.filter(role_id=role) if role else found


def _by_key(keys: Any) -> dict[str, User]:
    """The users that boxes name.

    Raises:
        BadRequest: one of them is not there any more
    """
    numbers = [int(key) for key in keys if key.isascii() and key.isdigit() and len(key) < 19]
    found = {str(user.pk): user for user in User.objects.filter(pk__in=numbers)}
    if set(keys) - set(found):
        raise errors.BadRequest("Nothing was changed: a user of this page was deleted meanwhile.")
    return found


def _links(query: dict[str, str], name: str, page: Page) -> list[tuple[str, dict[str, str]]]:
    """(text, query) of the pages before and after this one."""
    kind = "users" if name == "up" else "models"
    links = []
    if page.has_previous():
        links.append((f"Previous {kind}", query | {name: str(page.previous_page_number())}))
    if page.has_next():
        links.append((f"Next {kind}", query | {name: str(page.next_page_number())}))
    return links
