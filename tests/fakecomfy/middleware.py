"""What every request passes: recording, cache headers, and the check of Origin against Host."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse, urlsplit

from aiohttp import web

from . import record

if TYPE_CHECKING:
    from .core import Core

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_CACHEABLE = frozenset({200, 201, 202, 203, 204, 205, 206, 301, 308})


def recording(core: Core) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_fake/"):
            return await handler(request)
        note = request[record.RECORD] = record.begin(request)
        core.recorder.add(note)
        try:
            if core.hang_next:
                core.hang_next -= 1
                await core.stopped.wait()
                raise asyncio.CancelledError
            response = await handler(request)
            note.status = response.status
            return response
        except web.HTTPException as ex:
            note.status = ex.status
            raise
        except Exception:
            note.status = 500
            raise
        finally:
            core.recorder.end(request, note)

    return middleware


@web.middleware
async def cache_control(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    path = request.path
    name = path.rsplit("/", 1)[-1]
    if path.endswith((".js", ".css")) or (name.startswith("index") and name.endswith(".json")):
        response.headers.setdefault("Cache-Control", "no-cache")
    elif path.lower().endswith(_IMAGES):
        if response.status == 404:
            response.headers.setdefault("Cache-Control", "public, max-age=3600")
        elif response.status in _CACHEABLE:
            response.headers.setdefault("Cache-Control", "public, max-age=86400")
        elif response.status in (302, 303, 307):
            response.headers.setdefault("Cache-Control", "no-cache")
    return response


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Upstream resolves the name; a test server should not wait for a name server.
        return host == "localhost" or host.endswith(".localhost")


def _refused(host: str, origin: str) -> bool:
    host_parts = urlsplit("//" + host.lower())
    origin_parts = urlparse(origin)
    host_name: str | None = host.lower()
    origin_name: str | None = origin_parts.netloc.lower()
    if origin_parts.port is None:
        host_name = host_parts.hostname
    if host_parts.port is None:
        origin_name = origin_parts.hostname
    if not host_name or not origin_name or not _is_loopback(host_parts.hostname):
        return False
    return host_name != origin_name


@web.middleware
async def origin_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    headers = request.headers
    if "Origin" in headers and "Host" in headers and _refused(headers["Host"], headers["Origin"]):
        return web.Response(status=403)
    if request.method == "OPTIONS":
        return web.Response()
    return await handler(request)
