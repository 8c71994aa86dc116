"""A server that speaks the gateway's HTTP protocol, with an application of the test's behind it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from mssproject import web
from tests.gateway import free_port


@asynccontextmanager
async def serving_protocol(app: Any) -> AsyncIterator[int]:
    """Its port."""
    number = free_port()
    config = uvicorn.Config(
        app,
        port=number,
        http=web.Protocol,
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(SystemExit):
        task = asyncio.ensure_future(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield number
    server.should_exit = True
    await task
