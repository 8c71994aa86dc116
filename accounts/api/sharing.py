"""Which models users, roles and teams were given, over HTTP (API.md sections 4 and 8).

For who holds `can_manage_model_sharing`, staff or not: they may give any model to anybody.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import errors, granting, holders, queries
from accounts.api.administration import require_trusted
from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView
from accounts.capabilities import Capability
from accounts.holders import Holder
from accounts.login import client_ip
from accounts.models import ModelGrant


class MayShareModels(HasIdentity):
    """Who holds the capability, with a token limited to it as well."""

    def has_permission(self, request: Request, view: Any) -> bool:
        super().has_permission(request, view)
        require_sharing(request)
        return True


def require_sharing(request: Request) -> None:
    """Raise PermissionDenied unless the caller may give models to others."""
    user, identity = caller(request)
    identity.require(Capability.MANAGE_MODEL_SHARING)
    require_trusted(user, identity)


def item_json(row: ModelGrant) -> dict[str, Any]:
    """A grant as clients see it. `granted_by` is null once that account is gone."""
    return {
        "folder": row.folder,
        "item_name": row.item_name,
        "source_backend": row.source_backend,
        "granted_by": None if row.granted_by is None else row.granted_by.username,
        "granted_by_role": row.granted_by_role or None,
        "created_at": row.created_at,
    }


def items_of(data: Any) -> tuple[list[granting.Item], bool]:
    """The items of a body, and whether it is a list of them (`items`).

    Raises:
        BadRequest with the field at fault
    """
    if not isinstance(data, Mapping):
        raise errors.BadRequest("The body must be a JSON object.")
    if "items" not in data:
        return [_item(data)], False
    given = data["items"]
    if not isinstance(given, list) or len(given) > granting.MAX_AT_ONCE:
        raise errors.BadRequest(
            f"items must be a list of at most {granting.MAX_AT_ONCE}.", field="items"
        )
    return [_listed(number, each) for number, each in enumerate(given, start=1)], True


def _item(data: Mapping[str, Any]) -> granting.Item:
    return granting.item(data.get("folder"), data.get("item_name"), data.get("source_backend"))


def _listed(number: int, given: Any) -> granting.Item:
    if not isinstance(given, dict):
        raise errors.BadRequest(f"Number {number} of items is no object.", field="items")
    try:
        return _item(given)
    except errors.BadRequest as error:
        raise errors.BadRequest(
            f"Number {number} of items: {error.message}", field="items"
        ) from None


class SharedItemsView(GatewayView):
    """GET lists what a holder was given itself, POST gives models, DELETE takes them away."""

    permission_classes: Any = (MayShareModels,)

    def holder(self, request: Request, name: str) -> Holder:
        raise NotImplementedError

    def get(self, request: Request, name: str) -> Response:
        rows = granting.grants_of(self.holder(request, name))
        return Response({"items": [item_json(row) for row in rows]})

    def post(self, request: Request, name: str) -> Response:
        holder = self.holder(request, name)
        items, several = items_of(request.data)
        actor, _ = caller(request)
        rows = granting.grant(holder, items, actor=actor, ip=client_ip(request))
        shown = [item_json(row) for row in rows]
        return Response({"status": "ok", **({"items": shown} if several else {"item": shown[0]})})

    def delete(self, request: Request, name: str) -> Response:
        holder = self.holder(request, name)
        # Some clients cannot send a body with a DELETE.
        items, _ = items_of(request.data or request.query_params)
        actor, _ = caller(request)
        removed = granting.revoke(holder, items, actor=actor, ip=client_ip(request))
        if not removed:
            raise errors.NotFound("They were not given this.")
        return Response({"status": "ok", "removed": removed})


class UserItemsView(SharedItemsView):
    """A user's."""

    def holder(self, request: Request, name: str) -> Holder:
        found = queries.user_by_name(name)
        if found is None:
            raise errors.NotFound("There is no such user.")
        return found


class GroupItemsView(SharedItemsView):
    """A role's, or a team's where no role has that name."""

    def holder(self, request: Request, name: str) -> Holder:
        return holders.role_or_team(name)
