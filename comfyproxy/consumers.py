"""/ws: one client's socket, relayed to and from its upstream session."""

import asyncio
import logging
import secrets
from collections.abc import Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from accounts.authentication import identify
from accounts.capabilities import Capability
from accounts.credentials import find_credential
from accounts.errors import BadRequest, GatewayError, Unauthenticated
from comfyproxy.calls import JSON_TYPE
from comfyproxy.gate import SCOPE_KEY, Admitted
from comfyproxy.hub import ClientSocket, UpstreamSession, hub
from comfyproxy.outbox import OverflowedError
from comfyproxy.relay import announced_flags

logger = logging.getLogger(__name__)

RECHECK_SECONDS: Final = 5.0
MAX_CLIENT_ID_CHARS: Final = 256
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
TRY_AGAIN_LATER: Final = 1013
SERVICE_RESTART: Final = 1012


class SocketConsumer(AsyncWebsocketConsumer):
    """The gate has admitted the handshake; its result is in the scope."""

    session: UpstreamSession | None = None

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
        await self.accept()
        self._tasks = [
            asyncio.ensure_future(self._write()),
            asyncio.ensure_future(self._recheck()),
        ]

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        assert self.session is not None
        if text_data is not None:
            flags = announced_flags(text_data)
            if flags is not None:
                # The gateway has sent its own flags already; ComfyUI takes only the first.
                self.client.wants_metadata = flags.get("supports_preview_metadata") is True
                self.session.answer_flags(self.client)
                return
            await self.session.send_up(text_data)
        elif bytes_data is not None:
            await self.session.send_up(bytes_data)

    async def disconnect(self, code: int) -> None:
        if self.session is not None:
            self.session.remove(self.client)
            for task in self._tasks:
                task.cancel()

    async def _write(self) -> None:
        try:
            while True:
                frame = await self.client.outbox.get()
                kind = "text" if isinstance(frame, str) else "bytes"
                await self.base_send({"type": "websocket.send", kind: frame})
        except OverflowedError:
            logger.info("a client does not read its socket; it is disconnected")
            self._close_soon(TRY_AGAIN_LATER)

    async def _recheck(self) -> None:
        """Revoked, expired, disabled, demoted: an open socket learns it within seconds."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            code = await self._verdict()
            if code is not None:
                self._close_soon(code)
                return

    async def _verdict(self) -> int | None:
        try:
            credential = find_credential(
                self.scope["headers"], self.scope["query_string"], query_allowed=True
            )
            identity = await identify(credential)
        except Unauthenticated:
            return UNAUTHENTICATED
        except Exception:
            # The database does not answer: nobody is let in, nobody stays in.
            logger.exception("an open socket could not be checked")
            return SERVICE_RESTART
        self.client.identity = identity
        return None if identity.can(Capability.ACCESS_API) else FORBIDDEN

    def _close_soon(self, code: int) -> None:
        self._closing = asyncio.ensure_future(self.close(code))


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
