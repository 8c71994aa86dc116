"""Sends events to WebSockets: one loop for all of them that awaits each send in turn."""

from __future__ import annotations

import asyncio
import json
import struct
from io import BytesIO
from typing import Any

import aiohttp
from aiohttp import web
from PIL import Image, ImageOps

PREVIEW_IMAGE = 1
UNENCODED_PREVIEW_IMAGE = 2
TEXT = 3
PREVIEW_IMAGE_WITH_METADATA = 4
_RAW = -1

# (format, picture, largest side or None)
Preview = tuple[str, Image.Image, int | None]


def encode_picture(preview: Preview) -> bytes:
    kind, picture, largest = preview
    if largest is not None:
        picture = ImageOps.contain(picture, (largest, largest), Image.Resampling.BILINEAR)
    buffer = BytesIO()
    picture.save(buffer, format=kind, quality=95, compress_level=1)
    return buffer.getvalue()


class EventHub:
    """The registered sockets and the queue of events for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._messages: asyncio.Queue[tuple[Any, Any, Any]] = asyncio.Queue()
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.flags: dict[str, dict[str, Any]] = {}
        # Of every open socket, those no longer registered too, so that stopping drops them all.
        self.transports: dict[web.WebSocketResponse, asyncio.Transport] = {}

    def supports(self, sid: Any, feature: str) -> bool:
        flags = self.flags.get(sid, {})
        return isinstance(flags, dict) and flags.get(feature) is True

    def send_sync(self, event: str | int, data: Any, sid: Any = None) -> None:
        """Queues an event from any thread. sid None means everyone."""
        # The loop is closed while a stopping server's worker comes to its end.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._messages.put_nowait, (event, data, sid))

    async def publish_loop(self) -> None:
        """Runs for ever. An error here ends the whole server, as upstream."""
        while True:
            event, data, sid = await self._messages.get()
            await self.send(event, data, sid)

    async def send(self, event: str | int, data: Any, sid: Any = None) -> None:
        if event == UNENCODED_PREVIEW_IMAGE:
            number = 2 if data[0] == "PNG" else 1
            picture = struct.pack(">I", number) + encode_picture(data)
            await self._send_bytes(PREVIEW_IMAGE, picture, sid)
        elif event == PREVIEW_IMAGE_WITH_METADATA and isinstance(data, tuple):
            preview, metadata = data
            mime = "image/png" if preview[0] == "PNG" else "image/jpeg"
            text = json.dumps({**metadata, "image_type": mime}).encode()
            picture = encode_picture(preview)
            await self._send_bytes(event, struct.pack(">I", len(text)) + text + picture, sid)
        elif event == _RAW:
            await self._to(sid, data)
        elif isinstance(data, bytes | bytearray):
            await self._send_bytes(int(event), bytes(data), sid)
        else:
            await self._to(sid, json.dumps({"type": event, "data": data}))

    def send_frame(self, frame: bytes, sid: Any = None) -> None:
        """Queues a whole binary frame as it is."""
        self.send_sync(_RAW, frame, sid)

    async def _send_bytes(self, event: str | int, data: bytes, sid: Any) -> None:
        await self._to(sid, struct.pack(">I", int(event)) + data)

    async def _to(self, sid: Any, message: str | bytes) -> None:
        if sid is None:
            targets = list(self.sockets.values())
        elif sid in self.sockets:  # a list or an object as client id raises here
            targets = [self.sockets[sid]]
        else:
            return
        for socket in targets:
            try:
                if isinstance(message, str):
                    await socket.send_str(message)
                else:
                    await socket.send_bytes(message)
            except (aiohttp.ClientError, ConnectionError, RuntimeError):
                continue

    def text_frame(self, node_id: str, text: str) -> bytes:
        node = node_id.encode()
        return struct.pack(">I", len(node)) + node + text.encode()

    def drop_all(self) -> None:
        """Cuts every socket without a closing frame, as a dying process does."""
        for transport in list(self.transports.values()):
            transport.abort()
        self.sockets.clear()
        self.flags.clear()
