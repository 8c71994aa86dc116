"""A WebSocket client over a raw socket that only counts; runs in a process of its own."""

import base64
import json
import os
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

from bench.rawhttp import connect, percentile, read_head, request

# What fakecomfy's bench frames begin with; everything else (`status` and so on) is passed over.
EXPECTED: Final = b'{"type": "progress"'
_TEXT: Final = 1
_CLOSE: Final = 8


@dataclass(frozen=True)
class Load:
    """Which prompt the frames name, and how large they are padded."""

    token: str
    prompt_id: str
    pad: int

    def frame(self, kind: str, **data: Any) -> bytes:
        """A masked text frame that asks fakecomfy for bench frames."""
        body = {**data, "prompt_id": self.prompt_id, "size": self.pad}
        return masked(json.dumps({"type": kind, "data": body}).encode())


def masked(payload: bytes) -> bytes:
    """A client's text frame; the mask is zero, so the payload stands in it as it is."""
    assert len(payload) < 65536
    length = (
        bytes([0x80 | len(payload)])
        if len(payload) < 126
        else b"\xfe" + len(payload).to_bytes(2, "big")
    )
    return b"\x81" + length + b"\0\0\0\0" + payload


class Frames:
    """The expected frames of one connection, as they come."""

    def __init__(self, port: int, token: str) -> None:
        self._sock: socket.socket = connect(port)
        self._data = bytearray()
        # Up to here the data were looked at.
        self._at = 0
        self.last = b""
        handshake = request(
            "GET",
            "/ws?clientId=bench",
            token,
            Connection="Upgrade",
            Upgrade="websocket",
            Sec_WebSocket_Version="13",
            Sec_WebSocket_Key=base64.b64encode(os.urandom(16)).decode(),
        )
        self._sock.sendall(handshake)
        head, rest = read_head(self._sock)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise RuntimeError(f"no WebSocket: {head[:300]!r}")
        self._data += rest

    def send(self, frame: bytes) -> None:
        self._sock.sendall(frame)

    def wait(self, count: int) -> None:
        """Return when `count` expected frames more are there."""
        while count:
            count -= self._take(count)
            if count:
                self._fill()

    def _fill(self) -> None:
        del self._data[: self._at]
        self._at = 0
        piece = self._sock.recv(256 * 1024)
        if not piece:
            raise RuntimeError("the server cut the WebSocket")
        self._data += piece

    def _take(self, most: int) -> int:
        """How many expected frames lie complete in the data, at most `most`."""
        data, at, end, found = self._data, self._at, len(self._data), 0
        while found < most and at + 2 <= end:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if start + size > end:
                break
            kind, at = data[at] & 15, start + size
            if kind == _CLOSE:
                raise RuntimeError(f"the WebSocket was closed: {bytes(data[start:at])!r}")
            if kind == _TEXT and data.startswith(EXPECTED, start):
                found += 1
                self.last = bytes(data[start:at]) if found == most else b""
        self._at = at
        return found

    def close(self) -> None:
        self._sock.close()


def burst(port: int, load: Load, count: int) -> float:
    """Messages per second while `count` frames come as fast as they can."""
    frames = Frames(port, load.token)
    try:
        frames.send(load.frame("bench_echo", n=0))
        frames.wait(1)
        begin = time.perf_counter()
        frames.send(load.frame("bench_burst", count=count))
        frames.wait(count)
        elapsed = time.perf_counter() - begin
        if json.loads(frames.last)["data"]["value"] != count - 1:
            raise RuntimeError("frames were lost or out of order")
        return count / elapsed
    finally:
        frames.close()


def echo(port: int, load: Load, seconds: float) -> float:
    """The median milliseconds from a frame sent to its answer."""
    frames = Frames(port, load.token)
    latencies = []
    try:
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            frames.send(load.frame("bench_echo", n=0))
            frames.wait(1)
            latencies.append(time.perf_counter() - begin)
    finally:
        frames.close()
    return percentile(sorted(latencies), 0.5) * 1000
