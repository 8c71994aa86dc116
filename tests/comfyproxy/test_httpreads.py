"""comfyproxy.httpreads: what may not be sent, and servers that are silent. The rest is seen on the
wire (tests/wire/test_http_connections.py, test_http_broken_upstream.py)."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.connections import BrokeOff, NotThere
from comfyproxy.httpreads import Reads, message_of

headers = st.tuples(
    st.text(st.characters(max_codepoint=255), max_size=8),
    st.text(st.characters(max_codepoint=255), max_size=8),
)


class Recorder:
    """A server that keeps what it is sent, and says this."""

    def __init__(self, says: bytes) -> None:
        self.got = b""
        self._says = says

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.got += await reader.readuntil(b"\r\n\r\n")
        writer.write(self._says)
        await reader.read()
        writer.close()


async def asked(recorder: Recorder, target: bytes, *lines: tuple[str, str]) -> bytes:
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reads = Reads("127.0.0.1", port, b"comfyui:8188")
    try:
        answer = await reads.ask("GET", target, lines, 0.2)
        body = b""
        while piece := await answer.next():
            body += piece
        return body
    finally:
        reads.close()
        server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_request_is_what_was_asked_for_byte_for_byte() -> None:
    recorder = Recorder(OK)
    assert (
        asyncio.run(asked(recorder, b"/view?filename=%e4&x=\xe4", ("Range", "bytes=0-1"))) == b"ok"
    )
    assert recorder.got == (
        b"GET /view?filename=%e4&x=\xe4 HTTP/1.1\r\nHost: comfyui:8188\r\nRange: bytes=0-1\r\n\r\n"
    )


@given(st.lists(headers, max_size=3), st.text(max_size=10))
def test_attacker_can_add_no_line_and_no_request(lines: list[tuple[str, str]], path: str) -> None:
    target = b"/" + path.encode()
    try:
        message = message_of("GET", target, b"h", lines)
    except ValueError:
        return
    head, _, rest = message.partition(b"\r\n\r\n")
    assert rest == b""
    assert len(head.split(b"\r\n")) == 2 + len(lines)
    assert head.split(b"\r\n")[0].split(b" ") == [b"GET", target, b"HTTP/1.1"]


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (b"", TimeoutError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf", TimeoutError),
        (b"\x16\x03\x01", BrokeOff),
    ],
)
def test_server_that_is_silent_or_speaks_something_else_is_given_up(
    says: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        asyncio.run(asked(Recorder(says), b"/"))


def test_nobody_there_is_told_apart() -> None:
    async def ask() -> None:
        await Reads("127.0.0.1", 1, b"h").ask("GET", b"/", (), 1)

    with pytest.raises(NotThere):
        asyncio.run(ask())
