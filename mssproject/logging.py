"""Log lines: time, level, request id, message; no token ever.

Tokens are kept out at the source (nothing logs a query string or a header); the filter
here is the second line, for what libraries print of a URL.
"""

import logging
import re
from contextvars import ContextVar
from typing import Any, Final

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_SECRETS: Final = re.compile(
    r"""(?ix)
      (?P<query>[?&](?:access_)?token=)[^&\s"']+
    | (?P<header>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}
    | (?P<cookie>\bjwt_token=)[^;\s"']+
    | (?P<path>/t/)[^/\s"']+
    | \bmss_[A-Za-z0-9_-]{20,}
    | \beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+
    """
)


def scrub(text: str) -> str:
    """`text` with whatever looks like a token replaced by ***."""
    return _SECRETS.sub(
        lambda match: next((part for part in match.groups() if part), "") + "***", text
    )


class GatewayFormatter(logging.Formatter):
    """Adds the request id and scrubs the finished line, traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get()
        return scrub(super().format(record))


def config(level: str) -> dict[str, Any]:
    """A dictConfig for web, worker and commands alike."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": GatewayFormatter,
                "format": "%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s",
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Libraries speak up only when something is wrong.
            name: {"level": "WARNING"}
            for name in (
                "asyncio",
                "aiohttp",
                "daphne",
                "urllib3",
                "django.channels",
                "kombu",
                "uvicorn.error",
            )
        }
        | {"django.request": {"level": "CRITICAL"}},  # the entry logs every refusal itself
    }
