"""Turns at something that few may do at once: whoever wants many of them does not hold up those who
want one."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairTurns:
    """So many places; of those who wait, each user in turn gets the next. For one event loop."""

    def __init__(self, places: int) -> None:
        self._free = places
        # By user, the one whose turn it is first. Whoever is in it waits for at least one turn.
        self._waiting: OrderedDict[int, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, user_id: int) -> AsyncIterator[None]:
        """Wait for a place, and hold it meanwhile."""
        if self._free:
            self._free -= 1
        else:
            await self._next(user_id)
        try:
            yield
        finally:
            self._pass_on()

    async def _next(self, user_id: int) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            # It may have been given at the very moment; one that was not is passed over.
            if place.done() and not place.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            user_id, places = self._waiting.popitem(last=False)
            place = places.popleft()
            if places:
                self._waiting[user_id] = places
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
