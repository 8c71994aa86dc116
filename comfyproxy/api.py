"""The gateway's own API about ComfyUI, below /mss-login/api/."""

from typing import Any

from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import grantreads, queries
from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView
from accounts.api.sharing import MayShareModels
from accounts.capabilities import Capability
from accounts.errors import NotFound
from accounts.grants import current_folder
from accounts.models import User
from accounts.telling import told
from comfyproxy import catalog, usersettings
from comfyproxy.filters.models import allowed_names
from comfyproxy.filters.queue import place_in_queue
from comfyproxy.modeltree import models_by_folder
from comfyproxy.queuewatch import look


class QueueView(GatewayView):
    """GET: how long the caller has to wait, and nothing about whose the other prompts are."""

    permission_classes = (HasIdentity,)

    def get(self, request: Request) -> Response:
        _, identity = caller(request)
        identity.require(Capability.ACCESS_API)
        snapshot = async_to_sync(look)()
        return Response(place_in_queue(snapshot.queue, snapshot.owners, identity.user_id))


class FrontendView(GatewayView):
    """GET: what our extension of ComfyUI's page has to know of whoever sits before it."""

    permission_classes = (HasIdentity,)

    def get(self, request: Request) -> Response:
        user, identity = caller(request)
        identity.require(Capability.ACCESS_API)
        return Response(
            {
                "username": user.username,
                "role_title": told(user.role.title),
                "is_staff": user.is_staff,
                "shared": identity.shared,
                "permissions": {str(cap): identity.can(cap) for cap in Capability},
                "locked_settings": usersettings.locked_for(identity),
            }
        )


class OwnModelsView(GatewayView):
    """GET: the models that the caller may use, folder by folder."""

    permission_classes = (HasIdentity,)

    def get(self, request: Request) -> Response:
        _, identity = caller(request)
        identity.require(Capability.ACCESS_API)
        folders = models_by_folder(async_to_sync(catalog.to_show)().models.folders)
        allowed = catalog.allowed_models(identity)
        own = {name: allowed_names(name, models, allowed) for name, models in folders.items()}
        return Response({"folders": {name: models for name, models in own.items() if models}})


class ModelFoldersView(GatewayView):
    """GET: the folders that hold models, for who gives models to others."""

    permission_classes = (MayShareModels,)

    def get(self, request: Request) -> Response:
        found = async_to_sync(catalog.to_show)()
        return Response({"folders": list(models_by_folder(found.models.folders))})


class FolderModelsView(GatewayView):
    """GET: all models of one folder, by its present or its former name."""

    permission_classes = (MayShareModels,)

    def get(self, request: Request, folder: str) -> Response:
        found = async_to_sync(catalog.to_show)()
        models = models_by_folder(found.models.folders)
        name = current_folder(folder)
        if name not in models:
            raise NotFound("ComfyUI has no such model folder.")
        return Response({"folder": name, "models": models[name]})


class RefreshModelsView(GatewayView):
    """POST: have ComfyUI asked anew. Answers how many folders and models it has."""

    permission_classes = (MayShareModels,)

    def post(self, request: Request) -> Response:
        models = models_by_folder(async_to_sync(catalog.fresh)().models.folders)
        return Response(
            {
                "status": "ok",
                "folders": len(models),
                "models": sum(len(names) for names in models.values()),
            }
        )


class EffectiveModelsView(GatewayView):
    """GET: which of ComfyUI's models a user may use, and through whom they may."""

    permission_classes = (MayShareModels,)

    def get(self, request: Request, username: str) -> Response:
        user = queries.user_by_name(username)
        if user is None:
            raise NotFound("There is no such user.")
        found = async_to_sync(catalog.to_show)()
        models = models_by_folder(found.models.folders)
        return Response({"username": user.username, "items": effective_models(user, models)})


def effective_models(user: User, models: dict[str, list[str]]) -> list[dict[str, Any]]:
    """[{folder, item_name, through: [{holder, name, folder, item_name}]}] of all models that a
    user may use. `holder` is user, role, team or capability; the last two fields say what that
    holder was given, and are null of a capability."""
    through_all: list[dict[str, Any]] = []
    if grantreads.who_see_all([user]):
        name = str(Capability.VIEW_ALL_COMFYUI_ITEMS)
        through_all = [{"holder": "capability", "name": name, "folder": None, "item_name": None}]
    holdings = grantreads.reaching([user])[user.pk]
    items = []
    for folder, names in models.items():
        for name in names:
            through = through_all + [
                {"holder": each.kind, "name": each.name, "folder": given[0], "item_name": given[1]}
                for each in holdings
                if (given := each.by(folder, name)) is not None
            ]
            if through:
                items.append({"folder": folder, "item_name": name, "through": through})
    return items
