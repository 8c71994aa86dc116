"""The /_bench/ routes: bytes to stream; a queue, a history and models for load tests."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import crowded

if TYPE_CHECKING:
    from .core import Core

_CHUNK = b"\0" * (256 * 1024)


def make_routes(core: Core) -> web.RouteTableDef:
    routes = web.RouteTableDef()

    @routes.get("/_bench/bytes")
    async def some_bytes(request: web.Request) -> web.StreamResponse:
        left = int(request.query.get("n", 0))
        response = web.StreamResponse(
            headers={"Content-Length": str(left), "Content-Type": "application/octet-stream"}
        )
        await response.prepare(request)
        if request.method == "HEAD":
            left = 0
        while left > 0:
            await response.write(_CHUNK if left >= len(_CHUNK) else _CHUNK[:left])
            left -= len(_CHUNK)
        await response.write_eof()
        return response

    @routes.post("/_bench/seed")
    async def seed(request: web.Request) -> web.Response:
        """{count, owner_prefix}: that many pending items and as many history entries, or
        {pending, history, owner_prefix}: so many of each."""
        body = await request.json()
        count, prefix = int(body.get("count", 100)), str(body.get("owner_prefix", "user"))
        pending, history = int(body.get("pending", count)), int(body.get("history", count))
        for number in range(pending):
            core.queue.put(_item(core.number, f"{prefix}-{number % 10}", number))
            core.number += 1
        for number in range(history):
            entry = _item(core.number, f"{prefix}-{number % 10}", number)
            core.queue.history[entry[1]] = _ended(entry, number)
        return web.json_response({"pending": pending, "history": len(core.queue.history)})

    @routes.post("/_bench/models")
    async def models(request: web.Request) -> web.Response:
        """{models, bytes}: that many models, and node classes until /object_info is as long."""
        body = await request.json()
        crowded.fill(core, int(body["models"]), int(body["bytes"]))
        return web.json_response({})

    return routes


def _item(number: int, client_id: str, salt: int) -> Any:
    inputs = {"width": 64, "height": 64, "batch_size": 1, "color": salt}
    save = {"images": ["1", 0], "filename_prefix": f"{client_id}/bench"}
    prompt = {
        "1": {"class_type": "EmptyImage", "inputs": inputs},
        "2": {"class_type": "SaveImage", "inputs": save},
    }
    extra = {"client_id": client_id, "extra_pnginfo": {"workflow": {"id": client_id, "nodes": []}}}
    return (number, str(uuid.uuid4()), prompt, extra, ["2"])


def _ended(item: Any, salt: int) -> dict[str, Any]:
    now = int(time.time() * 1000)
    about = {"prompt_id": item[1], "timestamp": now}
    file = {"filename": f"bench_{salt:05}_.png", "subfolder": "", "type": "output"}
    meta = {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}
    return {
        "prompt": item,
        "outputs": {"2": {"images": [file]}},
        "status": {
            "status_str": "success",
            "completed": True,
            "messages": [
                ["execution_start", about],
                ["execution_cached", {"nodes": [], **about}],
                ["execution_success", about],
            ],
        },
        "meta": {"2": meta},
    }
