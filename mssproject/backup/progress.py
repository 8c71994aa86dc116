"""Tells how far long work is, a line now and then, and ends it where it may be ended."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from mssproject.backup.errors import BackupError

EVERY_SECONDS: Final = 5.0


class Stopped(BackupError):
    """Somebody asked for it to end."""


class Progress:
    """`say` is called with a sentence about what is being done, at most every few seconds.

    After `stop`, the next call of the others raises Stopped: between two pieces of the work,
    where nothing is half done.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said = monotonic()
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def begin(self, what: str) -> None:
        """A new part of the work; told at once."""
        self._go_on()
        self._said = monotonic()
        self._say(f"{what} …")

    def step(self, what: str, done: int, total: int | None = None) -> None:
        """So much of it is done."""
        self._go_on()
        if monotonic() - self._said >= EVERY_SECONDS:
            self._said = monotonic()
            of = "" if total is None else f" of {total:,}"
            self._say(f"  {what}: {done:,}{of}")

    def _go_on(self) -> None:
        if self._stopped:
            raise Stopped("Stopped. Nothing was changed.")
