"""Ends the waiting for a site that keeps a connection busy and says nothing whole."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from accounts.sentences import english
from downloads.errors import Cancelled, Stalled

STEP_SECONDS: Final = 0.25


class Watch:
    """While it is on, the connections it was told of are shut down once their time is over, or
    once `cancelled()` says so or raises; `check` then says why.

    Lines (an answer's head, the lengths of chunks) are read below Python, which bounds the wait
    for each byte only: a byte now and then would hold a thread for days, deaf to a cancel.
    """

    def __init__(self, seconds: float, cancelled: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._cancelled = cancelled
        self._until: float | None = None
        self._held: list[socket.socket] = []
        self._why: Exception | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        for connection in self._held:
            connection.close()

    def add(self, connection: socket.socket) -> None:
        """Watches over a connection, too; the time begins anew."""
        self.check()
        # A handle of its own: TLS takes the first one over, and its number may be used again.
        handle = socket.fromfd(connection.fileno(), connection.family, connection.type)
        with self._lock:
            self._held.append(handle)
            self._until = time.monotonic() + self._seconds

    def begin(self) -> None:
        """The time begins anew."""
        self._until = time.monotonic() + self._seconds

    def rest(self) -> None:
        """Nothing is waited for at the moment."""
        self._until = None

    def check(self) -> None:
        """Raises Stalled, Cancelled or what `cancelled` raised, if that has ended the waiting."""
        with self._lock:
            if self._why is not None:
                raise self._why

    def _look(self) -> None:
        while not self._over.wait(STEP_SECONDS):
            if (why := self._reason()) is not None:
                with self._lock:
                    self._why = why
                    for connection in self._held:
                        with suppress(OSError):
                            connection.shutdown(socket.SHUT_RDWR)
                return

    def _reason(self) -> Exception | None:
        try:
            if self._cancelled():
                return Cancelled()
        except Exception as error:
            return error
        until = self._until
        late = until is not None and time.monotonic() > until
        return Stalled(english("The site answers too slowly. Try again later.")) if late else None
