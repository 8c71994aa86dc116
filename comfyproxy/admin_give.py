"""The admin's page of one holder's models: ComfyUI's folders as a tree to tick."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from asgiref.sync import async_to_sync
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse

from accounts import errors, granting, grantreads, holders, queries
from accounts.adminbase import TellingAdmin, Tool, actor_of
from accounts.grants import ANY
from accounts.holders import Holder
from accounts.holdings import Holding, Item
from accounts.login import client_ip
from accounts.models import ModelGrant, User
from comfyproxy import catalog
from comfyproxy.modeltree import Branch, Leaf, models_by_folder, search, tree

LIST: Final = "admin:accounts_modelgrant_changelist"
# On one page. Django takes ten times a thousand fields, see its settings.
MAX_SHOWN: Final = 4000
MAX_OTHERS: Final = 1000
EVERYTHING: Final = (ANY, ANY)


def models_now(request: HttpRequest, model_admin: TellingAdmin) -> dict[str, list[str]]:
    """ComfyUI's models by folder. None of them, and a message, if it cannot be asked."""
    try:
        return models_by_folder(async_to_sync(catalog.to_show)().models.folders)
    except errors.GatewayError as error:
        model_admin.message_user(request, error.message, messages.WARNING)
        return {}


def looked_for_new() -> str:
    """Have ComfyUI asked anew; what to tell about it.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    found = models_by_folder(async_to_sync(catalog.fresh)().models.folders)
    return f"ComfyUI has {sum(map(len, found.values()))} models now."


def ticked_before(request: HttpRequest) -> frozenset[str]:
    """What was ticked when the page was made. Only what the person changed of it counts:
    somebody else may have given or taken models meanwhile.

    Raises:
        BadRequest
    """
    try:
        found = orjson.loads(request.POST.get("before", ""))
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
        raise errors.BadRequest("The form is not complete. Load the page again.")
    return frozenset(found)


def items(values: Iterable[str]) -> list[granting.Item]:
    """What boxes of a tree stand for.

    Raises:
        BadRequest
    """
    found = []
    for value in values:
        folder, _, name = value.partition("/")
        try:
            found.append(granting.item(folder, name))
        except errors.BadRequest as error:
            raise errors.BadRequest(f"“{value[:200]}”: {error.message}") from None
    return found


def of_this_backend(wanted: Iterable[granting.Item]) -> Iterator[granting.Item]:
    """These however they were given: with and without the address of our ComfyUI."""
    for each in wanted:
        for backend in queries.backends_here():
            yield granting.Item(each.folder, each.item_name, backend)


def through(holdings: Iterable[Holding], folder: str, name: str) -> str:
    """By whose grants a model may be used, for people to read."""
    texts = []
    for holding in holdings:
        given = holding.by(folder, name)
        if given is not None:
            pattern = "" if given == (folder, name) else f" ({'/'.join(given)})"
            texts.append(f"through {holding}{pattern}")
    return ", ".join(texts)


@dataclass
class Shown:
    """What the page shows. `others`: grants that are no box of the tree."""

    branches: list[Branch]
    every: Leaf
    others: list[ModelGrant]
    before_json: str
    is_cut: bool
    is_many: bool


def shown(
    holder: Holder, holdings: list[Holding], models: dict[str, list[str]], text: str, folder: str
) -> Shown:
    """The page of `holder`; `holdings`: its own, then those it has a part in."""
    own, *others = holdings

    def elsewhere(place: str, name: str) -> str:
        wide = own.by_pattern(place, name)
        mine = "" if wide in (None, (place, name)) else f"through {'/'.join(wide or ())}"
        return ", ".join(filter(None, (mine, through(others, place, name))))

    found = list(islice(search(models, text, folder), MAX_SHOWN + 1))
    # Without a search also folders that nothing is in yet: they can be given as a whole.
    places = () if text else [folder] if folder else models
    branches = tree(found[:MAX_SHOWN], own.items, elsewhere, places)
    every = Leaf("/".join(EVERYTHING), "", EVERYTHING in own.items, through(others, *EVERYTHING))
    leaves = [every, *(leaf for branch in branches for leaf in _leaves(branch))]
    rest = _not_in_tree(holder, models)
    return Shown(
        branches=branches,
        every=every,
        others=rest[:MAX_OTHERS],
        before_json=orjson.dumps([leaf.value for leaf in leaves if leaf.ticked]).decode(),
        is_cut=len(found) > MAX_SHOWN,
        is_many=len(rest) > MAX_OTHERS,
    )


def _leaves(branch: Branch) -> Iterator[Leaf]:
    yield branch.whole
    yield from branch.leaves
    for below in branch.branches:
        yield from _leaves(below)


def _not_in_tree(holder: Holder, models: dict[str, list[str]]) -> list[ModelGrant]:
    """Patterns of other kinds, models that ComfyUI does not have now, other backends."""
    known: set[Item] = {EVERYTHING}
    for folder, names in models.items():
        known.add((folder, ANY))
        for name in names:
            known.add((folder, name))
            parts = name.split("/")[:-1]
            known |= {(folder, "/".join([*parts[:end], ANY])) for end in range(1, len(parts) + 1)}
    here = queries.backends_here()
    return [
        row
        for row in granting.grants_of(holder)
        if row.source_backend not in here or (row.folder, row.item_name) not in known
    ]


class GivesModels(TellingAdmin):
    """The page. Of the admin of grants."""

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.give_view)
        name = "accounts_modelgrant_give"
        return [path("give/<str:kind>/<int:key>/", view, name=name), *super().get_urls()]

    def give_view(self, request: HttpRequest, kind: str, key: int) -> HttpResponse:
        """GET shows the tree; POST saves it, copies another user's, or asks ComfyUI anew."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        try:
            holder = holders.by_key(kind, key)
        except errors.NotFound as error:
            self.message_user(request, error.message, messages.ERROR)
            return redirect(LIST)
        if request.method != "POST":
            return self._page(request, holder)
        try:
            self.message_user(request, self._act(request, holder))
        except errors.GatewayError as error:
            self.message_user(request, error.message, messages.ERROR)
        return redirect(request.get_full_path())

    def _act(self, request: HttpRequest, holder: Holder) -> str:
        who: Any = {"actor": actor_of(request), "ip": client_ip(request)}
        match request.POST.get("do"):
            case "save":
                before, ticked = ticked_before(request), set(request.POST.getlist("m"))
                gone = [*of_this_backend(items(before - ticked)), *_unticked_rows(request, holder)]
                added, removed = granting.change(holder, items(ticked - before), gone, **who)
                return f"Given: {added} more. Taken away: {removed}."
            case "copy":
                source = queries.user_by_name(request.POST.get("like", "").replace("\0", ""))
                if source is None:
                    raise errors.NotFound("There is no such user.")
                copied = granting.copy_grants(source, holder, **who)
                return f"Given: {copied} more, as {source} has them."
            case "refresh":
                return looked_for_new()
        raise errors.BadRequest("The form is not complete. Load the page again.")

    def _page(self, request: HttpRequest, holder: Holder) -> HttpResponse:
        models = models_now(request, self)
        text, folder = request.GET.get("q", ""), request.GET.get("folder", "")
        if isinstance(holder, User):
            holdings = grantreads.reaching([holder])[holder.pk]
        else:
            holdings = [grantreads.own(holder)]
        kind = holders.kind_of(holder)
        prefill = holders.name_of(holder) if kind == holders.ROLE else holder.pk
        by_pattern = f"{reverse('admin:accounts_modelgrant_add')}?{urlencode({kind: prefill})}"
        context = {
            "title": f"Models of the {kind} {holder}",
            "holder": holder,
            "kind": kind,
            "sees_all": isinstance(holder, User) and bool(grantreads.who_see_all([holder])),
            "shown": shown(holder, holdings, models, text, folder),
            "max_shown": MAX_SHOWN,
            "max_others": MAX_OTHERS,
            "folders": list(models),
            "folder": folder,
            "q": text,
            "usernames": User.objects.order_by("username").values_list("username", flat=True)[
                :MAX_OTHERS
            ],
        }
        return self.own_page(
            request,
            "admin/accounts/modelgrant/give.html",
            context,
            purpose="Tick what they may see and use.",
            tools=[Tool("Give by pattern", by_pattern)],
        )


def _unticked_rows(request: HttpRequest, holder: Holder) -> list[granting.Item]:
    """What was unticked of the grants outside the tree."""
    gone = set(request.POST.getlist("before_o")) - set(request.POST.getlist("o"))
    if not gone:
        return []
    return [granting.item_of(row) for row in granting.grants_of(holder) if str(row.pk) in gone]
