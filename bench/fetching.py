"""Fetches a list of files as a browser does: over six connections, compressed, what it has by its
tag; over a link of some width. Runs in a process of its own."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import aiohttp

CONNECTIONS: Final = 6
_PIECE: Final = 16 * 1024
# What an aiohttp server counts beside a body, about.
_HEAD_BYTES: Final = 300


@dataclass(frozen=True)
class Fetched:
    """All files, once."""

    seconds: float
    bytes: int
    requests: int


class Link:
    """So many bytes a second for all connections together; None: as many as come."""

    def __init__(self, bytes_per_second: float | None) -> None:
        self._rate = bytes_per_second
        self._free_at = time.monotonic()

    async def pass_on(self, size: int) -> None:
        if self._rate is None:
            return
        self._free_at = max(self._free_at, time.monotonic()) + size / self._rate
        await asyncio.sleep(self._free_at - time.monotonic())


def fetch_twice(
    url: str, token: str | None, paths: list[str], rate: float | None
) -> tuple[Fetched, Fetched]:
    """Cold, and again with what the first time left in the cache."""

    async def both() -> tuple[Fetched, Fetched]:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        headers = {"Accept-Encoding": "gzip, deflate, br, zstd"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with aiohttp.ClientSession(
            url, connector=connector, headers=headers, auto_decompress=False, read_bufsize=_PIECE
        ) as session:
            had: dict[str, dict[str, str]] = {}
            link = Link(rate)
            cold = await _fetch(session, paths, had, link)
            return cold, await _fetch(session, paths, had, link)

    return asyncio.run(both())


async def _fetch(
    session: aiohttp.ClientSession, paths: list[str], had: dict[str, dict[str, str]], link: Link
) -> Fetched:
    size = requests = 0

    async def one(path: str) -> None:
        nonlocal size, requests
        known = had.get(path, {})
        if "immutable" in known.get("Cache-Control", ""):
            return
        headers = {"If-None-Match": known["ETag"]} if "ETag" in known else {}
        async with session.get(path, headers=headers) as answer:
            requests += 1
            await link.pass_on(_HEAD_BYTES)
            size += _HEAD_BYTES
            async for piece in answer.content.iter_chunked(_PIECE):
                await link.pass_on(len(piece))
                size += len(piece)
            if answer.status == 200:
                kept = ("Cache-Control", "ETag")
                had[path] = {name: answer.headers[name] for name in kept if name in answer.headers}

    started = time.perf_counter()
    await asyncio.gather(*map(one, paths))
    return Fetched(time.perf_counter() - started, size, requests)
