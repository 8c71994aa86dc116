"""A ComfyUI that notices: when the first byte of a file reaches it, when its client is gone."""

import asyncio
import math
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from bench.rawhttp import form, request

PATIENCE_SECONDS: Final = 2.0
UPLOAD_BYTES: Final = 200_000_000
MARK: Final = b"first bytes of the file"
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n"
_PIECE: Final = b"\0" * 65536


@dataclass
class _Visit:
    """One request at the probe, from its arrival to the end of its connection."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    arrived_at: float = 0.0
    gone_at: float = math.inf
    writer: asyncio.StreamWriter | None = None

    async def end(self) -> None:
        """Wait until the connection ends, and cut it if it does not."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), PATIENCE_SECONDS)
            return
        assert self.writer is not None
        self.writer.transport.abort()
        await self.gone.wait()
        self.gone_at = math.inf


class Probe:
    """The server; `visit` is the request that is expected next."""

    def __init__(self) -> None:
        self.visit = _Visit()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection. The path says what to answer and when to stop."""
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
        visit, sender = self.visit, None
        visit.writer = writer
        if path == b"/upload/image":
            await reader.readuntil(MARK)
        elif path == b"/probe/pause":
            writer.write(_ANSWER + _PIECE)
        elif path == b"/probe/stream":
            sender = asyncio.create_task(_send(writer))
        visit.arrived_at = time.perf_counter()
        visit.arrived.set()
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass
        visit.gone_at = time.perf_counter()
        visit.gone.set()
        if sender is not None:
            sender.cancel()
        writer.close()


async def _send(writer: asyncio.StreamWriter) -> None:
    writer.write(_ANSWER)
    with suppress(ConnectionError):
        while True:
            writer.write(_PIECE)
            await writer.drain()


@asynccontextmanager
async def running(port: int) -> AsyncIterator[Probe]:
    """The probe, listening."""
    probe = Probe()
    server = await asyncio.start_server(probe.serve, "127.0.0.1", port, limit=1024 * 1024)
    try:
        yield probe
    finally:
        server.close()


@dataclass(frozen=True)
class Arrival:
    """Milliseconds from the first byte of a file sent to the same byte seen upstream."""

    median_ms: float
    worst_ms: float


async def first_byte(probe: Probe, port: int, token: str, times: int) -> Arrival:
    """Begin a large upload again and again, each time holding back nearly all of it."""
    head, before, _ = form(token, UPLOAD_BYTES)
    found = []
    for _ in range(times):
        visit = probe.visit = _Visit()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        begin = time.perf_counter()
        writer.write(head + before + MARK + _PIECE)
        await asyncio.wait_for(visit.arrived.wait(), PATIENCE_SECONDS)
        found.append((visit.arrived_at - begin) * 1000)
        writer.close()
        await visit.end()
    return Arrival(statistics.median(found), max(found))


async def closing(probe: Probe, port: int, token: str, times: int) -> dict[str, list[float]]:
    """Seconds from a client's leaving to the end of the upstream connection, by what was going
    on; infinite if the upstream connection stayed, and then not tried again."""
    head, before, _ = form(token, UPLOAD_BYTES)
    cases = {
        "while a download runs": (request("GET", "/probe/stream", token), True),
        "in a pause of a download": (request("GET", "/probe/pause", token), True),
        "during an upload": (head + before + MARK, False),
        "before ComfyUI answered": (request("GET", "/probe/silence", token), False),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for name, (message, answered) in cases.items():
        for _ in range(times):
            found[name].append(await _leave(probe, port, message, answered))
            if math.isinf(found[name][-1]):
                break
    return found


async def _leave(probe: Probe, port: int, message: bytes, answered: bool) -> float:
    visit = probe.visit = _Visit()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    await asyncio.wait_for(visit.arrived.wait(), PATIENCE_SECONDS)
    if answered:
        await asyncio.wait_for(reader.readexactly(len(_PIECE)), PATIENCE_SECONDS)
    begin = time.perf_counter()
    writer.close()
    await visit.end()
    return visit.gone_at - begin
