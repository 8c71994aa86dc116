"""One upstream socket per (user, clientId), fanned out to that client's sockets.

ComfyUI forgets an id when any socket of it closes, and its send loop waits for each socket
in turn. So there is exactly one upstream socket per id, it is always read, it outlives its
last client by 15 s with events kept, and it is closed for good before a new one opens.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from django.db import Error as DatabaseError

from accounts import metrics
from accounts.errors import GatewayError, NsfwBlocked, UpstreamUnreachable
from accounts.identity import Identity
from comfyproxy import broadcasts, nsfwgate, ownership, reconcile, stall, upstream
from comfyproxy.clientsocket import Receiver, deliver
from comfyproxy.comfysocket import ComfySocket
from comfyproxy.connections import BrokeOff
from comfyproxy.files import is_own
from comfyproxy.filters.features import shown_features
from comfyproxy.filters.outcome import Outcome
from comfyproxy.filters.outputs import output_files
from comfyproxy.filters.queue import Ownership
from comfyproxy.moment import Moment
from comfyproxy.outbox import EVENT_LIMIT_BYTES, Frame
from comfyproxy.queuewatch import watch
from comfyproxy.relay import (
    DROPPED,
    RunState,
    Sort,
    Verdict,
    flags_event,
    is_status,
    judge_binary,
    judge_text,
    status_event,
)

logger = logging.getLogger(__name__)

LINGER_SECONDS: Final = 15.0
MAX_FOREIGN: Final = 1000
# How long the relay of a user's events waits until the files that one of them reports are
# written down, and all of a run together; meanwhile ComfyUI's socket is not read. The first so
# many files of an event are noted then, the others at the end of the run.
NOTE_SECONDS: Final = 0.5
RUN_NOTE_SECONDS: Final = 1.0
EVENT_NOTE_FILES: Final = 16
END_NOTE_SECONDS: Final = 30.0
# The same until a finished picture is judged that only the socket has, and all of a run.
RESULT_SECONDS: Final = 3.0
RUN_JUDGE_SECONDS: Final = 10.0
OWN_FLAGS: Final = flags_event({"supports_preview_metadata": True})
SERVICE_RESTART: Final = 1012
# Kept for a client that is away; well below what its outbox will take on its return.
MISSED_LIMIT_BYTES: Final = EVENT_LIMIT_BYTES // 2

Key = tuple[int, str]
"""(user id, clientId)"""

_noting: set[asyncio.Task[None]] = set()


async def _within_bounds(noting: Coroutine[Any, Any, None], seconds: float) -> None:
    """Do this, but let no slow or failing database or ComfyUI hold up the relay: what is not
    noted now is found later (`reconcile.settle`)."""
    try:
        async with asyncio.timeout(seconds):
            await noting
    except TimeoutError:
        logger.info("an event was not noted in time; it is noted later")
    except (DatabaseError, GatewayError) as error:
        logger.warning("an event was not noted: %s", error)


class _AskDatabaseError(Exception):
    """Whose prompt this is, is not known by heart."""

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id


class UpstreamSession:
    """The upstream socket of one (user, clientId) and the client sockets behind it."""

    def __init__(
        self,
        key: Key,
        upstream_id: str,
        whose: int | None,
        ended: Callable[["UpstreamSession"], Awaitable[None]],
    ) -> None:
        self.key = key
        self._ended = ended
        # Whose prompts the client's queue size counts (`sharing.counts`).
        self.whose = whose
        self.user_id, self.client_id = key
        self.upstream_id = upstream_id
        self.sockets: set[Receiver] = set()
        self.opened = Moment()
        self.closed = Moment()
        self.failure: GatewayError | None = None
        self._missed: list[Verdict] = []
        self._missed_bytes = 0
        self._state = RunState()
        self._note_seconds = RUN_NOTE_SECONDS
        self._judge_seconds = RUN_JUDGE_SECONDS
        # Whose pictures are judged: as the last client was that came.
        self._identity: Identity | None = None
        self._flags: Any = None
        self._foreign: dict[str, None] = {}
        # What the database has just said, also of what is not to be remembered yet.
        self._told: dict[str, Ownership] = {}
        self._ws: ComfySocket | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._last_status = 0.0
        self._reopening: asyncio.Task[None] | None = None
        self.stopping = False
        self._task = asyncio.ensure_future(self._run())

    # --- clients ---------------------------------------------------------------------------

    def add(self, socket: Receiver) -> None:
        """A client came (back): its own count first, then what it missed."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._identity = socket.identity
        socket.put(status_event(watch.count(self.whose), socket.client_id))
        missed, self._missed, self._missed_bytes = self._missed, [], 0
        for verdict in missed:
            deliver(verdict, socket)
        self.sockets.add(socket)

    def remove(self, socket: Receiver) -> None:
        """A client left; the last one starts the clock."""
        self.sockets.discard(socket)
        self._start_clock()

    def _start_clock(self) -> None:
        if not self.sockets and self._linger is None and not self.closed.is_set():
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(LINGER_SECONDS, self.stop)

    def update(self, socket: Receiver, identity: Identity) -> None:
        """What the client may do, as it was found just now."""
        socket.identity = identity

    def announce(self, socket: Receiver, *, wants_metadata: bool) -> None:
        """The client announced its features and waits for the server's."""
        socket.wants_metadata = wants_metadata
        self._answer_flags(socket)

    def _answer_flags(self, socket: Receiver) -> None:
        # Now or as soon as they are known.
        if self._flags is None:
            socket.awaits_flags = True
        else:
            socket.put(flags_event(self._flags))

    async def send_up(self, frame: Frame) -> None:
        """Pass a client's frame on to ComfyUI."""
        ws = self._ws
        if ws is None or ws.closed:
            return
        try:
            await ws.send(frame)
        except BrokeOff as error:
            logger.info("a client's frame did not reach ComfyUI: %s", error)

    def stop(self) -> None:
        """Give the upstream socket up; `closed` tells when it is gone."""
        self.stopping = True
        self._task.cancel()

    # --- upstream --------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await watch.subscribe(self.whose, self._own_count)
            while True:
                await self._follow()
                if self._reopening is None:
                    break
                # Closed for good before the next one opens: ComfyUI forgets the id with it.
                await self._reopening
                self._reopening = None
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
        ws = self._ws = await upstream.socket(self.upstream_id, self._is_done_with)
        metrics.upstream_sockets.inc()
        try:
            await ws.send(OWN_FLAGS)
            self._last_status = monotonic()
            # What ran when an earlier connection ended may be over: its end was not seen.
            self._state = RunState()
            self.opened.set()
            # Whoever asked for this session may be gone before it is there.
            self._start_clock()
            while (frame := await ws.receive()) is not None:
                judge = self._text if isinstance(frame, str) else self._binary
                await self._judged(judge, frame)
        finally:
            metrics.upstream_sockets.dec()
            await ws.close()

    async def _end(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        watch.unsubscribe(self.whose, self._own_count)
        # Whoever comes now waits for the end of this one.
        self.stopping = True
        await self._ended(self)
        for socket in list(self.sockets):
            socket.close(SERVICE_RESTART)
        self.opened.set()
        self.closed.set()

    async def _judged(self, judge: Callable[[Any], Verdict], frame: Any) -> None:
        """Judge a frame; where the owner of its prompt is not known by heart, ask once."""
        try:
            verdict = judge(frame)
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
            self._told = found
            verdict = judge(frame)
        if verdict.prompt_id is not None:
            await self._learn(verdict, verdict.prompt_id)
        self._told = {}
        identity = self._identity
        if verdict.sort is Sort.RESULT and identity is not None and identity.sfw_enforced:
            verdict = await self._looked_at(verdict, identity)
        if verdict.sort is not Sort.CUSTOM or verdict.kind in await broadcasts.current():
            self._handle(verdict)

    async def _looked_at(self, verdict: Verdict, identity: Identity) -> Verdict:
        """A finished picture for a user who is kept from explicit images: dropped unless it was
        judged in time. Meanwhile ComfyUI's socket is not read, so the time is bounded."""
        started = monotonic()
        try:
            async with asyncio.timeout(min(RESULT_SECONDS, self._judge_seconds)):
                await nsfwgate.require_bytes(verdict.picture, "result.png", identity)
        except (TimeoutError, NsfwBlocked):
            return DROPPED
        except DatabaseError as error:
            logger.error("a picture was dropped, it could not be judged: %s", error)
            return DROPPED
        finally:
            self._judge_seconds -= monotonic() - started
        return replace(verdict, is_judged=True)

    async def _learn(self, verdict: Verdict, prompt_id: str) -> None:
        """What an event of an own prompt tells beside what the client makes of it. Files first:
        as soon as the client knows of a preview, it asks for it."""
        stall.progress()
        owner = self._owner(prompt_id)
        if verdict.kind == "execution_start":
            self._note_seconds = RUN_NOTE_SECONDS
            self._judge_seconds = RUN_JUDGE_SECONDS
        elif verdict.kind == "executed" and owner is not None and self._note_seconds > 0:
            refs = [
                ref
                for ref in output_files(verdict.data.get("output"))
                if not is_own(ref, owner.namespace)
            ]
            run = Outcome("", self._state.started_ms if self._state.running == prompt_id else None)
            if refs:
                started = monotonic()
                noting = reconcile.attribute(
                    prompt_id, owner, refs, run, outside_only=EVENT_NOTE_FILES
                )
                await _within_bounds(noting, min(NOTE_SECONDS, self._note_seconds))
                self._note_seconds -= monotonic() - started
        elif verdict.kind == "executing" and verdict.data.get("node") is None:
            # The reliable end: ComfyUI's history has the entry by now.
            noting = reconcile.ended(prompt_id)
            task = asyncio.ensure_future(_within_bounds(noting, END_NOTE_SECONDS))
            _noting.add(task)
            task.add_done_callback(_noting.discard)

    def _owner(self, prompt_id: str) -> Ownership | None:
        return ownership.remembered(prompt_id) or self._told.get(prompt_id)

    def _is_own(self, prompt_id: str) -> bool:
        owner = self._owner(prompt_id)
        if owner is not None:
            return owner.user_id == self.user_id
        if prompt_id in self._foreign:
            return False
        raise _AskDatabaseError(prompt_id)

    def _result_nodes(self, prompt_id: str) -> frozenset[str]:
        owner = self._owner(prompt_id)
        return owner.result_nodes if owner is not None else frozenset()

    def _is_done_with(self, text: bytes) -> bool:
        if not is_status(text):
            return False
        self._queue_changed()
        return True

    def _queue_changed(self) -> None:
        self._last_status = monotonic()
        watch.changed()

    def _text(self, text: str) -> Verdict:
        return judge_text(text, self._state, self._is_own)

    def _binary(self, frame: bytes) -> Verdict:
        return judge_binary(frame, self._state, self._is_own, self._result_nodes)

    def _handle(self, verdict: Verdict) -> None:
        match verdict.sort:
            case Sort.DROP:
                return
            case Sort.QUEUE_CHANGED:
                self._queue_changed()
            case Sort.FLAGS:
                self._flags = shown_features(verdict.data)
                for socket in self.sockets:
                    if socket.awaits_flags:
                        socket.awaits_flags = False
                        socket.put(flags_event(self._flags))
            case _ if self.sockets:
                for socket in self.sockets:
                    deliver(verdict, socket)
            case Sort.EVENT | Sort.RESULT:
                self._keep(verdict)

    def _keep(self, verdict: Verdict) -> None:
        self._missed.append(verdict)
        self._missed_bytes += len(verdict.payload)
        if self._missed_bytes > MISSED_LIMIT_BYTES:
            # Nobody came back and nothing more can be kept: a newcomer starts afresh.
            self.stop()

    def _own_count(self, count: int) -> None:
        for socket in self.sockets:
            socket.put(status_event(count))

    def require_status(self, since: float) -> None:
        """A `status` should have come since that moment (`monotonic`): if none has, this socket
        is registered no more, and opened anew."""
        silent = self._last_status < since and self._reopening is None
        if silent and self._ws is not None and not self._ws.closed:
            logger.warning("ComfyUI forgot a socket; it is opened anew")
            self._reopening = asyncio.ensure_future(self._ws.close())
