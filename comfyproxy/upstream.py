"""The only module that talks to ComfyUI: JSON, streams, sockets.

What has no body or a whole one goes over a client of our own (`comfyhttp`), and so do sockets
(`comfysocket`): they take a fraction of aiohttp's time. Everything else goes through aiohttp.

Raises UpstreamUnreachable and UpstreamTimeout, and nothing of theirs; BadRequest where an address
is longer than ComfyUI takes.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import orjson
from django.conf import settings
from yarl import URL

from accounts import metrics
from accounts.errors import BadRequest, UpstreamBroke, UpstreamTimeout, UpstreamUnreachable
from comfyproxy import comfyhttp, comfyjson
from comfyproxy.comfyhttp import READS, ComfyHttp
from comfyproxy.comfysocket import ComfySocket
from comfyproxy.connections import CONNECT_SECONDS, NotThere, broke

logger = logging.getLogger(__name__)

# Small questions; ComfyUI's loop can be busy for seconds with one request of somebody.
JSON_SECONDS: Final = 60.0
# Between two pieces of a stream. A large file on a slow disk, a long model conversion.
STREAM_IDLE_SECONDS: Final = 300.0
# How often a stream that waits makes sure that there is still a connection.
LOOK_SECONDS: Final = 1.0
# ComfyUI's server takes request lines up to 8190 bytes, and hangs up on longer ones.
MAX_TARGET_BYTES: Final = 8000
READ_BUFFER_BYTES: Final = 512 * 1024
MAX_JSON_BYTES: Final = 512 * 1024 * 1024

# What HTTP forbids in a header's value; the server would break off over it.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

_sessions: dict[tuple[asyncio.AbstractEventLoop, bool], aiohttp.ClientSession] = {}
_clients: dict[asyncio.AbstractEventLoop, ComfyHttp] = {}


def session(method: str = "GET") -> aiohttp.ClientSession:
    """This event loop's session for that method: keeping no cookies, believing no environment.

    As with `comfyhttp`, only what reads shares connections.
    """
    pooled = method in READS
    key = (asyncio.get_running_loop(), pooled)
    found = _sessions.get(key)
    if found is None or found.closed:
        found = _sessions[key] = _new_session(pooled)
    return found


def _new_session(pooled: bool) -> aiohttp.ClientSession:
    connector = (
        aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        if pooled
        else aiohttp.TCPConnector(limit=0, force_close=True)
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=READ_BUFFER_BYTES,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=STREAM_IDLE_SECONDS
        ),
    )


async def close() -> None:
    """Close this event loop's connections."""
    loop = asyncio.get_running_loop()
    if loop in _clients:
        _clients.pop(loop).close()
    for key in [key for key in _sessions if key[0] is loop]:
        await _sessions.pop(key).close()


def url(path: str, query: bytes = b"") -> URL:
    """An upstream address. `path` and `query` are sent as they stand, byte for byte.

    Raises:
        BadRequest: longer than ComfyUI takes
    """
    _check_length(path, query)
    tail = f"?{query.decode('latin-1')}" if query else ""
    return URL(f"{settings.COMFYUI_URL}{path}{tail}", encoded=True)


def _check_length(path: str, query: bytes) -> None:
    if len(path) + len(query) > MAX_TARGET_BYTES:
        raise BadRequest("The address is too long.")


def _client() -> ComfyHttp | None:
    """This event loop's client; None: ComfyUI's address is one for aiohttp."""
    loop = asyncio.get_running_loop()
    found = _clients.get(loop)
    if found is None:
        base = urlsplit(settings.COMFYUI_URL)
        if base.scheme != "http" or base.hostname is None or "@" in base.netloc:
            return None
        found = _clients[loop] = ComfyHttp(
            base.hostname,
            base.port or 80,
            host_header=base.netloc.encode("idna"),
            below=base.path.encode("latin-1"),
        )
    return found


async def _through(
    client: ComfyHttp,
    method: str,
    path: str,
    query: bytes,
    headers: Iterable[tuple[str, str]],
    body: bytes | None = None,
) -> comfyhttp.Answer:
    _check_length(path, query)
    target = path.encode("latin-1")
    try:
        return await client.ask(
            method, target + b"?" + query if query else target, headers, STREAM_IDLE_SECONDS, body
        )
    except ValueError:
        raise BadRequest from None


def segment(text: str) -> str:
    """A text as one segment of an upstream path."""
    return quote(text, safe="")


_NOT_THERE: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, NotThere)


@contextmanager
def _translated(failures: Sequence[Exception] = ()) -> Iterator[None]:
    """aiohttp's exceptions as ours; or, if the request's own body failed, what it raised."""
    try:
        yield
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        if failures:
            raise failures[0] from None
        broke()
        not_there = isinstance(error, _NOT_THERE)
        if isinstance(error, TimeoutError) and not not_there:
            metrics.upstream_failed("timeout")
            raise UpstreamTimeout from error
        metrics.upstream_failed("unreachable" if not_there else "broken_off")
        logger.warning("ComfyUI at %s: %s", settings.COMFYUI_URL, error)
        raise (UpstreamUnreachable if not_there else UpstreamBroke) from error


class _Answer(Protocol):
    """A client's answer."""

    status: int
    headers: list[tuple[bytes, bytes]]

    async def next(self) -> bytes: ...

    def close(self) -> None: ...


