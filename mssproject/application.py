"""Puts the apps together into one ASGI application. Import it through `mssproject.asgi`."""

import asyncio
import contextlib
import gc
from typing import cast

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from starlette.staticfiles import StaticFiles

from accounts import authentication
from accounts.bus import bus
from comfyproxy import catalog, upstream
from comfyproxy.asgitypes import App, Receive, Scope, Send
from comfyproxy.consumers import SocketConsumer
from comfyproxy.entry import ComfyEntry, SocketEntry
from comfyproxy.hub import hub
from comfyproxy.views import BareASGIHandler
from mssproject import celery  # noqa: F401 - views hand tasks to it
from mssproject.front import Front


def _handler(kind: type[ASGIHandler]) -> App:
    # Django types its messages as read-only mappings; at run time they are plain dicts.
    return cast("App", kind())


front = Front(
    comfy=ComfyEntry(_handler(BareASGIHandler)),
    sockets=SocketEntry(SocketConsumer.as_asgi()),
    pages=_handler(ASGIHandler),
    static=StaticFiles(directory=settings.STATIC_ROOT, check_dir=False),
)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serves `http` and `websocket`; `lifespan` starts and ends what lives in the loop."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        await front(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    # What was imported stays. Looked through again and again it would hold up everything for a
    # tenth of a second each time.
    gc.collect()
    gc.freeze()
    authentication.listen()
    catalog.listen()
    hub.start()
    listener = asyncio.ensure_future(bus.listen())
    early = asyncio.ensure_future(catalog.prepare())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    early.cancel()
    await catalog.close()
    await hub.close()
    listener.cancel()
    for task in (early, listener):
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await bus.close()
    await upstream.close()
    await send({"type": "lifespan.shutdown.complete"})
