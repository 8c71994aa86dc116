"""ComfyUI's queue, asked for once for everyone, and each user's own part of it.

Every open socket hears ComfyUI's `status` three times per prompt of anybody. Here all
these become one look at the queue, and a user is told only when their own set of waiting
and running prompts changed.
"""

import asyncio
import logging
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from accounts.errors import GatewayError, UpstreamUnreachable
from comfyproxy import ownership, upstream
from comfyproxy.filters.queue import Owners, ids_in

logger = logging.getLogger(__name__)

# Between two looks, so that a burst of prompts costs a few looks and not hundreds.
PAUSE_SECONDS: Final = 0.05
# After a look that failed; no further hint may come.
RETRY_SECONDS: Final = 1.0

OwnSet = frozenset[tuple[str, bool]]
"""(prompt id, whether it runs) of one user's prompts."""


@dataclass(frozen=True)
class Snapshot:
    """The queue at one moment: ComfyUI's answer and whose its prompts are."""

    queue: Any
    owners: Owners

    def own_set(self, user_id: int | None) -> OwnSet:
        """One user's waiting and running prompts; None: everybody's."""
        return self._own_sets.get(user_id, frozenset())

    @cached_property
    def _own_sets(self) -> dict[int | None, OwnSet]:
        # One pass for all: hundreds of sockets may ask, each for their user.
        found: dict[int | None, set[tuple[str, bool]]] = {}
        for part in ("queue_running", "queue_pending"):
            for prompt_id in ids_in(self.queue, part):
                owner = self.owners.get(prompt_id)
                for user_id in {None, None if owner is None else owner.user_id}:
                    found.setdefault(user_id, set()).add((prompt_id, part == "queue_running"))
        return {user_id: frozenset(members) for user_id, members in found.items()}


async def look() -> Snapshot:
    """ComfyUI's queue, asked for no earlier than this call.

    One look at a time: whoever comes while one is under way shares the next with all others
    who do. A hundred clients that poll cost two looks, and a queue full of large prompts is
    in memory once.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    return await _looks.share()


class _Looks:
    """The look under way and the one after it."""

    def __init__(self) -> None:
        self._present: asyncio.Task[Snapshot] | None = None
        self._next: asyncio.Task[Snapshot] | None = None

    async def share(self) -> Snapshot:
        if not _under_way(self._present):
            task = self._present = asyncio.ensure_future(_ask())
        elif not _under_way(self._next):
            assert self._present is not None
            task = self._next = asyncio.ensure_future(self._after(self._present))
        else:
            assert self._next is not None
            task = self._next
        # One caller who leaves must not end the look of the others.
        return await asyncio.shield(task)

    async def _after(self, present: asyncio.Task[Snapshot]) -> Snapshot:
        await asyncio.wait([present])
        # From now on newcomers wait for yet another one.
        self._present, self._next = self._next, None
        return await _ask()


def _under_way(task: asyncio.Task[Snapshot] | None) -> bool:
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()


_looks = _Looks()


async def _ask() -> Snapshot:
    queue = await upstream.get_json("/queue")
    if not isinstance(queue, dict):
        # "Nobody has any prompts" would be a wrong answer.
        raise UpstreamUnreachable("ComfyUI does not tell its queue.")
    ids = [*ids_in(queue, "queue_running"), *ids_in(queue, "queue_pending")]
    return Snapshot(queue, await ownership.owners(ids))


Listener = Callable[[int], None]
"""Called with the number of the user's waiting and running prompts."""