class _AiohttpAnswer:
    """aiohttp's, as one of ours."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = list(response.raw_headers)

    async def next(self) -> bytes:
        content = self._response.content
        chunk = content.read_nowait()
        while not chunk and not content.at_eof():
            try:
                async with asyncio.timeout(LOOK_SECONDS) as look:
                    return await content.readany()
            except TimeoutError:
                if not look.expired():
                    raise
            # aiohttp (3.14) leaves its reader waiting for ever when it has closed the
            # connection itself, over a malformed chunk.
            connection = self._response.connection
            if connection is None or connection.closed:
                raise aiohttp.ClientPayloadError("the connection is lost")
        return chunk

    def close(self) -> None:
        self._response.close()


class UpstreamStream:
    """ComfyUI's answer, its head read, its body on the way."""

    def __init__(self, answer: _Answer) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers = _end_to_end(answer.headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece, as fast as it is taken.

        Raises:
            UpstreamUnreachable, UpstreamTimeout: it ended before its end
        """
        with _translated():
            while chunk := await self._answer.next():
                yield chunk

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            UpstreamUnreachable, UpstreamTimeout: it ended before its end, or is over `limit`
        """
        pieces, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise UpstreamUnreachable("ComfyUI's answer is too long.")
            pieces.append(chunk)
        return b"".join(pieces)

    def close(self) -> None:
        """Drop the connection unless the body was read to its end."""
        self._answer.close()


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without those that `Connection` names as the connection's own, and without what a
    client could not be sent."""
    pairs = list(headers)
    named = [value for name, value in pairs if name.lower() == b"connection"]
    own = {token.strip().lower() for value in named for token in value.split(b",")}
    if not own and not _CONTROL.search(b"\t".join(value for _, value in pairs)):
        return pairs
    return [
        (name, value)
        for name, value in pairs
        if name.lower() not in own and not _CONTROL.search(value)
    ]


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
    client = _client() if body is None and method in READS else None
    began = perf_counter()
    answer: _Answer
    if client is not None:
        with _translated():
            answer = await _through(client, method, path, query, headers)
    else:
        answer = await _through_aiohttp(method, path, query, headers, body)
    metrics.upstream_answered(answer.status, perf_counter() - began)
    if not 200 <= answer.status <= 599:
        answer.close()
        raise UpstreamUnreachable(f"ComfyUI answered with status {answer.status}.")
    return UpstreamStream(answer)


async def _through_aiohttp(
    method: str,
    path: str,
    query: bytes,
    headers: Iterable[tuple[str, str]],
    body: AsyncIterator[bytes] | bytes | None,
) -> _AiohttpAnswer:
    failures: list[Exception] = []
    data = body if body is None or isinstance(body, bytes) else _watched(body, failures)
    with _translated(failures):
        response = await session(method).request(
            method, url(path, query), headers=list(headers), data=data, allow_redirects=False
        )
    return _AiohttpAnswer(response)


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


async def get_body(path: str) -> tuple[int, bytes]:
    """(status, body) of a question, for answers to be parsed elsewhere.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    return await _ask("GET", path, None, b"", {})


async def request_json(
    method: str, path: str, payload: Any = None, *, query: bytes = b""
) -> tuple[int, Any]:
    """(status, parsed body or None) of a JSON question.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    headers = {"Content-Type": "application/json"} if payload is not None else {}
    data = orjson.dumps(payload) if payload is not None else None
    status, raw = await _ask(method, path, data, query, headers)
    return status, await comfyjson.parsed_aside(raw)


async def _ask(
    method: str, path: str, data: bytes | None, query: bytes, headers: dict[str, str]
) -> tuple[int, bytes]:
    client = _client()
    began = perf_counter()
    with _translated():
        if client is not None:
            async with asyncio.timeout(JSON_SECONDS):
                answer = await _through(client, method, path, query, headers.items(), data)
                metrics.upstream_answered(answer.status, perf_counter() - began)
                try:
                    return answer.status, await _whole(answer)
                finally:
                    answer.close()
        async with session(method).request(
            method,
            url(path, query),
            data=data,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=JSON_SECONDS, sock_connect=CONNECT_SECONDS),
        ) as response:
            metrics.upstream_answered(response.status, perf_counter() - began)
            return response.status, await _whole(_AiohttpAnswer(response))


async def _whole(answer: _Answer) -> bytes:
    """A whole body, as long as it is one that can be handled."""
    pieces, size = [], 0
    while piece := await answer.next():
        size += len(piece)
        if size > MAX_JSON_BYTES:
            raise UpstreamUnreachable("ComfyUI's answer is too long.")
        pieces.append(piece)
    return b"".join(pieces)


async def socket(client_id: str, is_done_with: Callable[[bytes], bool]) -> ComfySocket:
    """Open ComfyUI's socket under that id; `is_done_with`: see there.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    address = url("/ws", urlencode({"clientId": client_id}).encode())
    headers = {}
    if address.user is not None:
        # `websockets` takes neither half a login nor a quoted one.
        headers["Authorization"] = aiohttp.encode_basic_auth(address.user, address.password or "")
    opened = ComfySocket(f"ws{str(address.with_user(None)).removeprefix('http')}", is_done_with)
    with _translated():
        await opened.open(STREAM_IDLE_SECONDS, headers)
    return opened
