"""The /internal routes: logs, folder paths, top-level files. They exist once, not under /api."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from .core import Core


def make_app(core: Core) -> web.Application:
    routes = web.RouteTableDef()

    @routes.get("/logs")
    async def logs(request: web.Request) -> web.Response:
        return web.json_response("".join(f"{e['t']} - {e['m']}" for e in core.logs.snapshot()))

    @routes.get("/logs/raw")
    async def raw_logs(request: web.Request) -> web.Response:
        size = {"cols": 80, "rows": 24}
        return web.json_response({"entries": core.logs.snapshot(), "size": size})

    @routes.patch("/logs/subscribe")
    async def subscribe(request: web.Request) -> web.Response:
        body = await request.json()
        client_id, enabled = body["clientId"], body["enabled"]
        if enabled:
            core.logs.subscribed.add(client_id)
        else:
            core.logs.subscribed.discard(client_id)
        return web.Response(status=200)

    @routes.get("/folder_paths")
    async def folder_paths(request: web.Request) -> web.Response:
        return web.json_response({name: paths for name, (paths, _) in core.folders.models.items()})

    @routes.get("/files/{directory_type}")
    async def files(request: web.Request) -> web.Response:
        folder = core.folders.by_type(request.match_info["directory_type"])
        if folder is None:
            return web.json_response({"error": "Invalid directory type"}, status=400)
        with os.scandir(folder) as entries:
            found = [(-entry.stat().st_mtime, entry.name) for entry in entries if entry.is_file()]
        return web.json_response([name for _, name in sorted(found, key=lambda pair: pair[0])])

    app = web.Application()
    app.add_routes(routes)
    return app
