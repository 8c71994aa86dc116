"""What the processes of one installation tell each other, over Redis's publish and subscribe.

Two kinds of message: announcements, which every web process hears, and letters to one process.
Nothing is kept: who does not listen misses it, and learns that it may have (`on_gap`). Without
REDIS_URL there is one web process, and nobody to tell.

Not a channel layer: channels_redis drops what exceeds its capacity and forgets a group's members
after a day, and says neither.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import orjson
import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

# This process, among those that share a Redis.
PROCESS_ID: Final = secrets.token_hex(8)
# Whoever announces something waits for Redis no longer than this.
PATIENCE_SECONDS: Final = 1.0
# After a failure Redis is left alone for a moment: each attempt may take that long.
PAUSE_SECONDS: Final = 1.0
# A connection that is silently gone is noticed after this long.
CHECK_SECONDS: Final = 5.0
RECONNECT_SECONDS: Final = 0.5

Announced = Callable[[dict[str, Any]], None]
Letter = Callable[[str, bytes], None]
"""Called with the sender's process id and what it wrote."""


class Bus:
    """One process's connection to the others. Handlers are called in the event loop."""

    def __init__(self, url: str | None, secret: str, process_id: str = PROCESS_ID) -> None:
        self._url = url
        self._process_id = process_id
        # Redis's channels are the same in all its databases: installations are kept apart by
        # what only their own processes know.
        self.prefix = f"mss:{hashlib.sha256(b'bus' + secret.encode()).hexdigest()[:16]}:"
        self._handlers: dict[str, list[Announced]] = {}
        self._letters: Letter | None = None
        self._gap: list[Callable[[], None]] = []
        self._clients: dict[asyncio.AbstractEventLoop, redis.asyncio.Redis] = {}
        self._sync: redis.Redis | None = None
        self._silent_until = float("-inf")
        self._is_away = False
        self._has_heard = False
        # Whether this process hears the others now.
        self.hears = False
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def exists(self) -> bool:
        """Whether there may be other processes to tell."""
        return self._url is not None

    # --- telling -----------------------------------------------------------------------------

    def announce(self, topic: str, **what: Any) -> None:
        """Tell all other web processes, from any thread of any process; in an event loop, soon.
        What does not reach them they find out by themselves, later."""
        if self._url is None or monotonic() < self._silent_until:
            return
        said = orjson.dumps({"from": self._process_id, "topic": topic, "what": what})
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            with suppress(RedisAway):
                self.ask(lambda client: client.publish(self.everybody, said))
        else:
            task = loop.create_task(self._publish(said))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _publish(self, said: bytes) -> None:
        with suppress(RedisAway):
            await self.command(lambda client: client.publish(self.everybody, said))

    def everywhere(self, topic: str, forget: Callable[[], None]) -> Callable[[], None]:
        """`forget`, which drops something from this process's memory, as a function that has it
        dropped in every web process."""

        def dropped() -> None:
            forget()
            self.announce(topic)

        self.on(topic, lambda what: forget())
        self.on_gap(forget)
        return dropped

    def ask(self, work: Callable[[redis.Redis], Any]) -> Any:
        """What `work` gets from Redis, in a thread.

        Raises:
            RedisAway: it does not answer
        """
        if monotonic() < self._silent_until:
            raise RedisAway
        try:
            found = work(self._threads_client())
        except (redis.RedisError, OSError) as error:
            self.lost(error)
            raise RedisAway from error
        self._here_again()
        return found

    async def command(self, work: Callable[[redis.asyncio.Redis], Awaitable[Any]]) -> Any:
        """What `work` gets from Redis, in the event loop.

        Raises:
            RedisAway: it does not answer
        """
        if monotonic() < self._silent_until:
            raise RedisAway
        try:
            found = await work(self.client())
        except (redis.RedisError, OSError) as error:
            self.lost(error)
            raise RedisAway from error
        self._here_again()
        return found

    def client(self) -> redis.asyncio.Redis:
        """This event loop's client."""
        assert self._url is not None
        loop = asyncio.get_running_loop()
        found = self._clients.get(loop)
        if found is None:
            found = self._clients[loop] = redis.asyncio.Redis.from_url(
                self._url,
                socket_timeout=PATIENCE_SECONDS,
                socket_connect_timeout=PATIENCE_SECONDS,
                # A pooled connection may be one that Redis has closed: once more.
                retry=AsyncRetry(NoBackoff(), 1),
            )
        return found

    def _threads_client(self) -> redis.Redis:
        if self._sync is None:
            assert self._url is not None
            self._sync = redis.Redis.from_url(
                self._url,
                socket_timeout=PATIENCE_SECONDS,
                socket_connect_timeout=PATIENCE_SECONDS,
                retry=Retry(NoBackoff(), 1),
            )
        return self._sync

    def lost(self, error: Exception) -> None:
        """Redis did not answer: leave it alone for a moment; say so once."""
        self._silent_until = monotonic() + PAUSE_SECONDS
        if not self._is_away:
            self._is_away = True
            logger.warning("Redis does not answer; the gateway goes on without it: %s", error)

    # --- hearing -----------------------------------------------------------------------------

    @property
    def everybody(self) -> str:
        """The channel of announcements."""
        return f"{self.prefix}all"

    def channel_of(self, process_id: str) -> str:
        """The channel of letters to one process."""
        return f"{self.prefix}to:{process_id}"

    def on(self, topic: str, handler: Announced) -> None:
        """Have announcements of this topic by other processes told to `handler`."""
        self._handlers.setdefault(topic, []).append(handler)

    def on_letter(self, handler: Letter) -> None:
        """Have letters to this process given to `handler`."""
        self._letters = handler

    def on_gap(self, handler: Callable[[], None]) -> None:
        """Have `handler` called whenever announcements and letters may have been missed since
        this process began to hear the others."""
        self._gap.append(handler)

    async def listen(self) -> None:
        """Hear the others for ever. Start one such task per web process."""
        if self._url is None:
            return
        while True:
            try:
                await self._hear()
            except (redis.RedisError, OSError) as error:
                self.lost(error)
            except Exception:
                logger.exception("a message of another process could not be handled")
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _hear(self) -> None:
        # A client of its own: no time-out while nothing is said, and no silent reconnection, in
        # which messages would be missed without a word.
        assert self._url is not None
        client = redis.asyncio.Redis.from_url(
            self._url,
            socket_connect_timeout=PATIENCE_SECONDS,
            socket_timeout=CHECK_SECONDS,
            health_check_interval=CHECK_SECONDS,
            retry=AsyncRetry(NoBackoff(), 0),
        )
        async with client, client.pubsub(ignore_subscribe_messages=True) as connection:
            await connection.subscribe(self.everybody, self.channel_of(self._process_id))
            self._here_again()
            if self._has_heard:
                for gap in self._gap:
                    gap()
            self._has_heard = self.hears = True
            try:
                while True:
                    message = await connection.get_message(timeout=CHECK_SECONDS)
                    if message is not None:
                        self._heard(message["channel"].decode(), message["data"])
            finally:
                self.hears = False

    def _here_again(self) -> None:
        self._silent_until = float("-inf")
        if self._is_away:
            self._is_away = False
            logger.warning("Redis answers again.")

    def _heard(self, channel: str, data: bytes) -> None:
        if channel != self.everybody:
            sender, _, body = data.partition(b" ")
            if self._letters is not None:
                self._letters(sender.decode(), body)
            return
        said = orjson.loads(data)
        if said["from"] == self._process_id:
            return
        for handler in self._handlers.get(said["topic"], ()):
            handler(said["what"])

    async def close(self) -> None:
        """Close this event loop's client."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()


class RedisAway(Exception):
    """Redis does not answer."""


def letter(body: bytes) -> bytes:
    """A letter as it is published."""
    return PROCESS_ID.encode() + b" " + body


bus = Bus(settings.REDIS_URL, settings.SECRET_KEY)
