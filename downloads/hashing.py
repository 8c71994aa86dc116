"""SHA-256 beside the writing: on another core, a few pieces behind at most."""

import hashlib
import queue
import threading
from typing import Final

# Enough to ride out a slow write, little enough not to be felt in memory.
PIECES_BEHIND: Final = 4


class Hasher:
    """Hashes pieces in their order in a thread of its own (`hashlib` lets go of the GIL)."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pieces: queue.Queue[bytes | memoryview | None] = queue.Queue(PIECES_BEHIND)
        self._thread: threading.Thread | None = None

    def update(self, piece: bytes | memoryview) -> None:
        """Takes a piece that nobody changes any more; waits while too many are waiting."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)
            self._thread.start()
        self._pieces.put(piece)

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._hash.update(piece)
            self._pieces.task_done()

    def hexdigest(self) -> str:
        """The hash of all pieces until now; more may follow."""
        self._pieces.join()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Ends the thread. A closed hasher takes no more pieces."""
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()
            self._thread = None
