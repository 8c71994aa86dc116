"""Clients' sockets that are open in one web process and served by a session in another.

Both ends: `FarSession` stands in the client's process for the session, `FarSocket` in the
session's process for the client. Between them go letters (`comfyproxy.post`):

    client's process                                     session's process
    attach {number, user, client_id, who}          →
                                                   ←     attached | gone | refused {number}
    up {number} + frame, announce, update, leave   →
                                                   ←     frame {number, preview} + frame, close
    forgotten {name}                               →     (of a process that gave way, see hub)

A letter that may have been lost ends the sockets concerned with 1012: clients come back.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from accounts import errors
from accounts.bus import RedisAway, bus, letter
from accounts.capabilities import Capability
from accounts.identity import Auth, Identity
from comfyproxy.clientsocket import TRY_AGAIN_LATER, ClientSocket
from comfyproxy.outbox import Frame, Outbox, OverflowedError
from comfyproxy.ownership import upstream_client_id
from comfyproxy.post import Post, read, written
from comfyproxy.relaysession import SERVICE_RESTART, Key, UpstreamSession

logger = logging.getLogger(__name__)

# How long another process may take to answer; its session may have to open its socket first.
ANSWER_SECONDS: Final = 10.0
# Frames of a far client that wait for ComfyUI to take them.
UP_LIMIT_BYTES: Final = 8 * 1024 * 1024

Attach = Callable[[Key, str, "FarSocket"], Awaitable[UpstreamSession | None]]
"""Adds a far socket to this process's session of that key and ComfyUI's id; None: there is none.

Raises GatewayError where the session has too many sockets."""


class FarSession:
    """A session of another process, as its client's socket here sees it."""

    def __init__(self, far: "FarSockets", holder: str, socket: ClientSocket, number: int) -> None:
        self._far = far
        self.holder = holder
        self.socket = socket
        self.number = number
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def remove(self, socket: ClientSocket) -> None:
        """The client left."""
        self._far.left(self)

    def update(self, socket: ClientSocket, identity: Identity) -> None:
        """What the client may do, as it was found just now."""
        if _who(identity) != _who(socket.identity):
            self._write({"op": "update", "who": _who(identity)})
        socket.identity = identity

    def announce(self, socket: ClientSocket, *, wants_metadata: bool) -> None:
        """The client announced its features and waits for the server's."""
        self._write({"op": "announce", "wants_metadata": wants_metadata})

    async def send_up(self, frame: Frame) -> None:
        """Pass a client's frame on. It waits for Redis, so that a client is not faster."""
        if not await self._far.tell(self.holder, {"op": "up", "number": self.number}, frame):
            self.socket.close(SERVICE_RESTART)

    def _write(self, head: dict[str, Any]) -> None:
        self._far.post.write(self.holder, {**head, "number": self.number})


class FarSocket:
    """A client's socket in another process, as its session here sees it."""

    awaits_flags = False
    wants_metadata = False
    # Once it is attached.
    session: UpstreamSession | None = None

    def __init__(
        self, post: Post, process_id: str, number: int, client_id: str, identity: Identity
    ) -> None:
        self._post = post
        self.process_id = process_id
        self.number = number
        self.client_id = client_id
        self.identity = identity
        self.up = Outbox(event_limit=UP_LIMIT_BYTES)

    def put(self, frame: Frame) -> None:
        """Send a frame that must not be lost."""
        self._write({"op": "frame"}, frame)

    def put_preview(self, frame: bytes) -> None:
        """Send a frame that may be lost."""
        head = {"op": "frame", "number": self.number, "preview": True}
        self._post.write(self.process_id, head, frame, may_be_lost=True)

    def close(self, code: int) -> None:
        """Close it."""
        self._write({"op": "close", "code": code})

    def answer(self, said: str, **what: Any) -> None:
        """How the attempt to attach it went."""
        self._write({"op": said, **what})

    def _write(self, head: dict[str, Any], frame: Frame = b"") -> None:
        self._post.write(self.process_id, {**head, "number": self.number}, frame)


@dataclass(frozen=True, slots=True)
class _Served:
    """A far socket here: while it is attached, and then while its frames go up."""

    socket: FarSocket
    task: asyncio.Task[None]


