"""Puts the aiohttp application together: routes bare and under /api, static trees last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from . import (
    bench,
    control,
    frontend,
    info,
    internal,
    jobs,
    models,
    prompts,
    upload,
    userdata,
    users,
    view,
    ws,
)
from .middleware import cache_control, origin_only, recording

if TYPE_CHECKING:
    from .core import Core


def make_app(core: Core) -> web.Application:
    middlewares = [cache_control, origin_only]
    if core.options.record:
        middlewares.insert(0, recording(core))
    app = web.Application(client_max_size=core.options.max_upload_size, middlewares=middlewares)
    web_root = frontend.web_root(core.options.frontend)
    routes = web.RouteTableDef()
    frontend.add_routes(routes, web_root)
    for module in (ws, prompts, view, upload, users, userdata, models):
        module.add_routes(routes, core)
    info.add_routes(routes, core, web_root)
    app.add_subapp("/internal", internal.make_app(core))
    if core.options.control:
        app.add_routes(control.make_routes(core))
    if core.options.bench:
        app.add_routes(bench.make_routes(core))
    prefixed = web.RouteTableDef()
    for route in routes:
        if isinstance(route, web.RouteDef):
            prefixed.route(route.method, "/api" + route.path, **route.kwargs)(route.handler)
    if core.options.jobs:
        app.add_routes(jobs.make_routes(core))
    app.add_routes(prefixed)
    app.add_routes(routes)
    info.add_static(app, core)
    for name in ("templates", "docs"):
        app.add_routes([web.static(f"/{name}", frontend.BUILT_IN / name)])
    app.add_routes([web.static("/", web_root)])
    return app
