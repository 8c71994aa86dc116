"""Tells how far long work is: a line now and then, not one for each row."""

from collections.abc import Callable
from time import monotonic
from typing import Final

EVERY_SECONDS: Final = 5.0


class Progress:
    """`say` is called with a sentence about what is being done, at most every few seconds."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = monotonic()

    def begin(self, what: str) -> None:
        """A new part of the work; told at once."""
        self._said = monotonic()
        self._say(f"{what} …")

    def step(self, what: str, done: int, total: int | None = None) -> None:
        if monotonic() - self._said >= EVERY_SECONDS:
            self._said = monotonic()
            of = "" if total is None else f" of {total:,}"
            self._say(f"  {what}: {done:,}{of}")
