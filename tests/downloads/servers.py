"""Two small real servers on this machine: a site that models are asked of, and its storage.

What a path answers is a function from the request to a `Reply`, so that each test says itself
what goes wrong and at which try. All requests are recorded.
"""

import hashlib
import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest


@dataclass(frozen=True)
class Asked:
    """A request as it arrived; `tries` counts those of the same path, this one included."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    tries: int


@dataclass
class Reply:
    """An answer. `cut` ends the connection after so many bytes of the body, `pause` waits before
    each `piece` bytes, `length` announces another length (None: none, the end is the end)."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    pause: float = 0
    piece: int = 65536
    length: int | None = -1


Answer = Callable[[Asked], Reply]


class Server:
    """A server on a free port of 127.0.0.1; `routes` is path → answer."""

    def __init__(self) -> None:
        self.routes: dict[str, Answer | Reply] = {}
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.serve(self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # Clients that break off are what many tests are about.

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked_for(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        asked = Asked(
            handler.command,
            parts.path,
            parse_qs(parts.query),
            dict(handler.headers.items()),
            len(self.asked_for(parts.path)) + 1,
        )
        self.asked.append(asked)
        answer = self.routes.get(parts.path, Reply(404, b"nothing here"))
        self._send(handler, answer if isinstance(answer, Reply) else answer(asked), asked)

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply, asked: Asked) -> None:
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        length = len(reply.body) if reply.length == -1 else reply.length
        if length is None:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        else:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        if asked.method == "HEAD":
            return
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        try:
            for start in range(0, len(body), reply.piece):
                if reply.pause and self.stopping.wait(reply.pause):
                    break
                handler.wfile.write(body[start : start + reply.piece])
                handler.wfile.flush()
        except OSError:
            handler.close_connection = True
            return
        if reply.cut is not None:
            handler.close_connection = True
            # A reset, as by a router that forgot the connection; not an orderly end.
            linger = struct.pack("ii", 1, 0)
            time.sleep(0.05)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def redirect(url: str, status: int = 302) -> Reply:
    return Reply(status, headers={"Location": url})


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | headers)


def ranged(asked: Asked, content: bytes, etag: str | None = '"v1"', **more: Any) -> Reply:
    """A file as storages serve it: honours Range and If-Range."""
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    headers |= {"ETag": etag} if etag else {}
    found = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("Range", ""))
    if found is None or asked.headers.get("If-Range", etag) != etag:
        return Reply(200, content, headers, **more)
    start = int(found[1])
    if start >= len(content):
        return Reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Reply(206, content[start:], headers, **more)


def safetensors(size: int, seed: int = 1) -> bytes:
    """A well-formed safetensors file of about `size` bytes of data."""
    entry = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"weight": entry, "__metadata__": {"seed": str(seed)}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def site() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def storage() -> Iterator[Server]:
    with Server() as server:
        yield server


@contextmanager
def dripping(start: bytes, drop: bytes = b"a", pause: float = 0.1) -> Iterator[str]:
    """The address of a site that answers anything with `start`, and then with drops for ever."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(start)
            while not over.wait(pause):
                connection.sendall(drop)

    def serve() -> None:
        with suppress(OSError):
            while not over.is_set():
                threading.Thread(target=drip, args=(door.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        over.set()
