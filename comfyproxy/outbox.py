"""What waits for one client socket: bounded in bytes, previews dropped first."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

Frame = str | bytes

# A client that falls this far behind with what must not be lost is disconnected.
EVENT_LIMIT_BYTES: Final = 8 * 1024 * 1024
PREVIEW_LIMIT_BYTES: Final = 4 * 1024 * 1024


class OverflowedError(Exception):
    """The client does not read; its events would fill the memory."""


@dataclass(slots=True)
class _Entry:
    frame: Frame | None  # None: a preview that was dropped
    size: int
    droppable: bool


def _size(frame: Frame) -> int:
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode())


class Outbox:
    """Frames in order, for one reader."""

    def __init__(
        self,
        event_limit: int = EVENT_LIMIT_BYTES,
        preview_limit: int = PREVIEW_LIMIT_BYTES,
    ) -> None:
        self._event_limit = event_limit
        self._preview_limit = preview_limit
        self._entries: deque[_Entry] = deque()
        # Few: those that are behind, and an empty deque takes 0.8 kB.
        self._previews: list[_Entry] = []
        self._event_bytes = 0
        self._preview_bytes = 0
        self._overflowed = False
        self._reader: asyncio.Future[None] | None = None

    @property
    def overflowed(self) -> bool:
        """Whether the client fell too far behind; nothing is kept for it any more."""
        return self._overflowed

    @property
    def waiting(self) -> bool:
        """Whether `get` would return at once."""
        # The newest preview is never dropped, so the last entry is always a frame.
        return bool(self._entries)

    def put(self, frame: Frame) -> None:
        """Add a frame that must not be lost. Too many of them end the outbox."""
        size = _size(frame)
        # One that is too large by itself is a client's that keeps up all the same.
        if self._event_bytes and self._event_bytes + size > self._event_limit:
            self._overflowed = True
            self._entries.clear()
            self._previews.clear()
        if not self._overflowed:
            self._event_bytes += size
            self._entries.append(_Entry(frame, size, droppable=False))
        self._wake()

    def put_preview(self, frame: bytes) -> None:
        """Add a frame that may be lost; the oldest such go first."""
        if self._overflowed:
            return
        entry = _Entry(frame, len(frame), droppable=True)
        self._entries.append(entry)
        self._previews.append(entry)
        self._preview_bytes += entry.size
        while self._preview_bytes > self._preview_limit and len(self._previews) > 1:
            oldest = self._previews.pop(0)
            oldest.frame = None
            self._preview_bytes -= oldest.size
        self._wake()

    async def get(self) -> Frame:
        """The next frame, waiting for one.

        Raises:
            OverflowedError
        """
        while True:
            if self._overflowed:
                raise OverflowedError
            while self._entries:
                entry = self._entries.popleft()
                if entry.droppable:
                    if entry.frame is None:
                        continue
                    self._previews.pop(0)
                    self._preview_bytes -= entry.size
                else:
                    self._event_bytes -= entry.size
                assert entry.frame is not None
                return entry.frame
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
