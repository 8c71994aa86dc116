"""Hands a task to the workers, whatever the broker does: what is to be done stands in the database,
and workers look there by themselves."""

import logging

from celery import current_app

logger = logging.getLogger(__name__)


def hand_over(task: str) -> Exception | None:
    """Tell the workers, from a thread; None, or what kept the broker from taking it. `task`: by
    its name, as tasks stand on what wakes them."""
    try:
        # Not tried again: somebody waits for the answer.
        current_app.send_task(task, retry=False)
    except Exception as error:  # whatever the broker's library raises
        logger.warning("the worker could not be told of %s; it will find out: %s", task, error)
        return error
    return None
