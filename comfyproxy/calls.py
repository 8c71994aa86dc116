"""A request and its answer as handlers see them, whichever lane they came in by."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import orjson

from accounts.errors import BadRequest, GatewayError, InvalidJson, TooLarge
from accounts.identity import Identity
from comfyproxy.headers import RawHeaders
from comfyproxy.paths import CanonicalPath

MAX_JSON_BYTES: Final = 10 * 1024 * 1024
JSON_TYPE: Final = (b"content-type", b"application/json; charset=utf-8")
_BODILESS: Final = frozenset({"GET", "HEAD"})
_ANNOUNCE_BODY: Final = frozenset({b"content-length", b"transfer-encoding"})


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


@dataclass(frozen=True, slots=True)
class Call:
    """An admitted request: who, what, and its body, unread.

    `query` is free of tokens. `identity` is None on public routes only.
    """

    method: str
    path: CanonicalPath
    params: Mapping[str, str]
    query: bytes
    headers: RawHeaders
    caller: Identity | None
    chunks: Callable[[], AsyncIterator[bytes]]

    @property
    def identity(self) -> Identity:
        assert self.caller is not None, "a public route's handler asked who is calling"
        return self.caller

    @property
    def has_body(self) -> bool:
        """Whether there is a body to read. One that comes with a GET means nothing."""
        return self.method not in _BODILESS and any(
            name in _ANNOUNCE_BODY for name, _ in self.headers
        )

    def first_params(self) -> dict[str, str]:
        """The query parameters; of repeated ones the first counts, as in ComfyUI.

        Raises:
            BadRequest: not UTF-8
        """
        try:
            pairs = parse_qsl(self.query.decode(), keep_blank_values=True, errors="strict")
        except (UnicodeDecodeError, ValueError):
            raise BadRequest("The query is not valid.") from None
        return dict(reversed(pairs))

    async def read(self, limit: int = MAX_JSON_BYTES) -> bytes:
        """The whole body.

        Raises:
            TooLarge, ClientGone
        """
        declared = next((text for name, text in self.headers if name == b"content-length"), b"")
        if declared.isdigit() and int(declared) > limit:
            raise TooLarge
        parts, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise TooLarge
            parts.append(chunk)
        return b"".join(parts)

    async def json_object(self, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
        """The body as a JSON object, whatever content type it was sent with.

        Raises:
            TooLarge, InvalidJson, BadRequest, ClientGone
        """
        try:
            data = orjson.loads(await self.read(limit))
        except orjson.JSONDecodeError:
            raise InvalidJson from None
        if not isinstance(data, dict):
            raise BadRequest("The body must be a JSON object.")
        return data


class ByteStream(Protocol):
    """A body on its way; `close` gives up what is behind it and may be called at any time."""

    def chunks(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a finished body, or a stream of one."""

    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    stream: ByteStream | None = None


def json_reply(data: Any, status: int = 200) -> Reply:
    """`data` as a JSON answer that nobody but the caller may keep."""
    headers = [JSON_TYPE, (b"cache-control", b"private, no-cache")]
    return Reply(status, headers, orjson.dumps(data))


def empty_reply(status: int = 200) -> Reply:
    """As ComfyUI answers a change: no body."""
    return Reply(status)


def refusal(error: GatewayError) -> Reply:
    """The one error shape (API.md section 1)."""
    headers = [JSON_TYPE, (b"cache-control", b"no-store")]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return Reply(error.status, headers, orjson.dumps(error.body()))
