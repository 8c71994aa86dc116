"""One upstream socket per (user, clientId), fanned out to that client's sockets.

ComfyUI forgets an id when any socket of it closes, and its send loop waits for each socket
in turn. So there is exactly one upstream socket per id, it is always read, it outlives its
last client by 15 s with events kept, and it is closed for good before a new one opens.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import aiohttp
from django.db import Error as DatabaseError

from accounts.capabilities import Capability
from accounts.errors import GatewayError, Throttled, UpstreamUnreachable
from accounts.identity import Identity
from comfyproxy import ownership, upstream
from comfyproxy.filters.features import shown_features
from comfyproxy.outbox import EVENT_LIMIT_BYTES, Frame, Outbox
from comfyproxy.queuewatch import watch
from comfyproxy.relay import (
    RunState,
    Sort,
    Verdict,
    flags_event,
    judge_binary,
    judge_text,
    status_event,
)

logger = logging.getLogger(__name__)

LINGER_SECONDS: Final = 15.0
# A registered socket sees a `status` after every accepted prompt; one that does not within
# this time is not registered any more.
STATUS_SECONDS: Final = 10.0
MAX_SESSIONS_PER_USER: Final = 100
MAX_FOREIGN: Final = 1000
OWN_FLAGS: Final = flags_event({"supports_preview_metadata": True})
SERVICE_RESTART: Final = 1012

Key = tuple[int, str]


class ClientSocket:
    """One socket of a client: its outbox, and what it announced."""

    def __init__(self, identity: Identity, client_id: str, close: Callable[[int], None]) -> None:
        self.identity = identity
        self.client_id = client_id
        self.outbox = Outbox()
        self.wants_metadata = False
        self.awaits_flags = False
        self.close = close

    def deliver(self, verdict: Verdict) -> None:
        """Put a judged frame into the outbox, if this socket may have it."""
        match verdict.sort:
            case Sort.EVENT:
                self.outbox.put(verdict.payload)
            case Sort.LOGS if self.identity.can(Capability.MANAGE_BACKEND):
                self.outbox.put(verdict.payload)
            case Sort.RESULT if not self.identity.sfw_enforced:
                self.outbox.put(self._picture(verdict))
            case Sort.PREVIEW if not self.identity.sfw_enforced:
                self.outbox.put_preview(self._picture(verdict))

    def _picture(self, verdict: Verdict) -> bytes:
        payload = verdict.payload if self.wants_metadata else verdict.plain
        assert isinstance(payload, bytes)
        return payload


class _AskDatabaseError(Exception):
    """Whose prompt this is, is not known by heart."""

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id


class UpstreamSession:
    """The upstream socket of one (user, clientId) and the client sockets behind it."""

    def __init__(self, hub: "Hub", key: Key, upstream_id: str) -> None:
        self._hub = hub
        self.key = key
        self.user_id, self.client_id = key
        self._upstream_id = upstream_id
        self.sockets: set[ClientSocket] = set()
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.failure: GatewayError | None = None
        self._missed: deque[Verdict] = deque()
        self._missed_bytes = 0
        self._state = RunState()
        self._flags: Any = None
        self._foreign: dict[str, None] = {}
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._last_status = 0.0
        self._reopen = False
        self.stopping = False
        self._task = asyncio.ensure_future(self._run())

    # --- clients ---------------------------------------------------------------------------

    def add(self, socket: ClientSocket) -> None:
        """A client came (back): its own count first, then what it missed."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        socket.outbox.put(status_event(watch.count(self.user_id), socket.client_id))
        while self._missed:
            socket.deliver(self._missed.popleft())
        self._missed_bytes = 0
        self.sockets.add(socket)

    def remove(self, socket: ClientSocket) -> None:
        """A client left; the last one starts the clock."""
        self.sockets.discard(socket)
        if not self.sockets and self._linger is None:
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(LINGER_SECONDS, self.stop)

    def answer_flags(self, socket: ClientSocket) -> None:
        """The server's feature flags, now or as soon as they are known."""
        if self._flags is None:
            socket.awaits_flags = True
        else:
            socket.outbox.put(flags_event(self._flags))

    async def send_up(self, frame: Frame) -> None:
        """Pass a client's frame on to ComfyUI."""
        ws = self._ws
        if ws is None or ws.closed:
            return
        try:
            await (ws.send_str(frame) if isinstance(frame, str) else ws.send_bytes(frame))
        except (aiohttp.ClientError, ConnectionError) as error:
            logger.info("a client's frame did not reach ComfyUI: %s", error)

    def stop(self) -> None:
        """Give the upstream socket up; `closed` tells when it is gone."""
        self.stopping = True
        self._task.cancel()

    # --- upstream --------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await watch.subscribe(self.user_id, self._own_count)
            while True:
                await self._follow()
                if not self._reopen:
                    break
                self._reopen = False
        except GatewayError as error:
            self.failure = error
        except asyncio.CancelledError:
            pass
        except Exception:
            logger.exception("the relay of a client failed")
            self.failure = UpstreamUnreachable()
        finally:
            await self._end()

    async def _follow(self) -> None:
        ws = self._ws = await upstream.socket(self._upstream_id)
        try:
            await ws.send_str(OWN_FLAGS)
            self._last_status = monotonic()
            self.opened.set()
            async for message in ws:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await self._judged(self._text, message.data)
                elif message.type is aiohttp.WSMsgType.BINARY:
                    await self._judged(self._binary, message.data)
        finally:
            await ws.close()

    async def _end(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        watch.unsubscribe(self.user_id, self._own_count)
        self._hub.forget(self)
        for socket in list(self.sockets):
            socket.close(SERVICE_RESTART)
        self.opened.set()
        self.closed.set()

    async def _judged(self, judge: Callable[[Any], None], frame: Any) -> None:
        """Judge a frame; where the owner of its prompt is not known by heart, ask once."""
        try:
            judge(frame)
        except _AskDatabaseError as unknown:
            try:
                found = await ownership.owners([unknown.prompt_id])
            except DatabaseError as error:
                logger.error("a frame was dropped, its owner could not be found: %s", error)
                return
            if unknown.prompt_id not in found:
                self._foreign[unknown.prompt_id] = None
                if len(self._foreign) > MAX_FOREIGN:
                    self._foreign.pop(next(iter(self._foreign)))
            judge(frame)

    def _is_own(self, prompt_id: str) -> bool:
        owner = ownership.remembered(prompt_id)
        if owner is not None:
            return owner.user_id == self.user_id
        if prompt_id in self._foreign:
            return False
        raise _AskDatabaseError(prompt_id)

    @staticmethod
    def _result_nodes(prompt_id: str) -> frozenset[str]:
        owner = ownership.remembered(prompt_id)
        return owner.result_nodes if owner is not None else frozenset()

    def _text(self, text: str) -> None:
        self._handle(judge_text(text, self._state, self._is_own))

    def _binary(self, frame: bytes) -> None:
        self._handle(judge_binary(frame, self._state, self._is_own, self._result_nodes))

    def _handle(self, verdict: Verdict) -> None:
        match verdict.sort:
            case Sort.DROP:
                return
            case Sort.QUEUE_CHANGED:
                self._last_status = monotonic()
                watch.changed()
            case Sort.FLAGS:
                self._flags = shown_features(verdict.data)
                for socket in self.sockets:
                    if socket.awaits_flags:
                        socket.awaits_flags = False
                        socket.outbox.put(flags_event(self._flags))
            case _ if self.sockets:
                for socket in self.sockets:
                    socket.deliver(verdict)
            case Sort.EVENT | Sort.RESULT:
                self._keep(verdict)

    def _keep(self, verdict: Verdict) -> None:
        self._missed.append(verdict)
        self._missed_bytes += len(verdict.payload)
        if self._missed_bytes > EVENT_LIMIT_BYTES:
            # Nobody came back and nothing more can be kept: a newcomer starts afresh.
            self.stop()

    def _own_count(self, count: int) -> None:
        for socket in self.sockets:
            socket.outbox.put(status_event(count))

    def expect_status(self) -> None:
        """A prompt was accepted: if no `status` comes, this socket is registered no more."""
        asked_at = monotonic()

        def check() -> None:
            if self._last_status < asked_at and self._ws is not None and not self._ws.closed:
                logger.warning("ComfyUI forgot a socket; it is opened anew")
                self._reopen = True
                self._closing = asyncio.ensure_future(self._ws.close())

        asyncio.get_running_loop().call_later(STATUS_SECONDS, check)


class Hub:
    """All upstream sessions of this process."""

    def __init__(self) -> None:
        self._sessions: dict[Key, UpstreamSession] = {}

    async def attach(self, socket: ClientSocket) -> UpstreamSession:
        """The session that serves this socket, its upstream socket open.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, Throttled
        """
        key = (socket.identity.user_id, socket.client_id)
        while True:
            session = self._sessions.get(key)
            if session is None:
                if sum(user == key[0] for user, _ in self._sessions) >= MAX_SESSIONS_PER_USER:
                    raise Throttled(
                        "Too many open connections. Close some tabs.", headers={"Retry-After": "5"}
                    )
                upstream_id = ownership.upstream_client_id(socket.identity.namespace, key[1])
                session = self._sessions[key] = UpstreamSession(self, key, upstream_id)
            if session.stopping:
                await session.closed.wait()
                continue
            await session.opened.wait()
            if session.failure is not None:
                raise session.failure
            if not session.stopping and not session.closed.is_set():
                session.add(socket)
                return session

    def forget(self, session: UpstreamSession) -> None:
        """A session ended."""
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]

    def prompt_accepted(self) -> None:
        """ComfyUI took a prompt: every open session should hear of it."""
        watch.changed()
        for session in self._sessions.values():
            session.expect_status()

    async def close(self) -> None:
        """End every session (the server stops)."""
        sessions = list(self._sessions.values())
        for session in sessions:
            session.stop()
        await asyncio.gather(*(session.closed.wait() for session in sessions))


hub = Hub()
