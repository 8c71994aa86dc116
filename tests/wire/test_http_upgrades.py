"""Requests that want to become another protocol than HTTP, which only sockets do here: a proxy
passes that wish on and, as nothing comes of it, uses the connection for others' requests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.protocolserver import serving_protocol

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST /sent HTTP/1.1\r\nHost: localhost\r\nConnection: %b\r\nUpgrade: h2c\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n"
BARE = b"GET /bare HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: TLS/1.0\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the path and the body that came."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    text = b"[" + scope["raw_path"] + b" " + body + b"]"
    length = (b"content-length", str(len(text)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving_protocol(echo) as number:
        yield number


async def told(port: int, *pieces: bytes) -> list[bytes]:
    """What was answered, when these pieces come one after the other; the last asks to close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.1)
    async with asyncio.timeout(5):
        answers = await reader.read()
    writer.close()
    return [part.partition(b"]")[0] for part in answers.split(b"[")[1:]]


def wanting(body: bytes, connection: bytes = b"upgrade") -> bytes:
    return HEAD % connection + LENGTH % len(body)


async def test_body_of_an_upgrade_that_there_is_not_is_no_request(port: int) -> None:
    expected = [b"/sent " + SMUGGLED, b"/last "]
    assert await told(port, wanting(SMUGGLED), SMUGGLED, LAST) == expected
    assert await told(port, wanting(SMUGGLED) + SMUGGLED, LAST) == expected
    assert await told(port, wanting(SMUGGLED) + SMUGGLED[:9], SMUGGLED[9:] + LAST) == expected


async def test_chunked_body_of_such_an_upgrade_is_read(port: int) -> None:
    head = HEAD % b"upgrade" + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    assert await told(port, head, chunk, LAST) == [b"/sent " + SMUGGLED, b"/last "]


async def test_requests_behind_such_an_upgrade_are_answered(port: int) -> None:
    several = BARE + wanting(b"1") + b"1" + BARE + wanting(b"2") + b"2" + LAST
    bodies = [b"/bare ", b"/sent 1", b"/bare ", b"/sent 2", b"/last "]
    assert await told(port, several) == bodies
    assert await told(port, several[:100], several[100:300], several[300:]) == bodies


async def test_such_an_upgrade_that_asks_to_close_is_closed(port: int) -> None:
    head = wanting(SMUGGLED, b"close, upgrade")
    assert await told(port, head, SMUGGLED) == [b"/sent " + SMUGGLED]


async def test_tunnel_is_refused(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED)
    async with asyncio.timeout(5):
        answers = await reader.read()
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1") == 1
    writer.close()


SOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize(
    "more",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"".join(b"x-%d: y\r\n" % number for number in range(150)) + b"\r\n",
        b"Cookie: " + b"c" * 9000 + b"\r\n\r\n",
    ],
    ids=["body", "chunked body", "many headers", "long header"],
)
async def test_handshake_that_cannot_be_read_is_refused(port: int, more: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(SOCKET + more)
    async with asyncio.timeout(5):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"BAD_REQUEST"' in answer
    writer.close()
