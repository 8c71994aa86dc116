"""What the downloading worker does."""

import logging

from celery import shared_task
from celery.signals import worker_shutting_down

from downloads import lease, parts, queue, runner

logger = logging.getLogger(__name__)


@shared_task(ignore_result=True)
def work() -> None:
    """Run downloads until there is none that may be begun."""
    number = runner.run_all()
    if number:
        logger.info("ran %d downloads", number)


@shared_task(ignore_result=True)
def remove_old_parts() -> None:
    """Delete what failed and cancelled downloads left on the disk, and forget old ones."""
    forgotten = queue.forget_old()
    if forgotten:
        logger.info("forgot %d downloads that ended long ago", forgotten)
    removed = parts.remove_old()
    if removed:
        logger.info("removed %d parts of downloads", removed)


@worker_shutting_down.connect
def _stop(**kwargs: object) -> None:
    lease.stop()
