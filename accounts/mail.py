"""The mails that carry links. A mail that cannot be sent is no error: the link is shown too."""

import logging
from smtplib import SMTPException
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.template.loader import render_to_string

from accounts import languages
from accounts.models import AccountLink
from accounts.telling import told

logger = logging.getLogger(__name__)

# What smtplib, sockets and Django raise when a mail does not go: an address that no header can
# hold is a ValueError.
_FAILURES: Final = (SMTPException, OSError, ValueError)


def origin(request: HttpRequest) -> str:
    """Where this request reached us, as links begin: `https://gateway.example`."""
    return f"{request.scheme}://{request.get_host()}"


def is_on() -> bool:
    """Whether there is a mail server to send by."""
    return bool(settings.MSS_MAIL)


def can_be_asked(request: HttpRequest) -> bool:
    """Whether somebody who is not logged in may have a link mailed, which leads to the host
    they name: only to one that MSS_ALLOWED_HOSTS names itself. A pattern would let them have
    our mail lead to a host of theirs, and so would a port on which something else listens."""
    domain, port = split_domain_port(request.get_host())
    if port not in ("", str(settings.MSS_PORT)):
        return False
    return is_on() and domain in map(str.lower, settings.ALLOWED_HOSTS)


def send_invitation(link: AccountLink, url: str) -> bool:
    """Mail an invitation to its address, in the language of who invites; whether that worked."""
    assert link.role is not None
    with languages.spoken(link.created_by.language if link.created_by else ""):
        return _send(link, "invitation", url, role=told(link.role.title))


def send_password_link(link: AccountLink, url: str) -> bool:
    """Mail a password link to the address of its account; whether that worked."""
    assert link.user is not None
    with languages.spoken(link.user.language):
        return _send(link, "password", url, username=link.user.username)


def _send(link: AccountLink, template: str, url: str, **context: Any) -> bool:
    if not is_on() or not link.email:
        return False
    context |= {"url": url, "host": urlsplit(url).netloc, "expires_at": link.expires_at}
    text = render_to_string(f"accounts/mail/{template}.txt", context)
    subject, _, body = text.partition("\n")
    try:
        EmailMessage(subject, body.lstrip("\n"), to=[link.email]).send()
    except _FAILURES as error:
        # Not its text: a server may quote the mail it refuses, and in it the link.
        code = getattr(error, "smtp_code", "")
        logger.warning("a mail could not be sent: %s %s", type(error).__name__, code)
        return False
    return True
