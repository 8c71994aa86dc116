"""Tells the workers that there may be something to do. If nobody hears, they look by themselves."""

from typing import Final

from accounts.handover import hand_over

TASK: Final = "downloads.tasks.work"


def workers() -> None:
    """Wake a worker, from a thread."""
    hand_over(TASK)
