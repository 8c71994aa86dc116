"""What was worked out and may be asked for again: the latest, up to a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values by key. When they have more than `max_bytes` together, those that were not asked
    for the longest go; the newest stays, however large. For any thread."""

    def __init__(self, max_bytes: int, size: Callable[[V], int]) -> None:
        self._max_bytes = max_bytes
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0

    def get(self, key: K) -> V | None:
        """The value, if it is still there."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            return found

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        with self._lock:
            self._drop(key)
            self._values[key] = value
            self.bytes += self._size(value)
            while self.bytes > self._max_bytes and len(self._values) > 1:
                self._drop(next(iter(self._values)))

    def forget(self, key: K) -> None:
        """It is not so any more."""
        with self._lock:
            self._drop(key)

    def shed(self, is_old: Callable[[V], bool]) -> None:
        """Those that were not asked for the longest go, as long as they are so."""
        with self._lock:
            while self._values:
                key, value = next(iter(self._values.items()))
                if not is_old(value):
                    return
                self._drop(key)

    def _drop(self, key: K) -> None:
        if key in self._values:
            self.bytes -= self._size(self._values.pop(key))

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._values))