class QueueWatch:
    """Tells listeners when their user's own part of the queue changed."""

    def __init__(self) -> None:
        # By whose prompts they hear of: a user's, or everybody's (None).
        self._listeners: dict[int | None, set[Listener]] = {}
        self._last: dict[int | None, OwnSet] = {}
        # Prompts on their way that no look has found yet, and whose they are.
        self._unseen: dict[str, int] = {}
        # Those of them that ComfyUI has taken since the last look.
        self._arrived: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._again = False

    async def subscribe(self, user_id: int | None, listener: Listener) -> int:
        """Listen from now on; the user's present count.

        Raises:
            UpstreamUnreachable, UpstreamTimeout: then nobody listens
        """
        # First a listener: what changes during the look is told to it.
        self._listeners.setdefault(user_id, set()).add(listener)
        if user_id not in self._last:
            try:
                own = (await look()).own_set(user_id)
            except BaseException:
                self.unsubscribe(user_id, listener)
                raise
            if user_id not in self._last:
                self._note(user_id, own)
        return len(self._last[user_id])

    def unsubscribe(self, user_id: int | None, listener: Listener) -> None:
        """Stop listening."""
        members = self._listeners.get(user_id, set())
        members.discard(listener)
        if not members:
            self._listeners.pop(user_id, None)
            self._last.pop(user_id, None)
            # Whoever comes next looks for themselves.
            if None not in self._listeners:
                for prompt_id in [pid for pid, owner in self._unseen.items() if owner == user_id]:
                    self.forget(prompt_id)

    def count(self, user_id: int | None) -> int:
        """The number last told to this user's listeners."""
        return len(self._last.get(user_id, ()))

    async def settle(self, user_id: int | None) -> None:
        """Bring the count up to date if a hint has not been followed up yet."""
        if self._task is None or self._task.done() or user_id not in self._listeners:
            return
        try:
            self._tell(await look(), set(), only={user_id})
        except GatewayError as error:
            logger.info("could not look at the queue: %s", error)

    def changed(self) -> None:
        """Something happened to the queue: look again soon. Cheap; call it at every hint."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._follow())

    def expect(self, user_id: int, prompt_id: str) -> None:
        """This user's prompt is about to be given to ComfyUI: `arrived` or `forget` follows."""
        self._unseen[prompt_id] = user_id

    def arrived(self, prompt_id: str) -> None:
        """ComfyUI took an expected prompt: its user is told even if it is over before a look.
        One that was seen already is followed by ComfyUI's own hints."""
        if self._unseen.get(prompt_id) in self._listeners or None in self._listeners:
            self._arrived.add(prompt_id)
            self.changed()
        else:
            self.forget(prompt_id)

    def heard(self, user_id: int, prompt_id: str) -> None:
        """ComfyUI took a prompt that another process gave it."""
        if all(prompt_id != seen for seen, _ in self._last.get(user_id, ())):
            self.expect(user_id, prompt_id)
            self.arrived(prompt_id)

    def forget(self, prompt_id: str) -> None:
        """ComfyUI did not take an expected prompt."""
        self._unseen.pop(prompt_id, None)

    async def _follow(self) -> None:
        while self._again:
            self._again = False
            pause = PAUSE_SECONDS
            arrived, self._arrived = self._arrived, set()
            try:
                self._tell(await look(), arrived)
            except Exception as error:
                if isinstance(error, GatewayError):
                    logger.info("could not look at the queue: %s", error)
                else:
                    logger.exception("could not tell whose prompts wait")
                self._arrived |= arrived
                self._again = self._again or bool(self._listeners)
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)

    def _tell(
        self, snapshot: Snapshot, arrived: set[str], only: Container[int | None] | None = None
    ) -> None:
        """Tell each user whose set changed. `arrived`: prompts that ComfyUI had taken before
        this look; one of them that was never seen has come and gone."""
        missed: set[int | None] = {
            self._unseen[prompt_id] for prompt_id in self._unseen.keys() & arrived
        }
        if missed:
            missed.add(None)
        for user_id, listeners in list(self._listeners.items()):
            if only is not None and user_id not in only:
                continue
            own = snapshot.own_set(user_id)
            if own == self._last.get(user_id) and user_id not in missed:
                continue
            self._note(user_id, own)
            for listener in list(listeners):
                listener(len(own))
        for prompt_id in arrived:
            self._unseen.pop(prompt_id, None)

    def _note(self, user_id: int | None, own: OwnSet) -> None:
        self._last[user_id] = own
        for prompt_id, _ in own:
            self._unseen.pop(prompt_id, None)


watch = QueueWatch()
