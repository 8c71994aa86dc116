"""All relay sessions of this process, and the way to those of the other web processes."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final
from weakref import WeakValueDictionary

from accounts.bus import PROCESS_ID, bus
from accounts.errors import Throttled, UpstreamUnreachable
from comfyproxy import ownership
from comfyproxy.clientsocket import ClientSocket, Receiver
from comfyproxy.farsockets import FarSession, FarSockets
from comfyproxy.leases import Lease, Leases, TooMany
from comfyproxy.queuewatch import watch
from comfyproxy.relaysession import Key, UpstreamSession
from comfyproxy.sharing import counts

MAX_SESSIONS_PER_USER: Final = 100
# A duplicated tab has its original's id; so many of them are no tabs.
MAX_SOCKETS_PER_SESSION: Final = 20
# How often one handshake is tried anew because its session ended at that very moment.
MAX_ATTACHES: Final = 5
# A session's process that was killed counts as living for a while: so long a handshake waits.
HOLDER_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 0.25
TOLD_TIMES: Final = 40
PROMPTS: Final = "prompts"
# A registered socket sees a `status` after every accepted prompt; one that does not within
# this time is not registered any more. Looked for so often at most.
STATUS_SECONDS: Final = 10.0
STATUS_LOOK_SECONDS: Final = 1.0
# A prompt that another process announces was accepted at most so long ago.
ANNOUNCED_WITHIN_SECONDS: Final = 5.0


def _too_many() -> Throttled:
    return Throttled("Too many open connections. Close some tabs.", headers={"Retry-After": "5"})


class Hub:
    """Finds or makes the session that serves a client's socket."""

    def __init__(self) -> None:
        self._sessions: dict[Key, UpstreamSession] = {}
        self._leases = Leases(MAX_SESSIONS_PER_USER)
        self._far = FarSockets(self._attach_far, self._forgotten)
        # From asking who holds an id until its session is there, one handshake at a time.
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._tasks: list[asyncio.Task[None]] = []
        # When prompts were given to ComfyUI of which every socket should hear, and has time to.
        self._expected: deque[float] = deque()

    def start(self) -> None:
        """Begin to hear the other web processes, if there may be any."""
        if not bus.exists:
            return
        self._far.listen()
        self._leases.watch(self._far.peers, self._far.lost)
        self._leases.on_conflict(self._give_way)
        bus.on(PROMPTS, self._heard_of_prompt)
        self._tasks = [
            asyncio.ensure_future(self._leases.beat()),
            asyncio.ensure_future(self._far.post.deliver()),
        ]

    async def attach(self, socket: ClientSocket) -> UpstreamSession | FarSession:
        """The session that serves this socket, its upstream socket open.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, Throttled
        """
        key = (socket.identity.user_id, socket.client_id)
        give_up_at = monotonic() + HOLDER_SECONDS
        attempts = 0
        while attempts < MAX_ATTACHES:
            found = await self._session_or_holder(key, socket)
            if isinstance(found, UpstreamSession):
                if await self._joined(found, socket):
                    return found
                attempts += 1
                continue
            far = await self._far.attach(found, socket)
            if far is not None:
                return far
            if monotonic() > give_up_at:
                break
            await asyncio.sleep(AGAIN_SECONDS)
        raise UpstreamUnreachable

    async def _session_or_holder(self, key: Key, socket: ClientSocket) -> UpstreamSession | str:
        """This process's session, a new one if nobody has one; or the process that has it."""
        async with self._turns.setdefault(key, asyncio.Lock()):
            session = self._sessions.get(key)
            if session is not None:
                return session
            if sum(user == key[0] for user, _ in self._sessions) >= MAX_SESSIONS_PER_USER:
                raise _too_many()
            upstream_id = ownership.upstream_client_id(socket.identity.namespace, key[1])
            try:
                holder = await self._leases.claim(Lease(upstream_id, key[0]))
            except TooMany:
                raise _too_many() from None
            if holder != PROCESS_ID:
                return holder
            whose = counts(socket.identity)
            session = self._sessions[key] = UpstreamSession(key, upstream_id, whose, self._ended)
            return session

    async def _joined(self, session: UpstreamSession, socket: Receiver) -> bool:
        """Add the socket once the session is ready; False if it ends instead.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, Throttled
        """
        if session.stopping:
            await session.closed.wait()
            return False
        await session.opened.wait()
        await watch.settle(session.whose)
        if session.failure is not None:
            raise session.failure
        if session.stopping or session.closed.is_set():
            return False
        if len(session.sockets) >= MAX_SOCKETS_PER_SESSION:
            raise _too_many()
        session.add(socket)
        return True

    async def _attach_far(self, key: Key, name: str, socket: Receiver) -> UpstreamSession | None:
        session = self._sessions.get(key)
        if session is None:
            # Redis says that it is here; from now on whoever asks opens it.
            await self._leases.disown(Lease(name, key[0]))
            return None
        try:
            return session if await self._joined(session, socket) else None
        except UpstreamUnreachable:
            return None

    async def _ended(self, session: UpstreamSession) -> None:
        """ComfyUI's socket is closed: another process may open one of that id."""
        await self._leases.release(session.upstream_id)
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]

    def _named(self, name: str) -> UpstreamSession | None:
        sessions = self._sessions.values()
        return next((session for session in sessions if session.upstream_id == name), None)

    def _give_way(self, name: str, holder: str) -> None:
        """Another process holds that id as well: end this one's session. With its socket ComfyUI
        forgets the id, so the other's hears nothing any more."""
        session = self._named(name)
        if session is None:
            return
        session.stop()

        async def tell() -> None:
            await session.closed.wait()
            # It must hear of it, or its clients would hear nothing: once more, if need be.
            for _ in range(TOLD_TIMES):
                if await self._far.tell(holder, {"op": "forgotten", "name": name}):
                    return
                await asyncio.sleep(AGAIN_SECONDS)

        task = asyncio.ensure_future(tell())
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    def _forgotten(self, name: str) -> None:
        """ComfyUI sends nothing to that id any more: clients come back and learn what they
        missed."""
        session = self._named(name)
        if session is not None:
            session.stop()

    @contextmanager
    def submission(self, user_id: int, prompt_id: str) -> Iterator[Any]:
        """While a prompt is given to ComfyUI. Call what this yields once it was accepted:
        the user's sockets are told, and every session should hear of it from ComfyUI."""
        asked_at = monotonic()
        taken = False

        def accepted() -> None:
            nonlocal taken
            taken = True
            watch.arrived(prompt_id)
            self._expect_status(asked_at)
            bus.announce(PROMPTS, user_id=user_id, prompt_id=prompt_id)

        watch.expect(user_id, prompt_id)
        try:
            yield accepted
        finally:
            if not taken:
                watch.forget(prompt_id)

    def _heard_of_prompt(self, what: dict[str, Any]) -> None:
        """ComfyUI took a prompt that another process gave it."""
        watch.heard(what["user_id"], what["prompt_id"])
        self._expect_status(monotonic() - ANNOUNCED_WITHIN_SECONDS)

    def _expect_status(self, asked_at: float) -> None:
        """A prompt given to ComfyUI at that moment was accepted."""
        self._expected.append(asked_at)
        if len(self._expected) == 1:
            asyncio.get_running_loop().call_later(STATUS_SECONDS, self._require_status)

    def _require_status(self) -> None:
        # For many prompts at once: each would mean a look at each of hundreds of sockets.
        due = monotonic() - STATUS_SECONDS
        since = self._expected.popleft()
        while self._expected and self._expected[0] <= due:
            since = max(since, self._expected.popleft())
        for session in list(self._sessions.values()):
            session.require_status(since)
        if self._expected:
            pause = max(self._expected[0] - due, STATUS_LOOK_SECONDS)
            asyncio.get_running_loop().call_later(pause, self._require_status)

    async def close(self) -> None:
        """End every session (the server stops)."""
        sessions = list(self._sessions.values())
        for session in sessions:
            session.stop()
        await asyncio.gather(*(session.closed.wait() for session in sessions))
        await self._leases.close()
        for task in list(self._tasks):
            task.cancel()


hub = Hub()
