"""A WebSocket to ComfyUI, read with little in between.

ComfyUI tells every socket of every change of its queue: to 200 sockets and at 20 prompts a second
these are 10,000 frames a second, and aiohttp's client takes 40 µs for each. Here a whole message
that lies in one packet is taken as it lies there (RFC 6455, section 5.2); the handshake, what comes
in parts, pings and the close are left to `websockets`' own protocol.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, cast

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from comfyproxy.connections import BrokeOff, broke, connect
from comfyproxy.outbox import Frame as Message

logger = logging.getLogger(__name__)

# Of the handshake's answer. A server that sends more is not understood.
MAX_HEAD_BYTES: Final = 64 * 1024
# Pictures of many megapixels are the largest that ComfyUI sends.
MAX_MESSAGE_BYTES: Final = 512 * 1024 * 1024
# Of messages that nobody takes; then ComfyUI has to wait.
BUFFER_BYTES: Final = 256 * 1024
# So often it is looked whether anything was heard: the second time that nothing was, a sign is
# asked for, and the third time the connection is given up as only half there. Long, as ComfyUI's
# loop can be busy for a while.
BEAT_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 5.0
_END_OF_HEAD: Final = b"\r\n\r\n"
# The first octet of a message in one frame: final, no extension, text or binary.
_WHOLE_TEXT: Final = 0x81
_WHOLE: Final = (_WHOLE_TEXT, 0x82)
# Of the second octet: a mask precedes the payload.
_MASKED: Final = 0x80
# The second octet is the payload's length, up to this.
_SHORT: Final = 125
_DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class ComfySocket(asyncio.Protocol):
    """One WebSocket: messages in order for one reader, who is waited for."""

    def __init__(self, url: str, is_done_with: Callable[[bytes], bool]) -> None:
        """`is_done_with` is shown the bytes of a text as soon as it has come, before others that
        still wait to be received; True: nobody need receive it."""
        self._uri = parse_uri(url)
        self._is_done_with = is_done_with
        self._protocol = ClientProtocol(self._uri, max_size=MAX_MESSAGE_BYTES, logger=logger)
        self._transport: asyncio.Transport | None = None
        # Few; an empty deque takes 0.8 kB.
        self._messages: list[Message] = []
        self._size = 0
        self._is_paused = False
        # Of the handshake's answer, then of a frame's head: what of it has come.
        self._head = b""
        # Octets that are still to come of a frame of which the library has the beginning.
        self._left = 0
        self._parts: list[bytes | bytearray | memoryview] = []
        self._is_text = False
        self._is_open = self._is_over = self._is_unwanted = False
        # Nothing is half here, and a message may come.
        self._is_between = False
        # Whether the end of it was this side's wish.
        self._ends_here = False
        self._fault: BrokeOff | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._has_heard = True
        self._silent_beats = 0
        self._beat_timer: asyncio.TimerHandle | None = None

    async def open(self, seconds: float, headers: Mapping[str, str]) -> None:
        """Connect and shake hands. `seconds`: how long the server may take for its answer;
        `headers`: what it is sent beside the handshake's own.

        Raises:
            NotThere, BrokeOff, TimeoutError
        """
        uri = self._uri
        await connect(lambda: self, uri.host, uri.port, is_secure=uri.secure)
        request = self._protocol.connect()
        request.headers.update(headers)
        self._protocol.send_request(request)
        self._flush()
        try:
            async with asyncio.timeout(seconds):
                while not self._is_open:
                    if self._fault is not None:
                        raise self._fault
                    await self._something()
        except BaseException:
            self._drop()
            raise
        self._beat_timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_over or self._protocol.state is not State.OPEN

    async def receive(self) -> Message | None:
        """The next message, waiting for one; None after the last, however the connection ended."""
        while not self._messages:
            if self.closed or self._is_unwanted:
                return None
            await self._something()
        message = self._messages.pop(0)
        self._size -= len(message)
        if self._is_paused and self._size <= BUFFER_BYTES // 2 and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return message

    async def send(self, message: Message) -> None:
        """Send a message, once the connection takes more. Raises BrokeOff."""
        while self._writable is not None and not self.closed:
            await asyncio.shield(self._writable)
        if self.closed:
            raise BrokeOff("the socket is closed")
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._flush()

    async def close(self) -> None:
        """End the connection, with a goodbye if ComfyUI hears it in time. What was not received
        is gone."""
        self._is_unwanted = True
        self._messages.clear()
        self._size = 0
        self._wake()
        if self._transport is None or self._is_over:
            return
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        if self._protocol.state is State.OPEN:
            self._ends_here = True
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while not self._is_over:
                    await self._something()
        except TimeoutError:
            logger.info("ComfyUI does not answer a socket's close")
        finally:
            self._drop()

    async def _something(self) -> None:
        """Wait until something happens."""
        if self._reader is None or self._reader.done():
            self._reader = asyncio.get_running_loop().create_future()
        # The reader and whoever closes may both wait.
        await asyncio.shield(self._reader)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _flush(self) -> None:
        transport = self._transport
        for data in self._protocol.data_to_send():
            if transport is None or transport.is_closing():
                continue
            if data:
                transport.write(data)
            else:
                # The library's end of what it sends: ComfyUI has nothing more to say either.
                transport.close()

    def _drop(self) -> None:
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, why: str) -> None:
        if self._fault is None:
            self._fault = BrokeOff(why)
        self._drop()

    def _beat(self) -> None:
        if self._is_over:
            return
        # Who is not read cannot be heard.
        self._silent_beats = 0 if self._has_heard or self._is_paused else self._silent_beats + 1
        self._has_heard = False
        if self._silent_beats >= 3:
            logger.warning("ComfyUI does not answer on a socket; it is given up")
            self._fail("the server is silent")
            return
        if self._silent_beats == 2 and self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()
        self._beat_timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    # --- what the event loop tells ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._has_heard = True
        # Nearly everything that comes is short texts.
        begin, size = 0, len(data)
        while self._is_between and begin + 1 < size and data[begin] == _WHOLE_TEXT:
            end = begin + 2 + data[begin + 1]
            if data[begin + 1] > _SHORT or end > size:
                break
            self._message(data[begin + 2 : end], is_text=True)
            begin = end
        if begin == size:
            return
        if begin:
            data = data[begin:]
        if self._head:
            data = self._head + data
            self._head = b""
        if self._is_open:
            self._frames(data)
        else:
            self._handshake(data)

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_over = True
        if not self._ends_here:
            broke()
        if self._fault is None:
            self._fault = BrokeOff(str(error) if error else "the server closed the connection")
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        self.resume_writing()
        self._wake()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    # --- what has come ---------------------------------------------------------------------------

    def _handshake(self, data: bytes) -> None:
        end = data.find(_END_OF_HEAD)
        if end < 0:
            self._head = data
            if len(data) > MAX_HEAD_BYTES:
                self._fail("the handshake's answer is too long")
            return
        end += len(_END_OF_HEAD)
        if data.split(b" ", 2)[1:2] != [b"101"]:
            # The library would wait for a body.
            self._fail(f"the server refused the socket: {data[:40]!r}")
            return
        self._feed(data[:end])
        if self._is_open and end < len(data):
            self._frames(data[end:])

    def _frames(self, data: bytes) -> None:
        """Take those frames that are all here and a message each; all else goes to the library,
        in order with these."""
        size = len(data)
        at = min(self._left, size)
        self._left -= at
        given = 0
        while at < size:
            extent = _extent(data, at)
            if extent is None:
                self._head = data[at:]
                break
            begin, end = extent
            if end <= size and data[at] in _WHOLE and data[at + 1] < _MASKED:
                self._feed(data[given:at])
                given = at
                if self._takes_messages:
                    self._message(data[begin:end], is_text=data[at] == _WHOLE_TEXT)
                    given = end
            at = min(end, size)
            self._left = end - at
        self._feed(data[given:at])
        self._is_between = not self._left and not self._head and self._takes_messages

    @property
    def _takes_messages(self) -> bool:
        """Whether a message may come now: there was no goodbye, and no other is half here."""
        return self._protocol.state is State.OPEN and self._protocol.current_size is None

    def _feed(self, data: bytes) -> None:
        """Let the library have this, and hear what it makes of it."""
        if not data:
            return
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._is_open = self._protocol.state is State.OPEN
            elif isinstance(event, Frame) and event.opcode in _DATA:
                self._part(event)
        self._flush()
        if self._protocol.handshake_exc is not None:
            self._fail(str(self._protocol.handshake_exc))
        self._wake()

    def _part(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._parts.append(frame.data)
        if frame.fin:
            parts, self._parts = self._parts, []
            self._message(b"".join(parts), is_text=self._is_text)

    def _message(self, payload: bytes, *, is_text: bool) -> None:
        if self._is_unwanted or (is_text and self._is_done_with(payload)):
            return
        try:
            message: Message = payload.decode() if is_text else payload
        except UnicodeDecodeError:
            self._is_between = False
            self._protocol.fail(CloseCode.INVALID_DATA)
            self._flush()
            return
        self._messages.append(message)
        self._size += len(message)
        if self._size > BUFFER_BYTES and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()


def _extent(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame that begins at `at` begins and ends; None: too little of it
    is here to tell. (RFC 6455, section 5.2)"""
    if len(data) < at + 2:
        return None
    length, begin = data[at + 1] & 0x7F, at + 2
    if length >= 126:
        begin += 2 if length == 126 else 8
        if len(data) < begin:
            return None
        length = int.from_bytes(data[at + 2 : begin], "big")
    if data[at + 1] >= _MASKED:
        # No server may do that; the library refuses it.
        begin += 4
    return begin, begin + length
