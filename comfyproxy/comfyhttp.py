"""Requests to one HTTP server that have no body or a whole one, with little in between.

aiohttp's client takes 0.15 ms of processor time for a small answer, which is more than everything
else that the gateway does for it. Bodies that come in pieces, and TLS, are left to aiohttp
(`upstream`, the only module that uses either).

GET and HEAD share kept-alive connections: one that the server is just closing costs them a silent
second try. What changes something cannot be tried twice, so it gets a connection of its own, which
nobody is closing.

Parsed by llhttp, as by aiohttp, with the same leniencies (aiohttp 3.14, _http_parser.pyx).
"""

import asyncio
from collections.abc import Iterable
from typing import Final, cast

import httptools

from comfyproxy.connections import BrokeOff, broke, connect

READS: Final = frozenset({"GET", "HEAD"})
# Of an answer's head. A server that sends more is not understood.
MAX_HEAD_BYTES: Final = 64 * 1024
# Of a body that nobody takes; then the server has to wait.
BUFFER_BYTES: Final = 512 * 1024
# An idle connection is used again within so long. ComfyUI's own keeps them for longer.
KEPT_SECONDS: Final = 30.0
_INFORMATIONAL: Final = frozenset({100, 102, 103})


class ComfyHttp:
    """The connections of one event loop to one server."""

    def __init__(self, host: str, port: int, host_header: bytes, below: bytes = b"") -> None:
        """`below`: a path that comes before every target."""
        self._host, self._port = host, port
        self._host_header = host_header
        self._below = below
        # The one that was used last is taken first, so that the others may grow old.
        self._idle: list[_Connection] = []
        self._closed = False

    async def ask(
        self,
        method: str,
        target: bytes,
        headers: Iterable[tuple[str, str]],
        idle_seconds: float,
        body: bytes | None = None,
    ) -> "Answer":
        """Send a request, and return once the answer's head is there.

        `target`: path and query, sent as they are; `idle_seconds`: how long the server may be
        silent, now and later.

        Raises:
            NotThere, BrokeOff, TimeoutError; ValueError for what is no request
        """
        is_read = method in READS
        if not is_read:
            headers = [*headers, ("Connection", "close")]
        message = message_of(method, self._below + target, self._host_header, headers, body)
        connection = self._take() if is_read else None
        if connection is not None:
            try:
                return await connection.ask(method, message, idle_seconds)
            except BrokeOff:
                # The server may have closed it in this very moment.
                if connection.has_heard:
                    raise
        connection = await connect(lambda: _Connection(self), self._host, self._port)
        return await connection.ask(method, message, idle_seconds)

    def _take(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    def keep(self, connection: "_Connection") -> None:
        """It is idle, and may be used again."""
        if self._closed:
            connection.close()
            return
        self._idle.append(connection)
        if not self._idle[0].is_usable:
            self._idle.pop(0).close()

    def forget(self, connection: "_Connection") -> None:
        """It was lost."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what is idle; what is in use closes when it is done."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


def message_of(
    method: str,
    target: bytes,
    host: bytes,
    headers: Iterable[tuple[str, str]],
    body: bytes | None = None,
) -> bytes:
    """A request. Raises ValueError for what would be none, or more than one. `headers`: none that
    says where the body ends."""
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: " + host]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    if body is not None or method not in READS:
        lines.append(b"Content-Length: %d" % len(body or b""))
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    is_whole = head.count(b"\r") == breaks == head.count(b"\n") and b"\0" not in head
    if b" " in target or not is_whole:
        raise ValueError("what would be sent is no request")
    return head + b"\r\n\r\n" + (body or b"")


class Answer:
    """A server's answer, its head read, its body on the way."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: "_Connection") -> None:
        self._connection: _Connection | None = connection
        self.status = connection.status
        # As they were sent: names in any case.
        self.headers = connection.headers

    async def next(self) -> bytes:
        """What of the body is there, as soon as something is; nothing at its end.

        Raises:
            BrokeOff, TimeoutError
        """
        if self._connection is None:
            return b""
        piece = await self._connection.next()
        if not piece:
            self._end()
        return piece

    def close(self) -> None:
        """Nothing more is wanted: the connection is dropped unless the body has come whole."""
        if self._connection is not None:
            self._end()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        connection.finish()


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, pool: ComfyHttp) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._usable_until = 0.0
        self._is_busy = self._is_closed_here = False
        self._begin("GET")

    def _begin(self, method: str) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._has_body = method != "HEAD"
        # To one that changes something we said "close", whatever the server makes of it.
        self._may_stay = method in READS
        self._pieces: list[bytes] = []
        self._size = self._head_size = 0
        self._is_paused = False
        self._is_head_there = self._is_over = self._stays = False
        # Whether the body ends with the connection.
        self._ends_with_it = False
        self._fault: BrokeOff | None = None
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        # Whether anything came in answer to this request.
        self.has_heard = False

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent, as far as can be seen."""
        transport = self._transport
        is_open = transport is not None and not transport.is_closing()
        return is_open and asyncio.get_running_loop().time() < self._usable_until

    async def ask(self, method: str, message: bytes, idle_seconds: float) -> Answer:
        """Send the request, wait for the head. Raises BrokeOff, TimeoutError."""
        self._begin(method)
        self._is_busy = True
        self._idle_seconds = idle_seconds
        assert self._transport is not None
        self._transport.write(message)
        try:
            while not self._is_head_there:
                if self._fault is not None:
                    raise self._fault
                await self._something()
        except BaseException:
            self.close()
            raise
        return Answer(self)

    async def next(self) -> bytes:
        """See Answer."""
        while not self._pieces:
            if self._fault is not None:
                raise self._fault
            if self._is_over:
                return b""
            await self._something()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return piece

    async def _something(self) -> None:
        """Wait until something happens. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(self._idle_seconds, _time_out, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def finish(self) -> None:
        """The answer is not wanted any more."""
        self._is_busy = False
        if self._is_over and self._stays and self._fault is None and not self._is_paused:
            self._pieces.clear()
            self._usable_until = asyncio.get_running_loop().time() + KEPT_SECONDS
            self._pool.keep(self)
        else:
            self.close()

    def close(self) -> None:
        self._is_closed_here = True
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size():
            # A server that does not read would have it for as long as it likes, and get in the end
            # what its sender was told it had not taken.
            self._transport.abort()
        else:
            self._transport.close()

    # --- what the event loop tells ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._is_busy or self._is_over:
            # Nobody asked: what comes next would be taken for the answer to something else.
            self._stays = False
            self.close()
            return
        self.has_heard = True
        if not self._is_head_there:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"{error}")
        except httptools.HttpParserUpgrade:
            self._fail("the server wants to speak something else")
        if not self._is_head_there and self._head_size > MAX_HEAD_BYTES:
            self._fail("the head is too large")
        if self._size > BUFFER_BYTES and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.forget(self)
        if not self._is_closed_here:
            broke()
        self._stays = False
        if not self._is_over:
            if self._is_head_there and self._ends_with_it and error is None:
                self._is_over = True
            else:
                self._fail(str(error) if error else "the server closed the connection")
        self._wake()

    def _fail(self, why: str) -> None:
        # What follows a whole answer does not make it less whole.
        if self._fault is None and not self._is_over:
            self._fault = BrokeOff(why)
        self._stays = False
        self.close()

    # --- what the parser tells -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._is_over:
            # One more answer than there are questions.
            self._stays = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_head_there:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._is_over:
            return
        self.status = self._parser.get_status_code()
        if self.status in _INFORMATIONAL:
            self.headers = []
            return
        self._ends_with_it = not any(
            name.lower() == b"content-length"
            or (name.lower() == b"transfer-encoding" and b"chunked" in value.lower())
            for name, value in self.headers
        )
        self._stays = self._may_stay and self._parser.should_keep_alive()
        self._is_head_there = True
        if not self._has_body:
            # The parser waits for a body that does not come; the next request gets a new one.
            self._is_over = True

    def on_body(self, body: bytes) -> None:
        if self._is_over:
            # In answer to a HEAD: the rest of it may still come.
            self._stays = False
        elif self._is_head_there:
            self._pieces.append(body)
            self._size += len(body)

    def on_message_complete(self) -> None:
        if self._is_head_there:
            self._is_over = True


def _time_out(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError("the server is silent"))
