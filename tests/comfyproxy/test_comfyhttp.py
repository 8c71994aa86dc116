"""comfyproxy.comfyhttp: what may not be sent, and servers that are silent. The rest is seen on the
wire (tests/wire/test_http_connections.py, test_http_broken_upstream.py)."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.comfyhttp import ComfyHttp, message_of
from comfyproxy.connections import BrokeOff, NotThere

headers = st.tuples(
    st.text(st.characters(max_codepoint=255), max_size=8),
    st.text(st.characters(max_codepoint=255), max_size=8),
)


class Recorder:
    """A server that keeps what it is sent, and says this to each request; nothing: it hangs up
    when it has read one, or with `waits` it is silent."""

    def __init__(self, says: bytes, *, waits: bool = True) -> None:
        # What came on each connection.
        self.got: list[bytes] = []
        self._says, self._waits = says, waits

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(self.got)
        self.got.append(b"")
        while data := await reader.read(65536):
            self.got[place] += data
            if self._says:
                writer.write(self._says)
            elif not self._waits:
                break
        writer.close()


Request = tuple[str, bytes, tuple[tuple[str, str], ...], bytes | None]


def read(target: bytes, *lines: tuple[str, str]) -> Request:
    return "GET", target, lines, None


async def asked(recorder: Recorder, *requests: Request) -> list[bytes]:
    """The bodies of the answers to these, one after another."""
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = ComfyHttp("127.0.0.1", port, b"comfyui:8188")
    found = []
    try:
        for method, target, lines, body in requests:
            answer = await client.ask(method, target, lines, 0.2, body)
            found.append(b"")
            while piece := await answer.next():
                found[-1] += piece
        return found
    finally:
        client.close()
        server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_request_is_what_was_asked_for_byte_for_byte() -> None:
    recorder = Recorder(OK)
    wanted = read(b"/view?filename=%e4&x=\xe4", ("Range", "bytes=0-1"))
    assert asyncio.run(asked(recorder, wanted)) == [b"ok"]
    assert recorder.got == [
        b"GET /view?filename=%e4&x=\xe4 HTTP/1.1\r\nHost: comfyui:8188\r\nRange: bytes=0-1\r\n\r\n"
    ]


def test_what_changes_something_has_a_connection_of_its_own() -> None:
    recorder = Recorder(OK)
    change = ("POST", b"/prompt", (("Content-Type", "application/json"),), b'{"prompt": {}}')
    removal = ("DELETE", b"/userdata/a", (), None)
    look = read(b"/queue")
    assert asyncio.run(asked(recorder, look, change, change, removal, look)) == [b"ok"] * 5
    first, *own = recorder.got
    assert first == b"GET /queue HTTP/1.1\r\nHost: comfyui:8188\r\n\r\n" * 2
    sent = (
        b"POST /prompt HTTP/1.1\r\nHost: comfyui:8188\r\nContent-Type: application/json\r\n"
        b'Connection: close\r\nContent-Length: 14\r\n\r\n{"prompt": {}}'
    )
    removed = (
        b"DELETE /userdata/a HTTP/1.1\r\nHost: comfyui:8188\r\n"
        b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    )
    assert own == [sent, sent, removed]


def test_change_that_the_server_may_have_made_is_not_sent_again() -> None:
    recorder = Recorder(b"", waits=False)
    with pytest.raises(BrokeOff):
        asyncio.run(asked(recorder, ("POST", b"/prompt", (), b"{}")))
    assert len(recorder.got) == 1


@given(st.lists(headers, max_size=3), st.text(max_size=10), st.none() | st.binary(max_size=20))
def test_attacker_can_add_no_line_and_no_request(
    lines: list[tuple[str, str]], path: str, body: bytes | None
) -> None:
    target = b"/" + path.encode()
    method = "GET" if body is None else "POST"
    try:
        message = message_of(method, target, b"h", lines, body)
    except ValueError:
        return
    head, _, rest = message.partition(b"\r\n\r\n")
    assert rest == (body or b"")
    own = 2 if body is None else 3
    assert len(head.split(b"\r\n")) == own + len(lines)
    assert head.split(b"\r\n")[0].split(b" ") == [method.encode(), target, b"HTTP/1.1"]
    if body is not None:
        assert head.endswith(b"\r\nContent-Length: %d" % len(body))


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
        asyncio.run(asked(Recorder(says), read(b"/")))


async def test_change_that_was_given_up_is_not_sent_after_all() -> None:
    size, got = 32 * 1024 * 1024, asyncio.get_running_loop().create_future()
    awake = asyncio.Event()

    async def sleep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await awake.wait()
        received = 0
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                received += len(data)
        writer.close()
        got.set_result(received)

    server = await asyncio.start_server(sleep, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = ComfyHttp("127.0.0.1", port, b"h")
    with pytest.raises(TimeoutError):
        await client.ask("POST", b"/prompt", (), 0.2, b"x" * size)
    awake.set()
    assert await asyncio.wait_for(got, 10) < size
    server.close()


def test_nobody_there_is_told_apart() -> None:
    async def ask() -> None:
        await ComfyHttp("127.0.0.1", 1, b"h").ask("GET", b"/", (), 1)

    with pytest.raises(NotThere):
        asyncio.run(ask())
