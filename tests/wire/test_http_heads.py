"""Connections on which no request comes to its end: each ends, and none costs much."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mssproject import web
from tests.protocolserver import serving_protocol


async def hello(scope: dict, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"hello"})  # type: ignore[operator]


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server of our protocol that waits for a head only a moment."""
    monkeypatch.setattr(web, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(web, "BODY_SECONDS", 0.5)
    async with serving_protocol(hello) as number:
        yield number


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.readuntil(b"0\r\n\r\n")


async def end(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the server hangs up.

    A server that closes while bytes of ours are on their way resets the connection:
    that is being hung up on as well.
    """
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("start", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_client_that_never_ends_its_head_is_hung_up_on(port: int, start: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(start)
    begun = asyncio.get_running_loop().time()
    assert await end(reader) == b""
    assert 0.2 < asyncio.get_running_loop().time() - begun < 1
    writer.close()


async def test_client_that_drips_its_head_is_hung_up_on(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ended = asyncio.ensure_future(end(reader))
    for letter in REQUEST[:-1]:
        if ended.done():
            break
        writer.write(bytes([letter]))
        await asyncio.sleep(0.02)
    assert await ended == b""
    writer.close()


async def test_second_head_on_a_connection_is_bounded_too(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    assert b"hello" in await answer(reader)
    writer.write(REQUEST[:10])
    assert await end(reader) == b""
    writer.close()


async def test_idle_connection_between_requests_stays(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(REQUEST)
        assert b"hello" in await answer(reader)
        await asyncio.sleep(0.5)
    writer.write(REQUEST[:20])
    writer.write(REQUEST[20:])
    assert b"hello" in await answer(reader)
    writer.close()


CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


async def read_all(scope: dict, receive: object, send: object) -> None:
    """Reads the body, and tells how long it is."""
    size = 0
    while True:
        message = await receive()  # type: ignore[operator]
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"%d" % size})  # type: ignore[operator]


@pytest.fixture
async def reading(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server that waits for more of a body only a moment."""
    monkeypatch.setattr(web, "BODY_SECONDS", 0.5)
    async with serving_protocol(read_all) as number:
        yield number


POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n"


@pytest.mark.parametrize("start", [POST, POST + b"abc", CHUNKED, CHUNKED + b"3\r\nabc\r\n"])
async def test_client_that_keeps_its_body_back_is_told_and_hung_up_on(
    reading: int, start: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", reading)
    writer.write(start)
    begun = asyncio.get_running_loop().time()
    told = await end(reader)
    assert told.startswith(b"HTTP/1.1 408 ") and b"did not come" in told
    assert 0.4 < asyncio.get_running_loop().time() - begun < 2
    writer.close()


async def test_client_whose_body_comes_slowly_is_answered(reading: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", reading)
    for _ in range(2):
        writer.write(POST)
        for letter in b"abcdefgh":
            await asyncio.sleep(0.2)
            writer.write(bytes([letter]))
        assert b"\r\n8\r\n" in await answer(reader)
    writer.close()


async def test_client_waits_for_us_and_is_not_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it sent is not taken for a while: that is not its fault."""

    async def later(scope: dict, receive: object, send: object) -> None:
        await asyncio.sleep(1.2)
        await read_all(scope, receive, send)

    monkeypatch.setattr(web, "BODY_SECONDS", 0.5)
    async with serving_protocol(later) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        size = 20_000_000
        writer.write(POST.replace(b" 8", b" %d" % size) + b"x" * size)
        assert b"\r\n%d\r\n" % size in await answer(reader)
        writer.close()


async def test_client_that_asks_ahead_and_stops_spoils_no_answer_that_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is said of the request that is not whole must not get into the answer before it."""

    async def answering(scope: dict, receive: object, send: object) -> None:
        if scope["method"] == "POST":
            return await read_all(scope, receive, send)
        await receive()  # type: ignore[operator]
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        # Whether the client is still there, as the gateway looks for it: reading goes on.
        watching = asyncio.ensure_future(receive())  # type: ignore[operator]
        for _ in range(10):
            await asyncio.sleep(0.15)
            await send({"type": "http.response.body", "body": b"piece", "more_body": True})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]
        watching.cancel()

    monkeypatch.setattr(web, "BODY_SECONDS", 0.5)
    async with serving_protocol(answering) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(REQUEST + POST + b"abc")
        first = await answer(reader)
        assert first.count(b"5\r\npiece\r\n") == 10 and b" 408 " not in first
        # Its own turn has come, and what is missing is missed.
        assert (await end(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_client_that_sends_nonsense_behind_a_request_gets_none_of_ours_in_its_answer() -> (
    None
):
    async def streaming(scope: dict, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        while (await receive())["type"] != "http.disconnect":  # type: ignore[operator]
            await send({"type": "http.response.body", "body": b"piece", "more_body": True})  # type: ignore[operator]

    async with serving_protocol(streaming) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(REQUEST)
        async with asyncio.timeout(5):
            await reader.readuntil(b"piece\r\n")
        writer.write(b"nonsense\r\n\r\n")
        assert b"HTTP/1.1" not in await end(reader)
        writer.close()


async def test_client_sends_a_trailer_and_is_answered(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CHUNKED + b"2\r\nhi\r\n0\r\nX-Check: 1\r\n\r\n")
    assert b"\r\nhello\r\n" in await answer(reader)
    writer.close()


@pytest.mark.parametrize(
    ("start", "more"),
    [(b"0\r\n", b"a:b\r\n" * 1000), (b"0\r\nx: ", b"y" * 5000), (b"1;", b"e" * 5000)],
    ids=["many trailers", "one trailer", "chunk extension"],
)
async def test_client_sends_trailers_without_end_and_is_cut_off(
    port: int, start: bytes, more: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CHUNKED + start)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 5_000_000 and not reader.at_eof():
            writer.write(more)
            await writer.drain()
            sent += len(more)
            await asyncio.sleep(0)
    assert sent < 1_000_000
    writer.close()
