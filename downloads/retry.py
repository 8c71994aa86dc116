"""Trying again: what passes by itself gets time to pass, but not without end."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from downloads.errors import Cancelled, DownloadError

STEP_SECONDS: Final = 0.25
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How patient to be: `tries` in a row without progress, waits that double up to a bound.

    A source that asks for a longer wait than `max_wait` is not waited for: the error is raised
    with its `retry_after`, for whoever can put the job aside that long.
    """

    tries: int = 8
    first: float = 1.0
    most: float = 60.0
    max_wait: float = 300.0
    # However much progress lies between: somebody cuts every connection.
    tries_in_all: int = 200


class Patience:
    """Counts the failures of one undertaking, and waits between its tries."""

    def __init__(
        self,
        backoff: Backoff,
        cancelled: Callable[[], bool],
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._backoff = backoff
        self._cancelled = cancelled
        self._sleep = sleep
        self._kinds: Counter[str] = Counter()
        self._in_a_row = 0
        self._in_all = 0

    def progressed(self) -> None:
        """Something was achieved since the last failure: the count of tries starts anew.

        Not for kinds of failure with a bound of their own: wrong bytes come with progress too.
        """
        self._in_a_row = 0

    def after(self, error: DownloadError) -> None:
        """Waits until the next try.

        Raises:
            DownloadError: `error` itself, where another try is of no use or one too many
            Cancelled: while waiting
        """
        self._in_a_row += 1
        self._in_all += 1
        self._kinds[error.code] += 1
        bound = self._backoff
        if error.permanent or self._in_a_row >= bound.tries or self._in_all >= bound.tries_in_all:
            raise error
        if error.tries is not None and self._kinds[error.code] >= error.tries:
            raise error
        if error.retry_after is not None and error.retry_after > bound.max_wait:
            raise error
        wait = min(bound.first * 2 ** (self._in_a_row - 1), bound.most)
        # Jitter: jobs that failed together should not come back together.
        wait *= random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret about it
        self._wait(max(wait, error.retry_after or 0))

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            if self._cancelled():
                raise Cancelled
            left = until - time.monotonic()
            if left <= 0:
                return
            self._sleep(min(left, STEP_SECONDS))


def persist(action: Callable[[], T], *, backoff: Backoff, cancelled: Callable[[], bool]) -> T:
    """The action's result, tried again while its errors may pass (for questions to sources).

    Raises:
        DownloadError: the last one
    """
    patience = Patience(backoff, cancelled)
    while True:
        try:
            return action()
        except DownloadError as error:
            patience.after(error)
