"""HTTP load over raw sockets, cheaper than the servers it measures; runs in a process of its own.

Every function takes the port to talk to and a finished request, and raises RuntimeError if
the answer is not the expected one: a fast refusal must never count as speed.
"""

import re
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

SECONDS_WITHOUT_DATA: Final = 10
WARM_UP_SECONDS: Final = 0.15
PIECE: Final = b"\0" * (256 * 1024)
_OK: Final = b"HTTP/1.1 200 "
_NOT_MODIFIED: Final = b"HTTP/1.1 304 "
BOUNDARY: Final = "bench-boundary"


@dataclass(frozen=True)
class Rate:
    """What a load of small requests gave. `own_cpu_us`: the generator's CPU per request;
    `answered`: how many there were, those before the measurement too."""

    answered: int
    per_second: float
    p50_ms: float
    p99_ms: float
    own_cpu_us: float


def request(method: str, target: str, token: str, **headers: str) -> bytes:
    """A finished request head."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def connect(port: int) -> socket.socket:
    """A connection without Nagle's delay that gives up on a silent server."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS_WITHOUT_DATA)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """(head up to and with its empty line, what of the body came along) of an answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise RuntimeError(f"the server closed the connection after {data[:200]!r}")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def body_length(head: bytes) -> int:
    """The Content-Length of a successful answer."""
    if not head.startswith(_OK):
        raise RuntimeError(f"not the expected answer: {head[:300]!r}")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise RuntimeError(f"an answer without a length: {head[:300]!r}")


def small_requests(port: int, message: bytes, connections: int, seconds: float) -> Rate:
    """The same request over and over on kept-alive connections, one at a time on each. An
    answer has the status of the first: 200, or 304 without a body."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(port)) for _ in range(connections)]
        sockets[0].sendall(message)
        head, body = read_head(sockets[0])
        status = head[: len(_OK)]
        length = 0 if status == _NOT_MODIFIED else body_length(head)
        rest = length - len(body)
        while rest > 0:
            rest -= len(sockets[0].recv(rest))
        length += len(head)
        warm_up, _ = _load(sockets, message, status, length, WARM_UP_SECONDS)
        cpu = time.process_time()
        latencies, elapsed = _load(sockets, message, status, length, seconds)
        cpu = time.process_time() - cpu
    latencies.sort()
    return Rate(
        answered=1 + len(warm_up) + len(latencies),
        per_second=len(latencies) / elapsed,
        p50_ms=percentile(latencies, 0.5) * 1000,
        p99_ms=percentile(latencies, 0.99) * 1000,
        own_cpu_us=cpu / len(latencies) * 1e6,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, the one that `share` of them do not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _load(
    sockets: Sequence[socket.socket], message: bytes, status: bytes, length: int, seconds: float
) -> tuple[list[float], float]:
    """(latency of each answered request, seconds until the last answer)."""
    latencies: list[float] = []
    buffer = bytearray(256 * 1024)
    view = memoryview(buffer)
    sent_at: dict[socket.socket, float] = {}
    missing = dict.fromkeys(sockets, length)
    with selectors.DefaultSelector() as ready:
        for sock in sockets:
            ready.register(sock, selectors.EVENT_READ)
        begin = now = time.perf_counter()
        for sock in sockets:
            sent_at[sock] = time.perf_counter()
            sock.sendall(message)
        while sent_at:
            events = ready.select(SECONDS_WITHOUT_DATA)
            if not events:
                raise RuntimeError("the server stopped answering")
            for key, _ in events:
                sock = key.fileobj  # type: ignore[assignment]
                got = sock.recv_into(view)
                if missing[sock] == length and not buffer.startswith(status):
                    raise RuntimeError(f"not the expected answer: {bytes(view[:300])!r}")
                missing[sock] -= got
                if missing[sock] > 0:
                    continue
                now = time.perf_counter()
                latencies.append(now - sent_at.pop(sock))
                if missing[sock] < 0:
                    raise RuntimeError("an answer was longer than the first one")
                missing[sock] = length
                if now - begin < seconds:
                    sent_at[sock] = now
                    sock.sendall(message)
    return latencies, now - begin


def answered(port: int, message: bytes) -> tuple[float, str]:
    """Seconds until a whole answer was there, and its ETag."""
    with connect(port) as sock:
        begin = time.perf_counter()
        sock.sendall(message)
        head, body = read_head(sock)
        missing = body_length(head) - len(body)
        while missing > 0:
            got = len(sock.recv(min(missing, 1024 * 1024)))
            if not got:
                raise RuntimeError(f"the answer broke off, {missing} bytes were missing")
            missing -= got
        seconds = time.perf_counter() - begin
    etag = re.search(rb"\r\netag: ([^\r]+)", head, re.IGNORECASE)
    return seconds, etag[1].decode() if etag else ""


def download(port: int, message: bytes) -> float:
    """Seconds until the last byte of a large answer was read."""
    buffer = memoryview(bytearray(1024 * 1024))
    with connect(port) as sock:
        begin = time.perf_counter()
        sock.sendall(message)
        head, body = read_head(sock)
        missing = body_length(head) - len(body)
        while missing > 0:
            got = sock.recv_into(buffer)
            if not got:
                raise RuntimeError(f"the download broke off, {missing} bytes were missing")
            missing -= got
        return time.perf_counter() - begin


def unread_download(port: int, message: bytes, seconds: float) -> None:
    """Ask for a large answer, read its head, and read nothing more for that long."""
    with connect(port) as sock:
        sock.sendall(message)
        body_length(read_head(sock)[0])
        time.sleep(seconds)


def form(token: str, size: int) -> tuple[bytes, bytes, bytes]:
    """An upload of `size` bytes: (request head, what stands before the file, what after)."""
    before = (
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
        'name="image"; filename="bench.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
    ).encode()
    # Without `overwrite` ComfyUI compares the new file with the old one.
    after = (
        f"\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; "
        f'name="overwrite"\r\n\r\ntrue\r\n--{BOUNDARY}--\r\n'
    ).encode()
    head = request(
        "POST",
        "/upload/image",
        token,
        Content_Type=f"multipart/form-data; boundary={BOUNDARY}",
        Content_Length=str(len(before) + size + len(after)),
    )
    return head, before, after


def upload(port: int, token: str, size: int) -> float:
    """Seconds until an upload of `size` bytes was answered."""
    head, before, after = form(token, size)
    with connect(port) as sock:
        begin = time.perf_counter()
        sock.sendall(head + before)
        for _ in range(size // len(PIECE)):
            sock.sendall(PIECE)
        sock.sendall(PIECE[: size % len(PIECE)] + after)
        body_length(read_head(sock)[0])
        return time.perf_counter() - begin
