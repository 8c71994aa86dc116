"""Letters of this web process to the others, in order: a head (JSON), and a frame or nothing."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson

from accounts.bus import RedisAway, bus, letter
from comfyproxy.outbox import Frame, Outbox, OverflowedError

logger = logging.getLogger(__name__)

# Of all letters that wait for Redis: beyond that every far socket is given up.
LETTERS_LIMIT_BYTES: Final = 64 * 1024 * 1024
PREVIEWS_LIMIT_BYTES: Final = 16 * 1024 * 1024
# As many go to Redis at once.
BATCH: Final = 64
_ID_CHARS: Final = 16


class Post:
    """What waits to be sent, and who is told when it cannot be."""

    def __init__(self, lost: Callable[[str | None], None]) -> None:
        """`lost(process_id)` is called when a process does not listen; with None when letters
        to anybody may be lost."""
        self._outbox = _outbox()
        self._lost = lost

    def write(
        self, to: str, head: dict[str, Any], frame: Frame = b"", *, may_be_lost: bool = False
    ) -> None:
        """Send a letter, soon."""
        entry = to.encode() + letter(written(head, frame))
        if may_be_lost:
            self._outbox.put_preview(entry)
        else:
            self._outbox.put(entry)

    async def deliver(self) -> None:
        """Send what is written, for ever. One task per process."""
        while True:
            try:
                batch = await self._batch()
                counts = await bus.command(partial(_sent, batch=batch))
            except OverflowedError:
                logger.warning("letters to other processes pile up; their sockets are given up")
                self._outbox = _outbox()
                self._lost(None)
            except RedisAway:
                self._lost(None)
            else:
                for entry, count in zip(batch, counts, strict=True):
                    if count == 0:
                        self._lost(entry[:_ID_CHARS].decode())

    async def _batch(self) -> list[bytes]:
        batch = [await self._outbox.get()]
        while self._outbox.waiting and len(batch) < BATCH:
            batch.append(await self._outbox.get())
        return [entry for entry in batch if isinstance(entry, bytes)]


def _outbox() -> Outbox:
    return Outbox(LETTERS_LIMIT_BYTES, PREVIEWS_LIMIT_BYTES)


async def _sent(client: Any, batch: list[bytes]) -> list[int]:
    async with client.pipeline(transaction=False) as pipeline:
        for entry in batch:
            pipeline.publish(bus.channel_of(entry[:_ID_CHARS].decode()), entry[_ID_CHARS:])
        counts: list[int] = await pipeline.execute()
    return counts


def written(head: dict[str, Any], frame: Frame = b"") -> bytes:
    """A letter's text."""
    if isinstance(frame, str):
        return orjson.dumps({**head, "is_text": True}) + b"\n" + frame.encode()
    return orjson.dumps(head) + b"\n" + frame


def read(body: bytes) -> tuple[dict[str, Any], Frame]:
    """The reverse of `written`."""
    start, _, frame = body.partition(b"\n")
    head: dict[str, Any] = orjson.loads(start)
    return head, frame.decode() if head.get("is_text") else frame
