"""The in-process memory of who a token stands for. DESIGN.md section 4."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from accounts.errors import GatewayError
from accounts.identity import Identity

# A revoked token works at most this long in processes that were not told.
# With what asking the database takes, 5 s are not exceeded.
TTL_SECONDS: Final = 4.5
# Failures are kept too, shorter, so that guessing costs the guesser and not the database.
FAILURE_TTL_SECONDS: Final = 1.0
MAX_ENTRIES: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Entry:
    result: Identity | GatewayError
    deadline: float


class IdentityCache:
    """Token digest → Identity or the refusal, for a few seconds. Safe across threads."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._generation = 0

    @property
    def generation(self) -> int:
        """Changes with every drop. Read it before asking the database, hand it to `put`."""
        return self._generation

    def get(self, digest: bytes) -> Identity | GatewayError | None:
        """What is known about this token, or None if the database must be asked."""
        entry = self._entries.get(digest)
        if entry is None or entry.deadline <= self._clock():
            return None
        return entry.result

    def put(self, digest: bytes, result: Identity | GatewayError, *, generation: int) -> None:
        """Remember `result`, unless something was dropped since `generation` was read:
        then it may describe the state before that change."""
        failed = isinstance(result, GatewayError)
        deadline = self._clock() + (FAILURE_TTL_SECONDS if failed else TTL_SECONDS)
        with self._lock:
            if generation != self._generation:
                return
            self._entries[digest] = _Entry(result, deadline)
            self._entries.move_to_end(digest)
            while len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)

    def drop_user(self, user_id: int) -> None:
        """Forget every token of one user."""
        self._drop(lambda who: who.user_id == user_id)

    def drop_all(self) -> None:
        """Forget everything, as after a change of a role."""
        self._drop(lambda who: True)

    def _drop(self, concerns: Callable[[Identity], bool]) -> None:
        with self._lock:
            self._generation += 1
            for digest, entry in list(self._entries.items()):
                # A cached refusal may have become wrong by the same change.
                if isinstance(entry.result, GatewayError) or concerns(entry.result):
                    del self._entries[digest]
