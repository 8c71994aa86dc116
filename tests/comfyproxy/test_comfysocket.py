"""comfyproxy.comfysocket: the same messages however they are cut up, and servers that misbehave.
The rest is seen on the wire (tests/wire/ws)."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from comfyproxy import comfysocket, connections, upstream
from comfyproxy.comfysocket import BUFFER_BYTES, ComfySocket
from comfyproxy.connections import BrokeOff, NotThere

URL = "ws://127.0.0.1:8188/ws?clientId=a%20b"
STATUS = '{"type": "status"}'

Message = str | bytes
messages = st.one_of(
    st.text(max_size=300), st.binary(max_size=300), st.just("x" * 70_000), st.just(STATUS)
)
# Where a message is cut into fragments; a ping may come between two of them.
cut_messages = st.lists(
    st.tuples(messages, st.lists(st.integers(0, 300), max_size=2)), min_size=1, max_size=6
)


class Wire:
    """A transport whose other end is a test."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_paused = self.is_closed = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def frames_of(message: Message, cuts: list[int]) -> bytes:
    """A message as a server sends it, in so many fragments and one more."""
    opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    payload = message.encode() if isinstance(message, str) else message
    edges = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
    sent = b""
    for number, (begin, end) in enumerate(pairwise(edges)):
        if number:
            sent += Frame(Opcode.PING, b"?").serialize(mask=False)
        frame = Frame(
            opcode if number == 0 else Opcode.CONT, payload[begin:end], number == len(edges) - 2
        )
        sent += frame.serialize(mask=False)
    return sent


class Peer:
    """A socket after its handshake, and the server's end of it."""

    def __init__(self, *, follows: bytes = b"") -> None:
        self.skimmed: list[bytes] = []
        self.wire = Wire()
        self.socket = ComfySocket(URL, self._skim)
        self.socket.connection_made(cast("asyncio.Transport", self.wire))
        self.socket._protocol.send_request(self.socket._protocol.connect())
        self.socket._flush()
        self.server = ServerProtocol(max_size=None)
        self.server.receive_data(self.wire.sent)
        (request,) = self.server.events_received()
        assert isinstance(request, Request)
        self.request = request
        self.wire.sent = b""
        self.server.send_response(self.server.accept(request))
        self.socket.data_received(b"".join(self.server.data_to_send()) + follows)

    def _skim(self, text: bytes) -> bool:
        if text == STATUS.encode():
            self.skimmed.append(text)
            return True
        return False

    def came_back(self) -> list[Any]:
        """What the server was sent since."""
        self.server.receive_data(self.wire.sent)
        self.wire.sent = b""
        return self.server.events_received()

    async def received(self) -> list[Message]:
        """All messages, now that the connection is lost."""
        self.socket.connection_lost(None)
        found = []
        while (message := await self.socket.receive()) is not None:
            found.append(message)
        return found


def test_handshake_asks_for_what_was_given_byte_for_byte() -> None:
    peer = Peer()
    assert peer.request.path == "/ws?clientId=a%20b"
    assert peer.request.headers["Host"] == "127.0.0.1:8188"
    assert "Sec-WebSocket-Extensions" not in peer.request.headers
    assert not peer.socket.closed


@given(
    cut_messages,
    st.one_of(st.just("a message each"), st.lists(st.integers(1, 900), max_size=40)),
    st.booleans(),
)
def test_messages_come_as_they_were_sent_however_they_are_cut(
    sent: list[tuple[Message, list[int]]], packets: list[int] | str, at_once: bool
) -> None:
    each = [frames_of(message, cuts) for message, cuts in sent]
    if isinstance(packets, str):
        packets = [len(frames) for frames in each]
    stream = b"".join(each)
    peer = Peer(follows=stream if at_once else b"")
    rest = b"" if at_once else stream
    for size in packets:
        peer.socket.data_received(rest[:size] or b"")
        rest = rest[size:]
    peer.socket.data_received(rest)
    pongs = [event for event in peer.came_back() if event.opcode is Opcode.PONG]
    assert len(pongs) == sum(len(cuts) for _, cuts in sent)
    received = asyncio.run(peer.received())
    assert received == [message for message, _ in sent if message != STATUS]
    assert len(peer.skimmed) == sum(message == STATUS for message, _ in sent)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Frame(Opcode.CONT, b"x").serialize(mask=False), id="no beginning"),
        pytest.param(
            Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=False)
            + Frame(Opcode.TEXT, b"b").serialize(mask=False),
            id="one in the midst of another",
        ),
        pytest.param(Frame(Opcode.TEXT, b"x").serialize(mask=True), id="masked"),
        pytest.param(b"\x91\x01x", id="an extension"),
        pytest.param(b"\x83\x01x", id="an opcode that there is not"),
        pytest.param(b"\x81\x01\xff", id="no UTF-8"),
        pytest.param(b"\x01\x01\xff\x80\x00", id="no UTF-8, in fragments"),
        pytest.param(b"\x82\x7f" + (1 << 40).to_bytes(8), id="too long"),
    ],
)
@pytest.mark.parametrize("cut", [False, True], ids=["together", "apart"])
async def test_server_that_breaks_the_protocol_is_left(broken: bytes, cut: bool) -> None:
    peer = Peer()
    before = frames_of("before", [])
    for data in [before, broken] if cut else [before + broken]:
        peer.socket.data_received(data)
    peer.socket.data_received(frames_of("after", []))
    assert await peer.socket.receive() == "before"
    assert await peer.socket.receive() is None
    assert peer.socket.closed
    assert [event.opcode for event in peer.came_back()] == [Opcode.CLOSE]
    with pytest.raises(BrokeOff):
        await peer.socket.send("more")