class FarSockets:
    """All of this process: those open here and served elsewhere, those served here."""

    def __init__(self, attach: Attach, forgotten: Callable[[str], None]) -> None:
        self._attach, self._forgotten = attach, forgotten
        self.post = Post(self.lost)
        self._numbers = itertools.count()
        self._open: dict[int, FarSession] = {}
        self._served: dict[tuple[str, int], _Served] = {}

    def listen(self) -> None:
        """From now on letters of other processes are followed."""
        bus.on_letter(self._letter)
        bus.on_gap(lambda: self.lost(None))

    @staticmethod
    async def tell(process_id: str, head: dict[str, Any], frame: Frame = b"") -> bool:
        """Send a letter now; whether that process listens."""
        body = letter(written(head, frame))
        with suppress(RedisAway):
            channel = bus.channel_of(process_id)
            return bool(await bus.command(lambda client: client.publish(channel, body)))
        return False

    def peers(self) -> Iterable[str]:
        """The processes at the other end of any socket."""
        return {far.holder for far in self._open.values()} | {key[0] for key in self._served}

    def lost(self, process_id: str | None) -> None:
        """Letters to or from that process (None: any) may be lost, or it is gone."""
        for far in list(self._open.values()):
            if process_id in (None, far.holder):
                far.socket.close(SERVICE_RESTART)
                self.left(far)
        for key, served in list(self._served.items()):
            if process_id in (None, key[0]):
                served.socket.close(SERVICE_RESTART)
                self._forget(key)

    # --- in the client's process ---------------------------------------------------------------

    async def attach(self, holder: str, socket: ClientSocket) -> FarSession | None:
        """The session of `holder` that serves this socket from now on; None: there is none.

        Raises:
            Throttled: it has too many sockets
        """
        far = FarSession(self, holder, socket, next(self._numbers))
        self._open[far.number] = far
        head = {
            "op": "attach",
            "number": far.number,
            "user_id": socket.identity.user_id,
            "client_id": socket.client_id,
            "who": _who(socket.identity),
        }
        said = "gone"
        try:
            self.post.write(holder, head)
            async with asyncio.timeout(ANSWER_SECONDS):
                said = await far.answer
        except TimeoutError:
            logger.warning("another web process does not answer about a socket")
        finally:
            if said != "attached":
                self.left(far)
        if said == "refused":
            raise errors.Throttled(
                "Too many open connections. Close some tabs.", headers={"Retry-After": "5"}
            )
        return far if said == "attached" else None

    def left(self, far: FarSession) -> None:
        """A client of this process left its far session."""
        if self._open.pop(far.number, None) is not None:
            if not far.answer.done():
                far.answer.set_result("gone")
            self.post.write(far.holder, {"op": "leave", "number": far.number})

    # --- letters -------------------------------------------------------------------------------

    def _letter(self, sender: str, body: bytes) -> None:
        head, frame = read(body)
        op = head["op"]
        if op == "forgotten":
            self._forgotten(head["name"])
        elif op in ("frame", "close", "attached", "gone", "refused"):
            self._from_session(op, head, frame)
        elif op == "attach":
            self._attached(sender, head)
        else:
            self._from_client(op, (sender, head["number"]), head, frame)

    def _from_session(self, op: str, head: dict[str, Any], frame: Frame) -> None:
        far = self._open.get(head["number"])
        if far is None:
            return
        if op == "frame":
            if head.get("preview") and isinstance(frame, bytes):
                far.socket.put_preview(frame)
            else:
                far.socket.put(frame)
        elif op == "close":
            if far.answer.done():
                far.socket.close(head["code"])
            else:
                far.answer.set_result("gone")
        elif not far.answer.done():
            far.answer.set_result(op)

    # --- in the session's process --------------------------------------------------------------

    def _attached(self, sender: str, head: dict[str, Any]) -> None:
        number, who = head["number"], head["who"]
        identity = _identity(head["user_id"], who)
        socket = FarSocket(self.post, sender, number, head["client_id"], identity)
        task = asyncio.ensure_future(self._serve(socket, (head["user_id"], head["client_id"])))
        key = (sender, number)
        self._served[key] = _Served(socket, task)
        task.add_done_callback(lambda _: self._served.pop(key, None))

    async def _serve(self, socket: FarSocket, key: Key) -> None:
        """Attach it, then pass on what it sends, until it is cancelled."""
        try:
            name = upstream_client_id(socket.identity.namespace, socket.client_id)
            session = await self._attach(key, name, socket)
        except errors.GatewayError:
            socket.answer("refused")
            return
        if session is None:
            socket.answer("gone")
            return
        socket.session = session
        socket.answer("attached")
        try:
            while True:
                await session.send_up(await socket.up.get())
        except OverflowedError:
            socket.close(TRY_AGAIN_LATER)
        except Exception:
            logger.exception("a far client's frames could not be passed on")
            socket.close(SERVICE_RESTART)
        finally:
            session.remove(socket)

    def _from_client(
        self, op: str, key: tuple[str, int], head: dict[str, Any], frame: Frame
    ) -> None:
        served = self._served.get(key)
        if served is None:
            return
        if op == "leave":
            self._forget(key)
        elif op == "up":
            served.socket.up.put(frame)
        elif op == "update":
            served.socket.identity = _identity(served.socket.identity.user_id, head["who"])
        elif op == "announce" and served.socket.session is not None:
            wants = bool(head["wants_metadata"])
            served.socket.session.announce(served.socket, wants_metadata=wants)

    def _forget(self, key: tuple[str, int]) -> None:
        served = self._served.pop(key, None)
        if served is not None:
            served.task.cancel()


def _who(identity: Identity) -> dict[str, Any]:
    """What a session must know of whom it serves."""
    return {
        "username": identity.username,
        "namespace": identity.namespace,
        "role": identity.role,
        "rank": identity.rank,
        "capabilities": sorted(identity.capabilities),
        "sfw_enforced": identity.sfw_enforced,
        "shared": identity.shared,
    }


def _identity(user_id: int, who: dict[str, Any]) -> Identity:
    capabilities = frozenset(Capability(name) for name in who["capabilities"])
    return Identity(
        user_id=user_id,
        username=who["username"],
        namespace=who["namespace"],
        role=who["role"],
        rank=who["rank"],
        capabilities=capabilities,
        auth=Auth.SESSION,
        sfw_enforced=who["sfw_enforced"],
        shared=who["shared"],
    )
