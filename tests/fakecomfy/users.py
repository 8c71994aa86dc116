"""Users and settings: /users, /settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .userdata import user_path

if TYPE_CHECKING:
    from .core import Core

_FILE = "comfy.settings.json"


def add_routes(routes: web.RouteTableDef, core: Core) -> None:
    def load(request: web.Request) -> dict[str, Any]:
        try:
            path = user_path(core, request, _FILE)
        except KeyError as ex:
            raise web.HTTPUnauthorized from ex
        if path is None or not Path(path).is_file():
            return {}
        try:
            return json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError:
            core.logs.write(f"The user settings file is corrupted: {path}")
            return {}

    def save(request: web.Request, settings: dict[str, Any]) -> None:
        path = user_path(core, request, _FILE)
        assert path is not None
        Path(path).write_text(json.dumps(settings, indent=4), encoding="utf-8")

    @routes.get("/users")
    async def get_users(request: web.Request) -> web.Response:
        if core.options.multi_user:
            return web.json_response({"storage": "server", "users": core.users})
        home = user_path(core, request, None, create=False)
        return web.json_response({"storage": "server", "migrated": Path(home or "").exists()})

    @routes.post("/users")
    async def post_users(request: web.Request) -> web.Response:
        name = (await request.json())["username"]
        if name in core.users.values():
            return web.json_response({"error": "Duplicate username."}, status=400)
        user_id = core.add_user(name)
        core.users_file().write_text(json.dumps(core.users), encoding="utf-8")
        return web.json_response(user_id)

    @routes.get("/settings")
    async def get_settings(request: web.Request) -> web.Response:
        return web.json_response(load(request))

    @routes.get("/settings/{id}")
    async def get_setting(request: web.Request) -> web.Response:
        return web.json_response(load(request).get(request.match_info["id"]))

    @routes.post("/settings")
    async def post_settings(request: web.Request) -> web.Response:
        settings = load(request)
        new = await request.json()
        save(request, {**settings, **new})
        return web.Response(status=200)

    @routes.post("/settings/{id}")
    async def post_setting(request: web.Request) -> web.Response:
        settings = load(request)
        settings[request.match_info["id"]] = await request.json()
        save(request, settings)
        return web.Response(status=200)
