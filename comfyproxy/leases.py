"""Which web process holds ComfyUI's socket for a client id: one of them, agreed on in Redis.

Each process shows that it lives by a key that runs out; a lease counts as long as its holder
does. While Redis is away nobody can ask, and nobody is held up: a process opens what its clients
need. When Redis is back, of two that hold the same id one gives way (`on_conflict`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import time
from typing import Final

from accounts.bus import PROCESS_ID, RedisAway, bus

logger = logging.getLogger(__name__)

BEAT_SECONDS: Final = 2.0
# How long a process that was killed counts as living: its clients' new sockets wait for that.
ALIVE_SECONDS: Final = 6.0
# Each lease is renewed every so many beats; it need not outlive its holder.
RENEWAL_BEATS: Final = 5
LEASE_SECONDS: Final = 60.0

# KEYS: the lease, the user's leases by when they run out. ARGV: who asks, before a process's id
# where it shows that it lives, ms that a lease lasts, how many a user may have, the time in ms.
# Answers who holds the lease now (whoever did if they live, else the one who asks), or nothing:
# the user has too many.
_CLAIM: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and redis.call('EXISTS', ARGV[2] .. holder) == 1 then
    return holder
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[5])
local is_known = redis.call('ZSCORE', KEYS[2], KEYS[1])
if not is_known and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then
    return ''
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[5] + ARGV[3], KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return ARGV[1]
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', KEYS[2], KEYS[1])
end
"""


class TooMany(Exception):
    """The user has as many leases as one may have."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What is held: the socket of this id of ComfyUI's, one of this user's."""

    name: str
    user_id: int


class Leases:
    """The leases of this process. A user may have so many of all processes together."""

    def __init__(self, most_per_user: int) -> None:
        self._most = most_per_user
        self._held: dict[str, Lease] = {}
        # Claims and releases of one id reach Redis in the order in which they were made.
        self._lock = asyncio.Lock()
        self._conflict: Callable[[str, str], None] = lambda name, holder: None
        self._gone: Callable[[str], None] = lambda process_id: None
        self._peers: Callable[[], Iterable[str]] = tuple
        self._is_shown = False

    def on_conflict(self, handler: Callable[[str, str], None]) -> None:
        """Have `handler(name, holder)` called when another process holds what this one does."""
        self._conflict = handler

    def watch(self, peers: Callable[[], Iterable[str]], gone: Callable[[str], None]) -> None:
        """Have `gone(process_id)` called for each of `peers()` that lives no more."""
        self._peers, self._gone = peers, gone

    async def claim(self, lease: Lease) -> str:
        """The process id of who holds it from now on: this process's if nobody did, or if Redis
        cannot be asked, or the other processes not heard.

        Raises:
            TooMany
        """
        if not bus.exists:
            return PROCESS_ID
        async with self._lock:
            # First: a beat in between must renew it.
            self._held[lease.name] = lease
            if not bus.hears:
                return PROCESS_ID
            try:
                if not self._is_shown:
                    await self._show_alive()
                holder = await self._ask(lease)
            except RedisAway:
                return PROCESS_ID
            if holder != PROCESS_ID:
                del self._held[lease.name]
            if not holder:
                raise TooMany
            return holder

    async def release(self, name: str) -> None:
        """This process holds it no more."""
        lease = self._held.pop(name, None)
        if lease is not None:
            await self.disown(lease)

    async def disown(self, lease: Lease) -> None:
        """Redis must not say that this process holds it, unless it does."""
        if not bus.exists:
            return
        async with self._lock:
            if lease.name in self._held:
                return
            keys = [_key(lease.name), _keys_of(lease.user_id)]
            with suppress(RedisAway):  # then it runs out
                await bus.command(lambda client: client.eval(_RELEASE, 2, *keys, PROCESS_ID))

    async def beat(self) -> None:
        """Show for ever that this process lives, renew what it holds. One task per process."""
        if not bus.exists:
            return
        beats = 0
        while True:
            try:
                # Who lives can be written to.
                if not bus.hears:
                    raise RedisAway
                was_known = await self._show_alive()
                if beats % RENEWAL_BEATS == 0 or not was_known:
                    await self._renew()
                await self._look_after_peers()
            except RedisAway:
                beats = -1  # at its return everything is renewed
            except Exception:
                logger.exception("the leases of this process could not be renewed")
            beats += 1
            await asyncio.sleep(BEAT_SECONDS)

    async def close(self) -> None:
        """This process ends."""
        if not bus.exists:
            return
        for name in list(self._held):
            await self.release(name)
        with suppress(RedisAway):
            await bus.command(lambda client: client.delete(_alive(PROCESS_ID)))

    async def _show_alive(self) -> bool:
        """Whether Redis still knew of this process."""
        former = await bus.command(
            lambda client: client.set(
                _alive(PROCESS_ID), b"1", px=int(ALIVE_SECONDS * 1000), get=True
            )
        )
        self._is_shown = True
        return former is not None

    async def _renew(self) -> None:
        for name in list(self._held):
            async with self._lock:
                lease = self._held.get(name)
                if lease is None:
                    continue
                holder = await self._ask(lease)
                # One that has become one too many stays until it ends.
                if holder in ("", PROCESS_ID):
                    continue
                del self._held[name]
            self._conflict(name, holder)

    async def _ask(self, lease: Lease) -> str:
        keys = [_key(lease.name), _keys_of(lease.user_id)]
        lasts, now = int(LEASE_SECONDS * 1000), int(time() * 1000)
        holder = await bus.command(
            lambda client: client.eval(
                _CLAIM, 2, *keys, PROCESS_ID, _alive(""), lasts, self._most, now
            )
        )
        return bytes(holder).decode()

    async def _look_after_peers(self) -> None:
        peers = list(self._peers())
        if not peers:
            return
        keys = [_alive(peer) for peer in peers]
        found = await bus.command(lambda client: client.mget(keys))
        for peer, alive in zip(peers, found, strict=True):
            if alive is None:
                self._gone(peer)


def _key(name: str) -> str:
    return f"{bus.prefix}socket:{name}"


def _keys_of(user_id: int) -> str:
    return f"{bus.prefix}sockets-of:{user_id}"


def _alive(process_id: str) -> str:
    return f"{bus.prefix}process:{process_id}"
