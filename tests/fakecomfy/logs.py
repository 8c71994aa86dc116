"""The server's log as ComfyUI keeps it: the newest lines, and who gets them as events."""

from __future__ import annotations

import datetime
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable

MAX_MESSAGE = 64 * 1024  # clients decide what some messages quote


class _Handler(logging.Handler):
    """Sends records of a logger to a LogBuffer."""

    def __init__(self, buffer: LogBuffer) -> None:
        super().__init__()
        self._buffer = buffer
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self._buffer.write(self.format(record))


class LogBuffer:
    """Keeps the newest 300 entries and hands each new one to the subscribers' callback."""

    def __init__(self, verbose: bool = False) -> None:
        self.entries: deque[dict[str, str]] = deque(maxlen=300)
        self.subscribed: set[str] = set()
        self.verbose = verbose
        self.deliver: Callable[[dict[str, str]], None] | None = None
        self._lock = threading.Lock()

    def write(self, message: str) -> None:
        now = datetime.datetime.now()  # noqa: DTZ005 - upstream logs local times without a zone
        entry = {"t": now.isoformat(), "m": message[:MAX_MESSAGE] + "\n"}
        with self._lock:
            self.entries.append(entry)
        if self.verbose:
            print(message, file=sys.stderr, flush=True)
        if self.subscribed and self.deliver is not None:
            self.deliver(entry)

    def logger(self) -> logging.Logger:
        """A logger of its own for the HTTP server, whose errors belong into this log only."""
        logger = logging.Logger("fakecomfy")  # noqa: LOG001 - one per server, none of them global
        logger.addHandler(_Handler(self))
        return logger

    def snapshot(self) -> list[dict[str, str]]:
        with self._lock:
            return list(self.entries)
