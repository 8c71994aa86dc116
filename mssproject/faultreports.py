"""Reports unexpected errors to Sentry, if SENTRY_DSN says where; the package is optional.

What is reported is what is logged as an error: the line, its traceback without local variables,
and the id of its request. No request, header, cookie, body or user name goes along.
https://docs.sentry.io/platforms/python/
"""

import importlib.util
import logging
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from accounts.requestnotes import current
from mssproject.logging import scrub


def is_installed() -> bool:
    return importlib.util.find_spec("sentry_sdk") is not None


def start() -> None:
    """From now on, in this process."""
    if settings.SENTRY_DSN is None or not is_installed():
        return
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        # Every unexpected error is logged where it is turned into an answer: one report of each,
        # and nothing reads requests.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            # At the end what waits is sent, for 2 s at most; it is not told on the terminal.
            AtexitIntegration(callback=lambda pending, timeout: None),
            DedupeIntegration(),
        ],
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        auto_session_tracking=False,
        max_breadcrumbs=0,
        before_send=_freed_of_secrets,
    )


def _freed_of_secrets(event: Any, hint: Any) -> Any:
    notes = current()
    event.pop("request", None)
    tags = dict(event.get("tags") or ())
    event["tags"] = {**tags, "request_id": notes.id, "lane": notes.lane}
    if notes.user_id is not None:
        event["user"] = {"id": str(notes.user_id)}
    return _scrubbed(event)


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: _scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in value]
    return value


@register
def can_report(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """An address without the package that speaks to it would report nothing, silently."""
    if settings.SENTRY_DSN is None or is_installed():
        return []
    return [
        Error(
            "SENTRY_DSN is set, but sentry-sdk is not installed.",
            hint="pip install -r requirements-sentry.txt",
            id="mssproject.E001",
        )
    ]
