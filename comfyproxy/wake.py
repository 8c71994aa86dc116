"""Tells the worker that pictures wait to be judged. If it does not hear, it looks by itself."""

from time import monotonic
from typing import Final

from accounts.handover import hand_over

TASK: Final = "comfyproxy.tasks.judge_pictures"
# A worker that is awake takes what comes meanwhile.
SPACING_SECONDS: Final = 1.0
_last = float("-inf")


def scorer() -> None:
    """Wake the worker, from a thread."""
    global _last
    if monotonic() - _last < SPACING_SECONDS:
        return
    _last = monotonic()
    hand_over(TASK)
