"""Sockets of a ComfyUI that does what a test says, and clients behind the hub, for its tests."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from accounts.capabilities import Capability
from accounts.errors import UpstreamUnreachable
from accounts.identity import Auth, Identity
from comfyproxy.clientsocket import ClientSocket
from comfyproxy.filters.queue import Ownership
from comfyproxy.outbox import Frame
from comfyproxy.queuewatch import Snapshot

UNREACHABLE = UpstreamUnreachable()
ALICE, BOB = 1, 2
MINE, THEIRS = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


class UpstreamSocket:
    """One socket to ComfyUI. It closes when asked to; after `hold` not before `release`."""

    def __init__(self, log: list[str], number: int, is_done_with: Callable[[bytes], bool]) -> None:
        self._is_done_with = is_done_with
        self.sent: list[Frame] = []
        self.closed = False
        self._closing = False
        self._log = log
        self._number = number
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._may_close = asyncio.Event()
        self._may_close.set()

    def hold(self) -> None:
        self._may_close.clear()

    def release(self) -> None:
        self._may_close.set()

    def event(self, kind: str, **data: Any) -> None:
        self.frame(json.dumps({"type": kind, "data": data}))

    def frame(self, frame: Frame) -> None:
        if isinstance(frame, bytes) or not self._is_done_with(frame.encode()):
            self._frames.put_nowait(frame)

    def end(self) -> None:
        """As if ComfyUI had gone away."""
        self._frames.put_nowait(None)

    async def send(self, frame: Frame) -> None:
        self.sent.append(frame)

    async def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.end()
        await self._may_close.wait()
        if not self.closed:
            self.closed = True
            self._log.append(f"closed {self._number}")

    async def receive(self) -> Frame | None:
        return await self._frames.get()


class Upstream:
    """Opens such sockets; `log` holds what was opened and closed, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.sockets: list[UpstreamSocket] = []
        self.failure: Exception | None = None
        self.ends_at_once = False
        self.ready = asyncio.Event()
        self.ready.set()

    async def socket(self, client_id: str, is_done_with: Callable[[bytes], bool]) -> UpstreamSocket:
        await self.ready.wait()
        if self.failure is not None:
            raise self.failure
        opened = UpstreamSocket(self.log, len(self.sockets), is_done_with)
        self.log.append(f"opened {len(self.sockets)}")
        self.sockets.append(opened)
        if self.ends_at_once:
            opened.end()
        return opened


class Queue:
    """ComfyUI's queue as a test says it is; `look` stands in for comfyproxy.queuewatch.look."""

    def __init__(self) -> None:
        self.running: dict[str, int] = {}
        self.pending: dict[str, int] = {}
        self.failure: Exception | None = None
        self.looks = 0
        # A look is answered when this is set, with what was true when it began.
        self.answers = asyncio.Event()
        self.answers.set()

    async def look(self) -> Snapshot:
        self.looks += 1
        if self.failure is not None:
            raise self.failure
        queue = {
            "queue_running": [[0, pid, {}, {}] for pid in self.running],
            "queue_pending": [[0, pid, {}, {}] for pid in self.pending],
        }
        owners = {
            pid: Ownership(user, None, 0) for pid, user in (self.running | self.pending).items()
        }
        await self.answers.wait()
        return Snapshot(queue, owners)


class Client(ClientSocket):
    """A client of the hub; `codes` are those with which it was told to close."""

    def __init__(self, user_id: int = 1, client_id: str = "tab", **traits: Any) -> None:
        self.codes: list[int] = []
        super().__init__(identity(user_id, **traits), client_id, self.codes.append)

    async def received(self, count: int) -> list[Any]:
        """The next frames, texts parsed."""
        async with asyncio.timeout(2):
            frames = [await self.outbox.get() for _ in range(count)]
        return [json.loads(frame) if isinstance(frame, str) else frame for frame in frames]

    async def kinds(self, count: int) -> list[str]:
        return [
            frame["type"] if isinstance(frame, dict) else "binary"
            for frame in await self.received(count)
        ]

    async def nothing(self) -> bool:
        """Whether nothing is there, now that all tasks had their turn."""
        await turns()
        return not self.outbox._entries


def identity(user_id: int = 1, **traits: Any) -> Identity:
    given: dict[str, Any] = {
        "username": f"user{user_id}",
        "namespace": f"u-{user_id:010}",
        "role": "user",
        "rank": 40,
        "capabilities": frozenset({Capability.ACCESS_API, Capability.RUN}),
        "auth": Auth.SESSION,
    }
    return Identity(user_id=user_id, **(given | traits))


async def turns(count: int = 30) -> None:
    """Let every other task go on as far as it can without waiting for time."""
    for _ in range(count):
        await asyncio.sleep(0)


class Owners:
    """Whose prompts are whose, as the database would say."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failure: Exception | None = None
        self.known = {MINE: ALICE, THEIRS: BOB}
        self.on_its_way: set[str] = set()

    def read(self, prompt_ids: list[str]) -> tuple[dict[str, Ownership], list[str]]:
        """What is found, and which of it is to be remembered: what ComfyUI has taken."""
        self.asked += prompt_ids
        if self.failure is not None:
            raise self.failure
        found = {
            pid: Ownership(self.known[pid], None, 0) for pid in prompt_ids if pid in self.known
        }
        return found, [pid for pid in found if pid not in self.on_its_way]


async def eventually(upstream: Upstream, *log: str) -> None:
    """Wait until exactly this was opened and closed."""
    async with asyncio.timeout(2):
        while upstream.log != list(log):
            await asyncio.sleep(0.005)
