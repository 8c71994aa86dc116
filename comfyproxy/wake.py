"""Tells the worker that pictures wait to be judged. If it does not hear, it looks by itself."""

import logging
from time import monotonic
from typing import Final

from celery import current_app

logger = logging.getLogger(__name__)

# By its name: the task stands on what wakes it.
TASK: Final = "comfyproxy.tasks.judge_pictures"
# A worker that is awake takes what comes meanwhile.
SPACING_SECONDS: Final = 1.0
_last = float("-inf")


def scorer() -> None:
    """Wake the worker, from a thread. Whatever the broker does, what is written down stays
    written down."""
    global _last
    if monotonic() - _last < SPACING_SECONDS:
        return
    _last = monotonic()
    try:
        current_app.send_task(TASK, retry=False)
    except Exception as error:  # whatever the broker's library raises
        logger.warning("the worker could not be told of new pictures; it will find out: %s", error)
