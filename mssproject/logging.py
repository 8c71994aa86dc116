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
      (?P<named>\b\w*token=)[^&;\s"']+  # in a query or a cookie
    | (?P<header>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}
    | (?P<path>/t/)[^/\s"']+
    | mss_[A-Za-z0-9_-]{20,}
    # A JWT, with whatever stands before it. Begun only where a word begins and never given
    # back: a search that starts at every `eyJ` takes seconds for 60 kB of them.
    | (?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]*?eyJ)
      [A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++
    """
)


def scrub(text: str) -> str:
    """`text` with whatever looks like a token replaced by ***."""
    return _SECRETS.sub(
        lambda match: next((part for part in match.groups() if part), "") + "***", text
    )


# A client's line breaks must not look like lines of ours, nor its escapes reach a terminal.
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


class GatewayFormatter(logging.Formatter):
    """Adds the request id, keeps a message on its one line, and scrubs what comes out,
    traceback included."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return scrub(super().formatMessage(record)).translate(_CONTROLS)

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get()
        return scrub(super().format(record))


def refused_handshakes(record: logging.LogRecord) -> bool:
    """Whether a line is another one than uvicorn's about a WebSocket that was refused by an HTTP
    answer: its sansio implementation (0.54.0) takes that for an application that forgot to answer.
    A page whose login is over would leave three such lines a second."""
    return record.getMessage() != "ASGI callable returned without completing handshake."


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
        "filters": {"handshakes": {"()": lambda: refused_handshakes}},
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
            )
        }
        | {"uvicorn.error": {"level": "WARNING", "filters": ["handshakes"]}}
        # The entry logs every refusal itself, of a broken form too.
        # Failed logins are rows of the audit log; axes would name their users here too.
        | {name: {"level": "CRITICAL"} for name in ("django.request", "python_multipart", "axes")},
    }
