"""Keeps what reached the simulated server, so that tests can prove what a proxy sent on."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.streams import StreamReader

BODY_LIMIT = 64 * 1024
MAX_RECORDS = 5000
# Of older large bodies only a beginning is kept, or hours of uploads would fill the memory.
SHORT_BODY = 4 * 1024
MAX_LARGE_BODIES = 500


@dataclass
class RequestRecord:
    """One request, WebSocket handshake, or frame sent by a client."""

    kind: str  # "http", "ws_open", "ws_frame" or "ws_close"
    method: str
    path: str  # raw, as received, query included
    headers: list[tuple[str, str]]
    at: float
    body_size: int = 0
    body: bytes = b""  # the first 64 KiB
    first_body_at: float | None = None
    status: int | None = None
    opcode: str | None = None  # of a frame: "text" or "binary"
    sid: str | None = None
    _hash: Any = field(default_factory=hashlib.sha256, repr=False, compare=False)

    @property
    def body_sha256(self) -> str:
        return self._hash.copy().hexdigest()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def header(self, name: str) -> str | None:
        """First value of a header, whatever its case."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def header_values(self, name: str) -> list[str]:
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def add(self, data: bytes) -> None:
        if not data:
            return
        if self.first_body_at is None:
            self.first_body_at = time.time()
        self.body_size += len(data)
        self._hash.update(data)
        room = BODY_LIMIT - len(self.body)
        if room > 0:
            self.body += bytes(data[:room])

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "method": self.method,
            "path": self.path,
            "headers": [list(pair) for pair in self.headers],
            "at": self.at,
            "body_size": self.body_size,
            "body_sha256": self.body_sha256,
            "body": self.text,
            "first_body_at": self.first_body_at,
            "status": self.status,
            "opcode": self.opcode,
            "sid": self.sid,
        }


class Recorder:
    """A bounded, thread-safe list of records."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: deque[RequestRecord] = deque(maxlen=MAX_RECORDS)
        self._large: deque[RequestRecord] = deque()

    def add(self, record: RequestRecord) -> None:
        with self._lock:
            self._records.append(record)

    def all(self) -> list[RequestRecord]:
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        with self._lock:
            self._records.clear()
            self._large.clear()

    def end(self, request: web.Request, record: RequestRecord) -> None:
        """Called when a request has been answered."""
        _taps.pop(id(request.content), None)
        self._settle(record)

    def _settle(self, record: RequestRecord) -> None:
        if len(record.body) <= SHORT_BODY:
            return
        with self._lock:
            self._large.append(record)
            if len(self._large) > MAX_LARGE_BODIES:
                oldest = self._large.popleft()
                oldest.body = oldest.body[:SHORT_BODY]

    def frame(self, request: web.Request, sid: str, opcode: str, data: bytes) -> None:
        record = RequestRecord(
            "ws_frame", "", request.raw_path, [], time.time(), opcode=opcode, sid=sid
        )
        record.add(data)
        self.add(record)
        self._settle(record)


# Where a request holds its record while it is answered.
RECORD = web.RequestKey("record", RequestRecord)

# Bodies being received now, by the id of their stream. aiohttp's StreamReader has slots and no
# room for an attribute of ours; a subclass with the same layout can at least replace its class.
_taps: dict[int, RequestRecord] = {}


class _TappedStream(StreamReader):
    __slots__ = ()

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        record = _taps.get(id(self))
        if record is not None:
            record.add(data)
        return super().feed_data(data, size)


def begin(request: web.Request) -> RequestRecord:
    """Makes the record of a request and lets its body be noted as it comes in."""
    headers = [
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in request.raw_headers
    ]
    record = RequestRecord("http", request.method, request.raw_path, headers, time.time())
    stream = request.content
    if type(stream) is StreamReader:
        for chunk in stream._buffer:
            record.add(chunk)
        if not stream.is_eof():
            stream.__class__ = _TappedStream
            _taps[id(stream)] = record
    return record
