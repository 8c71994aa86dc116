"""/ws: one client's socket, relayed to and from its upstream session."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from accounts import iprules, metrics
from accounts.authentication import identify
from accounts.capabilities import Capability
from accounts.credentials import find_credential
from accounts.errors import BadRequest, GatewayError, IpBlocked, Unauthenticated
from comfyproxy.calls import JSON_TYPE
from comfyproxy.clientsocket import ClientSocket
from comfyproxy.farsockets import FarSession
from comfyproxy.gate import SCOPE_KEY, Admitted, address_of
from comfyproxy.hub import hub
from comfyproxy.outbox import Frame, OverflowedError
from comfyproxy.relay import announced_flags, may_go_up
from comfyproxy.relaysession import SERVICE_RESTART, UpstreamSession

logger = logging.getLogger(__name__)

# With the 5 s that an identity is remembered, an open socket ends within 10 s.
RECHECK_SECONDS: Final = 4.5
# A database that was cut off says nothing for many minutes. Longer than SQLite waits for a writer.
DATABASE_SECONDS: Final = 25.0
# For the closing frame of a client that does not read; then its connection is given up.
CLOSE_SECONDS: Final = 10.0
MAX_CLIENT_ID_CHARS: Final = 256
# ComfyUI cuts the socket, and with it all of the client's, at a message of this size.
MESSAGE_LIMIT_BYTES: Final = 4 * 1024 * 1024
TOO_BIG: Final = 1009
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403


class SocketConsumer(AsyncWebsocketConsumer):
    """The gate has admitted the handshake; its result is in the scope."""

    session: UpstreamSession | FarSession | None = None
    _given_up = False
    _closing: asyncio.Task[None] | None = None
    _writer: asyncio.Task[None] | None = None
    # A timer, and a task only while it runs: a thousand sockets hardly ever do.
    _recheck_timer: asyncio.TimerHandle | None = None
    _rechecking: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._served_by = asyncio.current_task()
        self._is_open = False
        self.scope, self.base_send = scope, send
        try:
            # Not Channels' own loop: it has two tasks wait, for a channel layer's messages, too,
            # and looks after the database connections of a thread for each message. This consumer
            # has neither.
            with contextlib.suppress(StopConsumer):
                while True:
                    message = await receive()
                    await getattr(self, get_handler_name(message))(message)
        except asyncio.CancelledError:
            if not self._given_up:
                raise
        finally:
            # Whatever way it ends, the client must not stay behind in its session.
            self._leave()
            if self._is_open:
                metrics.sockets.dec()

    async def connect(self) -> None:
        admitted = self.scope[SCOPE_KEY]
        assert isinstance(admitted, Admitted)
        assert admitted.identity is not None
        try:
            self.client = ClientSocket(
                admitted.identity, _client_id(self.scope["query_string"]), self._close_soon
            )
            self.session = await hub.attach(self.client)
        except GatewayError as refusal:
            await deny(self.scope, self.base_send, refusal)
            raise StopConsumer from None
        try:
            await self.accept()
        except (OSError, RuntimeError):
            # The client left, or ComfyUI did, between the two lines above and this.
            raise StopConsumer from None
        self._is_open = True
        metrics.sockets.inc()
        self._writer = asyncio.ensure_future(self._write())
        self._recheck_later()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        assert self.session is not None
        if self._closing is not None:
            return
        if text_data is not None:
            flags = announced_flags(text_data)
            if flags is not None:
                # The gateway has sent its own flags already; ComfyUI takes only the first.
                wants_metadata = flags.get("supports_preview_metadata") is True
                self.session.announce(self.client, wants_metadata=wants_metadata)
                return
        frame = text_data if text_data is not None else bytes_data
        if frame is None:
            return
        if _size(frame) >= MESSAGE_LIMIT_BYTES:
            self._close_soon(TOO_BIG)
        elif may_go_up(frame):
            await self.session.send_up(frame)

    async def websocket_disconnect(self, message: object) -> None:
        """Not Channels' own: it goes to a thread for each client that leaves, to look after
        database connections that this consumer does not have."""
        raise StopConsumer

    def _leave(self) -> None:
        """Nothing more is kept for this client or sent to it."""
        if self.session is not None:
            self.session.remove(self.client)
        for task in (self._writer, self._recheck_timer, self._rechecking):
            if task is not None:
                task.cancel()

    async def _write(self) -> None:
        try:
            while True:
                frame = await self.client.outbox.get()
                kind = "text" if isinstance(frame, str) else "bytes"
                await self.base_send({"type": "websocket.send", kind: frame})
        except OverflowedError:
            logger.info("a client does not read its socket; it is disconnected")
        except (OSError, RuntimeError) as error:
            # Gone, or failed at a ping: of that the server tells nothing until TCP gives up.
            logger.debug("a frame did not reach its client: %s", error)
            self._give_up()

    def _recheck_later(self) -> None:
        def begin() -> None:
            self._rechecking = asyncio.ensure_future(self._recheck())

        self._recheck_timer = asyncio.get_running_loop().call_later(RECHECK_SECONDS, begin)

    async def _recheck(self) -> None:
        """Revoked, expired, disabled, demoted, blocked: an open socket learns it within seconds."""
        code = await self._verdict()
        if code is None:
            self._recheck_later()
        else:
            self._close_soon(code)

    async def _verdict(self) -> int | None:
        try:
            credential = find_credential(
                self.scope["headers"], self.scope["query_string"], query_allowed=True
            )
            address = address_of(self.scope)
            async with asyncio.timeout(DATABASE_SECONDS):
                # What the entry asked of the handshake.
                await iprules.require_admitted(address or "")
                identity = await identify(credential, address)
        except Unauthenticated:
            return UNAUTHENTICATED
        except IpBlocked:
            return FORBIDDEN
        except Exception:
            # The database does not answer: nobody is let in, nobody stays in.
            logger.exception("an open socket could not be checked")
            return SERVICE_RESTART
        if self.session is not None:
            self.session.update(self.client, identity)
        return None if identity.can(Capability.ACCESS_API) else FORBIDDEN

    def _close_soon(self, code: int) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(code))

    async def _close(self, code: int) -> None:
        self._leave()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close(code)
        except (OSError, RuntimeError) as error:
            # TimeoutError is an OSError: the client takes nothing, not even this.
            logger.info("a client's connection is given up: %s", error or "it does not read")
            self._give_up()

    def _give_up(self) -> None:
        """End at once; the server then drops the connection."""
        self._given_up = True
        if self._served_by is not None:
            self._served_by.cancel()


def _size(frame: Frame) -> int:
    # Only a text of at least a quarter of the limit can have that many bytes.
    if isinstance(frame, str) and 4 * len(frame) >= MESSAGE_LIMIT_BYTES:
        return len(frame.encode())
    return len(frame)


def _client_id(query: bytes) -> str:
    """`clientId` as the client chose it, else a new one, which it may use again.

    Raises:
        BadRequest
    """
    pairs = parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True)
    chosen = next((value for name, value in pairs if name == "clientId"), "")
    if len(chosen) > MAX_CLIENT_ID_CHARS:
        raise BadRequest("clientId is too long.", field="clientId")
    return chosen or secrets.token_hex(16)


async def deny(scope: Mapping[str, Any], send: Any, refusal: GatewayError) -> None:
    """Refuse a handshake with the JSON error, or, under a server without the denial-response
    extension, with a bare 403."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": UNAUTHENTICATED})
        return
    headers = [JSON_TYPE, (b"cache-control", b"no-store")]
    headers += [(name.lower().encode(), text.encode()) for name, text in refusal.headers.items()]
    start: MutableMapping[str, Any] = {
        "type": "websocket.http.response.start",
        "status": refusal.status,
        "headers": headers,
    }
    await send(start)
    await send({"type": "websocket.http.response.body", "body": orjson.dumps(refusal.body())})
