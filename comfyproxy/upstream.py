"""The only module that talks to ComfyUI: JSON, streams, sockets, over one connection pool.

Raises UpstreamUnreachable and UpstreamTimeout and nothing of aiohttp's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from django.conf import settings
from yarl import URL

from accounts.errors import UpstreamTimeout, UpstreamUnreachable

logger = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 5.0
# Small questions; ComfyUI's loop can be busy for seconds with one request of somebody.
JSON_SECONDS: Final = 60.0
# Between two pieces of a stream. A large file on a slow disk, a long model conversion.
STREAM_IDLE_SECONDS: Final = 300.0
READ_BUFFER_BYTES: Final = 256 * 1024
MAX_JSON_BYTES: Final = 256 * 1024 * 1024

_sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}


def session() -> aiohttp.ClientSession:
    """This event loop's session: pooled, keeping no cookies, believing no environment."""
    loop = asyncio.get_running_loop()
    found = _sessions.get(loop)
    if found is None or found.closed:
        found = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER_BYTES,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=STREAM_IDLE_SECONDS
            ),
        )
        _sessions[loop] = found
    return found


async def close() -> None:
    """Close this event loop's session."""
    found = _sessions.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()


def url(path: str, query: bytes = b"") -> URL:
    """An upstream address. `path` and `query` are sent as they stand, byte for byte."""
    tail = f"?{query.decode('latin-1')}" if query else ""
    return URL(f"{settings.COMFYUI_URL}{path}{tail}", encoded=True)


def segment(text: str) -> str:
    """A text as one segment of an upstream path."""
    return quote(text, safe="")


@contextmanager
def _translated() -> Iterator[None]:
    """aiohttp's exceptions as ours."""
    try:
        yield
    except (TimeoutError, aiohttp.ServerTimeoutError) as error:
        # A connection that cannot even be made is a server that is not there.
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            raise UpstreamUnreachable from error
        raise UpstreamTimeout from error
    except (aiohttp.ClientError, OSError) as error:
        logger.warning("ComfyUI at %s: %s", settings.COMFYUI_URL, error)
        raise UpstreamUnreachable from error


class UpstreamStream:
    """ComfyUI's answer, its head read, its body on the way."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: list[tuple[bytes, bytes]] = list(response.raw_headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece, as fast as it is taken.

        Raises:
            UpstreamUnreachable, UpstreamTimeout: it ended before its end
        """
        with _translated():
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def read(self) -> bytes:
        """The whole body; for answers that are known to be small."""
        with _translated():
            return await self._response.content.read(MAX_JSON_BYTES)

    def close(self) -> None:
        """Drop the connection unless the body was read to its end."""
        self._response.close()


async def stream(
    method: str,
    path: str,
    *,
    query: bytes = b"",
    headers: Iterable[tuple[str, str]] = (),
    body: AsyncIterator[bytes] | bytes | None = None,
) -> UpstreamStream:
    """Send a request and return once the answer's head is there. Redirects are not followed.

    Raises:
        UpstreamUnreachable, UpstreamTimeout; whatever `body` raises passes through
    """
    failures: list[Exception] = []
    data = body if body is None or isinstance(body, bytes) else _watched(body, failures)
    try:
        with _translated():
            response = await session().request(
                method, url(path, query), headers=list(headers), data=data, allow_redirects=False
            )
    except (UpstreamUnreachable, UpstreamTimeout):
        # aiohttp wraps what the body raised in an error of its own.
        if failures:
            raise failures[0] from None
        raise
    return UpstreamStream(response)


async def _watched(body: AsyncIterator[bytes], failures: list[Exception]) -> AsyncIterator[bytes]:
    try:
        async for chunk in body:
            yield chunk
    except Exception as error:
        failures.append(error)
        raise


async def get_json(path: str, **params: Any) -> Any:
    """A JSON answer of ComfyUI's. None for anything but 200 with JSON.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    status, data = await request_json("GET", path, query=urlencode(params).encode())
    return data if status == 200 else None


async def request_json(
    method: str, path: str, payload: Any = None, *, query: bytes = b""
) -> tuple[int, Any]:
    """(status, parsed body or None) of a JSON question.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    headers = {"Content-Type": "application/json"} if payload is not None else {}
    data = orjson.dumps(payload) if payload is not None else None
    with _translated():
        async with session().request(
            method,
            url(path, query),
            data=data,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=JSON_SECONDS, sock_connect=CONNECT_SECONDS),
        ) as response:
            raw = await response.read()
    if len(raw) > 1_000_000:
        return response.status, await asyncio.to_thread(_parsed, raw)
    return response.status, _parsed(raw)


def _parsed(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


async def exists(filename: str, subfolder: str, kind: str) -> bool:
    """Whether ComfyUI has such a file (`HEAD /view`).

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    query = urlencode({"filename": filename, "subfolder": subfolder, "type": kind})
    status, _ = await request_json("HEAD", "/view", query=query.encode())
    return status == 200


async def socket(client_id: str) -> aiohttp.ClientWebSocketResponse:
    """Open ComfyUI's socket under that id.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    query = urlencode({"clientId": client_id}).encode()
    with _translated():
        return await session().ws_connect(
            url("/ws", query),
            max_msg_size=0,
            compress=0,
            autoping=True,
            # Finds a half-dead connection; long, as ComfyUI's loop can be busy for a while.
            heartbeat=60.0,
            timeout=aiohttp.ClientWSTimeout(ws_close=5.0),
        )
