"""Housekeeping of accounts and their mails, run by the worker."""

import logging

from celery import shared_task

from accounts import audit, jobs, languages, links, lockout, mail, proofs

logger = logging.getLogger(__name__)


@shared_task
def remove_stale() -> None:
    """Delete sessions, tokens and begun logins that ended long ago."""
    removed = proofs.remove_stale()
    if removed:
        logger.info("removed %d sessions, tokens, links and begun logins that had ended", removed)


@shared_task
def forget_old() -> None:
    """Delete what the audit log, and the count of wrong passwords, need not know any more."""
    rows, failures = audit.forget_old(), lockout.forget_old()
    if rows or failures:
        logger.info("forgot %d rows of the audit log, %d of failed logins", rows, failures)


@shared_task
def run_jobs() -> None:
    """Do the long work that administrators asked for."""
    ended = jobs.end_silent()
    number, forgotten = jobs.run_all(), jobs.forget_old()
    if ended or number or forgotten:
        logger.info("did %d jobs, ended %d dead, forgot %d old ones", number, ended, forgotten)


@shared_task
def mail_forgotten_password(
    name: str, origin: str, ip: str | None, language: str | None = None
) -> None:
    """Mail a password link to whoever this user name or e-mail address belongs to. `language`:
    of who asks, for somebody who has chosen none."""
    with languages.spoken(language or ""):
        _mail_forgotten_password(name, origin, ip)


def _mail_forgotten_password(name: str, origin: str, ip: str | None) -> None:
    for user in links.may_have_forgotten(name):
        made = links.forgotten_password_link(user, ip=ip)
        if made is None:
            continue
        link, token = made
        if not mail.send_password_link(link, links.address(origin, link, token)):
            links.unsent(link)
