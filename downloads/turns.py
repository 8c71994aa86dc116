"""How many may do something at once: of each user, and all together in this process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from accounts import errors


class Turns:
    """Places for what holds a thread. Nobody waits for one: who gets none is told to come again."""

    def __init__(self, of_user: int, of_all: int) -> None:
        self._of_user = of_user
        self._of_all = of_all
        self._taken: Counter[int] = Counter()
        self._lock = Lock()

    @contextmanager
    def turn(self, user_id: int) -> Iterator[None]:
        """Raises Throttled."""
        with self._lock:
            if self._taken[user_id] >= self._of_user or self._taken.total() >= self._of_all:
                raise errors.Throttled(headers={"Retry-After": "5"})
            self._taken[user_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[user_id] -= 1
                # Else it would keep everybody who ever came.
                self._taken += Counter()
