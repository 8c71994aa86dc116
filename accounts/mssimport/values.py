"""Single values of a former installation, which may be anything: as what they should be, or not
at all. Pure."""

import re
from datetime import UTC, datetime
from typing import Any, Final

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def label(value: Any, limit: int) -> str:
    """A text for people, without what would be more than text, and so long at most."""
    return _CONTROL.sub("", text(value) or "").strip()[:limit]


def is_sha256(value: Any) -> bool:
    """In hex, as Python writes it."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def is_set(value: Any) -> bool:
    """True or 1. A text is neither, whatever it says."""
    return isinstance(value, int) and value == 1


def iso_time(value: Any) -> datetime | None:
    """A time that says of which zone it is."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if found is None or found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def moment(value: Any) -> datetime | None:
    """Seconds since the epoch; nothing for 0, which stands for unknown."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value:
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
