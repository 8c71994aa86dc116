"""Tells the workers that there may be something to do. If nobody hears, they look by themselves."""

import logging
from typing import Final

from celery import current_app

logger = logging.getLogger(__name__)

# By its name: the task stands on what wakes it.
TASK: Final = "downloads.tasks.work"


def workers() -> None:
    """Wake a worker. Whatever the broker does, what is written down stays written down."""
    try:
        # Not tried again: somebody waits for the answer, and the worker looks every 15 s.
        current_app.send_task(TASK, retry=False)
    except Exception as error:  # whatever the broker's library raises
        logger.warning("the worker could not be told of a download; it will find out: %s", error)
