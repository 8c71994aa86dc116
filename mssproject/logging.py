"""Log lines: time, level, request id, user id, message; no token ever. For people, or as JSON.

Tokens are kept out at the source (nothing logs a query string or a header); the scrubber
here is the second line, for what libraries print of a URL.
"""

import logging
import re
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

from accounts.requestnotes import current

_SECRETS: Final = re.compile(
    r"""(?x)
      (?P<named>(?i:\b\w*token=))[^&;\s"']+  # in a query or a cookie
    | (?P<header>(?i:\b(?:bearer|basic)\s+))[A-Za-z0-9._~+/=-]{8,}
    | (?P<path>(?i:/t/))[^/\s"']+
    | (?i:mss_)[A-Za-z0-9_-]{20,}
    # A JWT, with whatever stands before it. Begun only where a word begins and never given
    # back: a search that starts at every `eyJ` takes seconds for 60 kB of them.
    | (?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]*?(?i:eyJ))
      [A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++
    # 32 random bytes in base64url without a name of their own: the API tokens of MSS-Login's, and
    # those of links. Neither a hexadecimal digest nor a word is all of this.
    | (?<![A-Za-z0-9_-])
      (?=[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-]))
      (?=[A-Za-z0-9_-]*?[A-Z])(?=[A-Za-z0-9_-]*?[a-z])(?=[A-Za-z0-9_-]*?[0-9])
      [A-Za-z0-9_-]{43}
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
    """Adds whose request it was, keeps a message on its one line, and scrubs what comes out,
    traceback included."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return scrub(super().formatMessage(record)).translate(_CONTROLS)

    def format(self, record: logging.LogRecord) -> str:
        notes = current()
        record.request = notes.id if notes.user_id is None else f"{notes.id} user={notes.user_id}"
        return scrub(super().format(record))


class GatewayJsonFormatter(JsonFormatter):
    """The same as one JSON object a line: `time`, `level`, `logger`, `message`, `request_id`,
    `user_id` where there is one, `exc_info` for a traceback, and what a line tells beside."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        notes = current()
        log_data["request_id"] = notes.id
        if notes.user_id is not None:
            log_data["user_id"] = notes.user_id
        # Each value by itself: scrubbing the line could break its quotes.
        return {
            name: scrub(value) if isinstance(value, str) else value
            for name, value in super().process_log_record(log_data).items()
        }


FORMATTERS: Final[dict[str, dict[str, Any]]] = {
    "line": {
        "()": GatewayFormatter,
        "format": "%(asctime)s %(levelname)s [%(request)s] %(name)s: %(message)s",
    },
    "json": {"()": GatewayJsonFormatter},
}


def refused_handshakes(record: logging.LogRecord) -> bool:
    """Whether a line is another one than uvicorn's about a WebSocket that was refused by an HTTP
    answer: its sansio implementation (0.54.0) takes that for an application that forgot to answer.
    A page whose login is over would leave three such lines a second."""
    return record.getMessage() != "ASGI callable returned without completing handshake."


def config(level: str, format: str = "line") -> dict[str, Any]:
    """A dictConfig for web, worker and commands alike. `format`: `line` or `json`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": FORMATTERS,
        "filters": {"handshakes": {"()": lambda: refused_handshakes}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": format}},
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
        # What was asked for is written whatever else is not.
        | {"mssproject.access": {"level": "INFO"}}
        | {"uvicorn.error": {"level": "WARNING", "filters": ["handshakes"]}}
        # The entry logs every refusal itself, of a broken form too.
        # Failed logins are rows of the audit log; axes would name their users here too.
        | {name: {"level": "CRITICAL"} for name in ("django.request", "python_multipart", "axes")},
    }
