"""ComfyUI's queue, asked for once for everyone, and each user's own part of it.

Every open socket hears ComfyUI's `status` three times per prompt of anybody. Here all
these become one look at the queue, and a user is told only when their own set of waiting
and running prompts changed.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from accounts.errors import GatewayError
from comfyproxy import ownership, upstream
from comfyproxy.filters.queue import Owners, ids_in

logger = logging.getLogger(__name__)

# Between two looks, so that a burst of prompts costs a few looks and not hundreds.
PAUSE_SECONDS: Final = 0.05

OwnSet = frozenset[tuple[str, bool]]
"""(prompt id, whether it runs) of one user's prompts."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The queue at one moment: ComfyUI's answer and whose its prompts are."""

    queue: Any
    owners: Owners

    def own_set(self, user_id: int) -> OwnSet:
        """One user's waiting and running prompts."""
        return frozenset(
            (prompt_id, part == "queue_running")
            for part in ("queue_running", "queue_pending")
            for prompt_id in ids_in(self.queue, part)
            if prompt_id in self.owners and self.owners[prompt_id].user_id == user_id
        )


async def look() -> Snapshot:
    """Ask ComfyUI for its queue.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    queue = await upstream.get_json("/queue")
    ids = [*ids_in(queue, "queue_running"), *ids_in(queue, "queue_pending")]
    return Snapshot(queue, await ownership.owners(ids))


Listener = Callable[[int], None]
"""Called with the number of the user's waiting and running prompts."""


class QueueWatch:
    """Tells listeners when their user's own part of the queue changed."""

    def __init__(self) -> None:
        self._listeners: dict[int, set[Listener]] = {}
        self._last: dict[int, OwnSet] = {}
        self._task: asyncio.Task[None] | None = None
        self._again = False

    async def subscribe(self, user_id: int, listener: Listener) -> int:
        """Listen from now on; the user's present count."""
        if user_id not in self._last:
            self._last[user_id] = (await look()).own_set(user_id)
        self._listeners.setdefault(user_id, set()).add(listener)
        return len(self._last[user_id])

    def unsubscribe(self, user_id: int, listener: Listener) -> None:
        """Stop listening."""
        members = self._listeners.get(user_id, set())
        members.discard(listener)
        if not members:
            self._listeners.pop(user_id, None)
            self._last.pop(user_id, None)

    def count(self, user_id: int) -> int:
        """The number last told to this user's listeners."""
        return len(self._last.get(user_id, ()))

    def changed(self) -> None:
        """Something happened to the queue: look again soon. Cheap; call it at every hint."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        while self._again:
            self._again = False
            try:
                self._tell(await look())
            except GatewayError as error:
                logger.info("could not look at the queue: %s", error)
            except Exception:
                # The database: the next hint tries again.
                logger.exception("could not tell whose prompts wait")
            await asyncio.sleep(PAUSE_SECONDS)

    def _tell(self, snapshot: Snapshot) -> None:
        for user_id, listeners in list(self._listeners.items()):
            own = snapshot.own_set(user_id)
            if own == self._last.get(user_id):
                continue
            self._last[user_id] = own
            for listener in list(listeners):
                listener(len(own))


watch = QueueWatch()
