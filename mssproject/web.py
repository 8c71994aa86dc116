"""One web process: `python -m mssproject.web` (uvicorn; see DESIGN for why not daphne).

`--listener N`: it accepts connections at the listening socket with that file descriptor, which
several processes may share; without it, at one of its own.
"""

import argparse
import asyncio
import resource
import socket
import sys

import httptools
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.main import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mssproject import env
from mssproject.logging import config as logging_config

# Events of ComfyUI may be larger, but what a client sends is small: ComfyUI cuts at 4 MiB.
MAX_SOCKET_MESSAGE_BYTES = 4 * 1024 * 1024
# A client silent for that long is asked whether it is still there.
PING_SECONDS = 30.0
SWITCH_SECONDS = 0.0005
GRACE_SECONDS = 25
# Request line and headers together; also nginx's order of magnitude.
MAX_HEAD_BYTES = 64 * 1024
# Within which a request's head must be there, from the connection or from its first byte.
HEAD_SECONDS = 20.0
# Between two pieces of a request's body; as nginx's client_body_timeout.
BODY_SECONDS = 60.0
# File descriptors: a socket for each client, and one to ComfyUI for most of them.
WANTED_FILES = 16_384
_UNREADABLE = b'{"error":"The request is not understood.","code":"BAD_REQUEST"}'
_TOO_SLOW = b'{"error":"The rest of the request did not come.","code":"BAD_REQUEST"}'
_HEAD_TOO_LARGE = b'{"error":"The request\'s headers are too large.","code":"TOO_LARGE"}'


class Protocol(HttpToolsProtocol):
    """Uvicorn's, except that a request's head is bounded in size and time, that its body may not
    stop coming, that trailers are dropped, that an upgrade to anything but a WebSocket is not taken
    up (RFC 9110, 7.8), and that even what cannot be parsed is refused as JSON."""

    # What has come since the last piece of a body or the end of a head: the head itself,
    # chunk extensions, trailers.
    _other_bytes = 0
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None
    _body_timer: asyncio.TimerHandle | None = None
    # When something last came, in the event loop's time.
    _heard_at = 0.0
    _served: RequestResponseCycle | None = None
    # The head of a request that wants to be upgraded to something else, without that wish.
    _without_upgrade = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        if self._body_timer is not None:
            self._body_timer.cancel()
        # Of several requests sent ahead uvicorn tells only the newest.
        if self._served is not None and not self._served.response_complete:
            self._served.disconnected = True
            self._served.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        self._other_bytes += len(data)
        self._parse(data)
        # Of a head that came whole there is nothing to wait for.
        if self._in_head and self._other_bytes and self._head_timer is None:
            self._start_head_timer()
        if not self._in_head:
            self._heard_at = self.loop.time()
            if self._body_timer is None:
                self._body_timer = self.loop.call_later(BODY_SECONDS, self._look_for_body)
        # What the count is set back by, if it came with `data`, has done so by now.
        if self._other_bytes > MAX_HEAD_BYTES:
            self._refuse(431, _HEAD_TOO_LARGE)

    def _parse(self, data: bytes) -> None:
        """As uvicorn's `data_received`. But where the parser stops for an upgrade that is not to be
        had, uvicorn (0.54) drops the rest and takes the request for one without a body. What came
        later of that body was a request of its own then, which no proxy in front had seen, and its
        answer that of whoever the proxy's connection served next."""
        self._unset_keepalive_if_required()
        left = memoryview(data)
        try:
            while True:
                try:
                    self.parser.feed_data(left)
                    return
                except httptools.HttpParserUpgrade as stopped:
                    if self._should_upgrade():
                        self.handle_websocket_upgrade()
                        return
                    left = left[stopped.args[0] :]
                # A new one: the former takes nothing more if the client wanted it closed.
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(self._without_upgrade)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        socket_protocol = self.transport.get_protocol()
        assert isinstance(socket_protocol, WebSocketsSansIOProtocol)
        # A handshake with a body, more than 128 headers or one of more than 8 kB is none to the
        # library (websockets 17). Uvicorn then says nothing and waits, for ever.
        if not socket_protocol.handshake_initiated:
            self._refuse(400, _UNREADABLE)

    def _wants_another_upgrade(self) -> bool:
        return self.parser.should_upgrade() and not self._should_upgrade()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind the body come trailers; nothing here reads any, and uvicorn would keep all.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._wants_another_upgrade():
            method = self.parser.get_method()
            if method == b"CONNECT":  # wants it by itself
                raise httptools.HttpParserError("this is no tunnel")
            version = self.parser.get_http_version().encode()
            kept = (pair for pair in self.headers if pair[0] != b"upgrade")
            lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
            lines += [b"%b: %b" % pair for pair in kept]
            self._without_upgrade = b"\r\n".join([*lines, b"", b""])
            return
        self._stop_head_timer()
        self._in_head = False
        self._other_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._other_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._wants_another_upgrade():
            return
        self._in_head = True
        self._other_bytes = 0
        super().on_message_complete()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_too_slow)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        # Handed over to the WebSocket protocol in the meantime: not ours any more.
        if self._in_head and self.transport.get_protocol() is self:
            self.transport.close()

    def _look_for_body(self) -> None:
        self._body_timer = None
        if self._in_head or self.transport.get_protocol() is not self:
            return
        now = self.loop.time()
        if self.flow.read_paused or self._served is not self.cycle:
            # It is not the client who keeps the rest back: nobody takes what has come, or an
            # earlier request is being answered, into which nothing else may be written.
            self._heard_at = now
        left = self._heard_at + BODY_SECONDS - now
        if left > 0:
            self._body_timer = self.loop.call_later(left, self._look_for_body)
        else:
            self._refuse(408, _TOO_SLOW)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, _UNREADABLE)

    def _refuse(self, status: int, body: bytes) -> None:
        if self.transport.is_closing():
            return
        served = self._served
        if served is not None and served.response_started and not served.response_complete:
            # What is said now would be taken for a part of the answer that is on its way.
            self.transport.close()
            return
        head = (
            f"HTTP/1.1 {status} \r\ncontent-type: application/json; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _raise_file_limit() -> None:
    """As far as this process may; the usual soft limit of 1024 is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Serve until SIGTERM or SIGINT; open requests get `GRACE_SECONDS` to finish."""
    try:
        settings = env.load()
    except env.EnvError as error:
        sys.exit(f"The environment needs a correction:\n{error}")
    parser = argparse.ArgumentParser()
    parser.add_argument("--listener", type=int)
    listener: int | None = parser.parse_args().listener
    _raise_file_limit()
    config = uvicorn.Config(
        "mssproject.asgi:application",
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Protocol,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=MAX_SOCKET_MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        # Client addresses are the front's business, request lines hold query tokens.
        proxy_headers=False,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=logging_config(settings.log_level, settings.log_format),
    )
    shared = None if listener is None else [socket.socket(fileno=listener)]
    # The event loop is nearly always busy where there is much to do: with Python's 5 ms a database
    # thread would wait that long each time that it comes back from the database.
    sys.setswitchinterval(SWITCH_SECONDS)
    server = uvicorn.Server(config)
    server.run(sockets=shared)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


if __name__ == "__main__":
    main()
