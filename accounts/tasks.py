"""Housekeeping of accounts, run by the worker."""

import logging

from celery import shared_task

from accounts import audit, lockout, services

logger = logging.getLogger(__name__)


@shared_task
def remove_stale() -> None:
    """Delete sessions, tokens and begun logins that ended long ago."""
    removed = services.remove_stale()
    if removed:
        logger.info("removed %d sessions, tokens and begun logins that had ended", removed)


@shared_task
def forget_old() -> None:
    """Delete what the audit log, and the count of wrong passwords, need not know any more."""
    rows, failures = audit.forget_old(), lockout.forget_old()
    if rows or failures:
        logger.info("forgot %d rows of the audit log, %d of failed logins", rows, failures)
