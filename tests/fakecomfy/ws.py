"""The WebSocket route: registration by client id, feature flags, takeover as ComfyUI does it."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from .record import RECORD, RequestRecord

if TYPE_CHECKING:
    from .core import Core


def add_routes(routes: web.RouteTableDef, core: Core) -> None:
    @routes.get("/ws")
    async def websocket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        sid = request.rel_url.query.get("clientId", "") or uuid.uuid4().hex
        if socket.can_prepare(request):
            # Before the answer: a test may look as soon as its client has one.
            _note(core, request, "ws_open", sid)
        await socket.prepare(request)
        # Moved to the end of the table, where broadcasts reach a new socket last.
        core.hub.sockets.pop(sid, None)
        core.hub.sockets[sid] = socket
        core.hub.flags[sid] = {}
        if request.transport is not None:
            core.hub.transports[socket] = request.transport
        try:
            status = {"status": core.queue_info(), "sid": sid}
            await core.hub.send("status", status, sid)
            executor = core.executor
            if executor.client_id == sid and executor.last_node_id is not None:
                await core.hub.send("executing", {"node": executor.last_node_id}, sid)
            await _read(core, request, socket, sid)
        finally:
            # Whatever is registered under the id now is forgotten, a successor's socket too.
            core.hub.sockets.pop(sid, None)
            core.hub.flags.pop(sid, None)
            core.hub.transports.pop(socket, None)
            _note(core, request, "ws_close", sid)
        return socket


def _note(core: Core, request: web.Request, kind: str, sid: str) -> None:
    if core.options.record:
        request[RECORD].status = 101
        record = RequestRecord(kind, request.method, request.raw_path, [], time.time(), sid=sid)
        core.recorder.add(record)


async def _read(core: Core, request: web.Request, socket: web.WebSocketResponse, sid: str) -> None:
    first = True
    async for message in socket:
        if message.type == WSMsgType.BINARY and core.options.record:
            core.recorder.frame(request, sid, "binary", message.data)
        if message.type != WSMsgType.TEXT:
            continue
        if core.options.record:
            core.recorder.frame(request, sid, "text", message.data.encode())
        try:
            data = json.loads(message.data)
            if core.options.bench and await _bench(socket, data):
                continue
            if first and data.get("type") == "feature_flags":
                core.hub.flags[sid] = data.get("data", {})
                await core.hub.send("feature_flags", core.features(), sid)
            first = False
        except json.JSONDecodeError:
            core.logs.write(f"Invalid JSON received from client {sid}: {message.data}")
        except Exception as ex:
            core.logs.write(f"Error processing WebSocket message: {ex}")


async def _bench(socket: web.WebSocketResponse, message: Any) -> bool:
    """Answers load generators at once, past the publishing loop; True if it was for us."""
    if not isinstance(message, dict):
        return False
    kind, data = message.get("type"), message.get("data") or {}
    if kind == "bench_echo":
        await socket.send_str(_frame(data["prompt_id"], data["n"], data.get("size", 0)))
        return True
    if kind == "bench_burst":
        for number in range(data["count"]):
            await socket.send_str(_frame(data["prompt_id"], number, data.get("size", 0)))
        return True
    return False


def _frame(prompt_id: str, number: int, size: int) -> str:
    data = {"value": number, "max": number, "prompt_id": prompt_id, "node": "1", "pad": "x" * size}
    return json.dumps({"type": "progress", "data": data})
