"""The /_fake/ routes: what tests in another process use to steer and question the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from .core import Core


def make_routes(core: Core) -> web.RouteTableDef:
    routes = web.RouteTableDef()

    @routes.get("/_fake/requests")
    async def requests(request: web.Request) -> web.Response:
        return web.json_response([record.as_json() for record in core.recorder.all()])

    @routes.post("/_fake/clear")
    async def clear(request: web.Request) -> web.Response:
        core.recorder.clear()
        return web.json_response({})

    @routes.get("/_fake/state")
    async def state(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "worker_alive": core.worker.alive,
                "held": core.queue.held,
                "sockets": list(core.hub.sockets),
                "flags": core.hub.flags,
            }
        )

    @routes.post("/_fake/pause")
    async def pause(request: web.Request) -> web.Response:
        core.queue.hold(True)
        return web.json_response({})

    @routes.post("/_fake/resume")
    async def resume(request: web.Request) -> web.Response:
        core.queue.hold(False)
        return web.json_response({})

    @routes.post("/_fake/die")
    async def die(request: web.Request) -> web.Response:
        core.worker.kill()
        return web.json_response({})

    @routes.post("/_fake/hang")
    async def hang(request: web.Request) -> web.Response:
        core.hang_next += 1
        return web.json_response({})

    @routes.post("/_fake/emit")
    async def emit(request: web.Request) -> web.Response:
        body = await request.json()
        core.hub.send_sync(body["event"], body.get("data"), body.get("sid"))
        return web.json_response({})

    @routes.post("/_fake/emit_binary")
    async def emit_binary(request: web.Request) -> web.Response:
        """The body is the whole frame, its four bytes of event number included."""
        core.hub.send_frame(await request.read(), request.query.get("sid"))
        return web.json_response({})

    return routes
