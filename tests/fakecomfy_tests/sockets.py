"""WebSocket clients of the tests, and frames in a form that can be compared."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import aiohttp

FLAGS = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}


class Client:
    """Reads everything its socket gets in the background."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: list[Any] = []  # parsed JSON, or bytes
        self.compact: list[list[Any]] = []
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                frame = json.loads(message.data)
                self.frames.append(frame)
                self.compact.append(compact(frame))
            elif message.type == aiohttp.WSMsgType.BINARY:
                self.frames.append(message.data)
                self.compact.append(["binary", struct.unpack(">I", message.data[:4])[0]])
            self._changed.set()
        self._changed.set()

    @property
    def closed(self) -> bool:
        return self._task.done()

    async def wait_for(self, condition: Any, seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    async def wait_frames(self, count: int) -> None:
        await self.wait_for(lambda c: len(c.frames) >= count)

    async def close(self) -> None:
        await self.socket.close()
        await asyncio.wait([self._task], timeout=2)
        self._task.cancel()


async def connect(
    session: aiohttp.ClientSession, url: str, sid: str | None = None, flags: bool = True
) -> Client:
    """Connects, sends the feature flags, and waits for what the server says at first."""
    query = {} if sid is None else {"clientId": sid}
    client = Client(await session.ws_connect(url, params=query))
    if flags:
        await client.socket.send_json(FLAGS)
    await client.wait_frames(2 if flags else 1)
    return client


def compact(frame: dict[str, Any]) -> list[Any]:
    """A frame without what differs from run to run."""
    kind, data = frame["type"], frame["data"]
    if kind == "status":
        sid = ["sid"] if "sid" in data else []
        return [kind, data["status"]["exec_info"]["queue_remaining"], *sid]
    if kind == "progress_state":
        nodes = data["nodes"].items()
        return [kind, {n: [s["value"], s["max"], s["state"]] for n, s in nodes}]
    if kind in ("execution_error", "execution_interrupted"):
        return [kind, data["node_id"], sorted(data)]
    if kind == "executed":
        return [kind, data["node"], sorted(data["output"])]
    if kind == "execution_cached":
        return [kind, data["nodes"]]
    if kind == "executing":
        return [kind, data["node"]]
    if kind == "progress":
        return [kind, data["node"], data["value"], data["max"]]
    return [kind]


async def post(session: aiohttp.ClientSession, url: str, prompt: Any, **more: Any) -> str:
    async with session.post(f"{url}/prompt", json={"prompt": prompt, **more}) as answer:
        assert answer.status == 200
        return (await answer.json())["prompt_id"]


async def history(session: aiohttp.ClientSession, url: str, prompt_id: str) -> Any:
    async with session.get(f"{url}/history/{prompt_id}") as answer:
        return (await answer.json()).get(prompt_id)