async def test_server_that_says_goodbye_is_answered_after_its_last_message() -> None:
    peer = Peer()
    peer.server.send_text(b"last")
    peer.server.send_close(1001)
    peer.socket.data_received(b"".join(peer.server.data_to_send()) + frames_of("ghost", []))
    assert await peer.socket.receive() == "last"
    assert await peer.socket.receive() is None
    peer.came_back()
    assert peer.server.close_rcvd is not None


@pytest.mark.parametrize("who", ["comfyui", "comfyui, without a word", "we"])
async def test_end_that_was_not_our_wish_may_be_a_restart(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_broke_at", float("-inf"))
    monkeypatch.setattr(comfysocket, "CLOSE_SECONDS", 0.01)
    peer = Peer()
    if who == "comfyui":
        peer.server.send_close(1001)
        peer.socket.data_received(b"".join(peer.server.data_to_send()))
        assert await peer.socket.receive() is None
    if who != "comfyui, without a word":
        await peer.socket.close()
    peer.socket.connection_lost(None)
    assert (connections.last_broke() > 0) is (who != "we")


async def test_messages_that_nobody_takes_make_the_server_wait() -> None:
    peer = Peer()
    message = b"x" * (BUFFER_BYTES // 4)
    for _ in range(6):
        peer.socket.data_received(frames_of(message, []))
    assert peer.wire.is_paused
    for _ in range(4):
        assert await peer.socket.receive() == message
    assert not peer.wire.is_paused


async def test_client_that_sends_waits_until_the_connection_takes_more() -> None:
    peer = Peer()
    peer.socket.pause_writing()
    sending = asyncio.ensure_future(peer.socket.send("up"))
    await asyncio.sleep(0)
    assert not sending.done()
    peer.socket.resume_writing()
    await sending
    assert [event.data for event in peer.came_back()] == [b"up"]


async def test_server_that_falls_silent_is_asked_and_then_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comfysocket, "BEAT_SECONDS", 3600)
    peer = Peer()
    for _ in range(3):
        peer.socket._beat()
    assert [event.opcode for event in peer.came_back()] == [Opcode.PING]
    peer.socket.data_received(Frame(Opcode.PONG, b"").serialize(mask=False))
    for _ in range(3):
        peer.socket._beat()
        assert not peer.wire.is_closed
    peer.socket._beat()
    assert peer.wire.is_closed


class Server:
    """A real server that does this with a connection."""

    def __init__(self, serve: Callable[..., Any], tls: ssl.SSLContext | None = None) -> None:
        self._serve, self._tls = serve, tls

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        scheme = "ws" if self._tls is None else "wss"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/ws"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


async def accepted(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[ServerProtocol, Request]:
    """The server's end after a handshake, and what was asked for."""
    server = ServerProtocol()
    server.receive_data(await reader.readuntil(b"\r\n\r\n"))
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    writer.write(b"".join(server.data_to_send()))
    return server, request


async def opened(url: str, seconds: float = 2) -> ComfySocket:
    socket = ComfySocket(url, lambda text: False)
    await socket.open(seconds, {})
    return socket


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: bm8=\r\n\r\n",
        b"no HTTP\r\n\r\n",
        b"",
        b"HTTP/1.1 101 " + b"x" * 100_000,
    ],
)
async def test_server_that_refuses_the_socket_has_broken_off(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not answer:
            writer.close()

    async with Server(serve) as url:
        with pytest.raises(BrokeOff):
            await opened(url)


async def test_server_that_does_not_shake_hands_is_not_waited_for() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with Server(serve) as url:
        with pytest.raises(TimeoutError):
            await opened(url, 0.05)


async def test_nobody_there_is_not_there() -> None:
    with pytest.raises(NotThere):
        await opened("ws://127.0.0.1:1/ws")


async def test_close_takes_no_longer_than_it_may_when_the_server_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comfysocket, "CLOSE_SECONDS", 0.05)
    hung_up = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server, _ = await accepted(reader, writer)
        while data := await reader.read(100):
            server.receive_data(data)
        assert server.state is State.CLOSING
        hung_up.set()
        writer.close()

    async with Server(serve) as url:
        socket = await opened(url)
        waiting = asyncio.ensure_future(socket.receive())
        await asyncio.sleep(0)
        await socket.close()
        assert await waiting is None
        async with asyncio.timeout(2):
            await hung_up.wait()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "comfyui")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "comfyui.pem"
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_comfyui_behind_tls_is_believed_by_its_certificate(
    is_trusted: bool, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server, _ = await accepted(reader, writer)
        server.send_text(b"hello")
        writer.write(b"".join(server.data_to_send()))
        await reader.read()
        writer.close()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with Server(serve, tls) as url:
        if not is_trusted:
            with pytest.raises(NotThere):
                await opened(url)
            return
        socket = await opened(url)
        assert await socket.receive() == "hello"
        await socket.close()


@pytest.mark.parametrize(
    ("login", "sent"),
    [("", None), ("us%40er:p%3As%2Fs@", "us@er:p:s/s"), ("user@", "user:"), ("u:%C3%A4@", "u:ä")],
)
async def test_login_in_comfyuis_address_is_sent_with_the_handshake(
    login: str, sent: str | None, settings: Settings
) -> None:
    asked: list[Request] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await accepted(reader, writer))[1])
        await reader.read()
        writer.close()

    async with Server(serve) as url:
        place = url.removeprefix("ws://").removesuffix("/ws")
        settings.COMFYUI_URL = f"http://{login}{place}/below"
        socket = await upstream.socket("a b", lambda text: False)
        await socket.close()
    (request,) = asked
    assert (request.path, request.headers["Host"]) == ("/below/ws?clientId=a+b", place)
    given = request.headers.get("Authorization")
    assert given == (None if sent is None else f"Basic {b64encode(sent.encode()).decode()}")
