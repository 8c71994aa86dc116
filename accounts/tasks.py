"""Housekeeping of accounts, run by the worker."""

import logging

from celery import shared_task

from accounts import services

logger = logging.getLogger(__name__)


@shared_task
def remove_stale() -> None:
    """Delete sessions and tokens that ended long ago."""
    removed = services.remove_stale()
    if removed:
        logger.info("removed %d sessions and tokens that had ended", removed)
