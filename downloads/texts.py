"""Texts of sites, made fit for a database, JSON and a page. Pure."""

import math
import re
from typing import Any, Final

# NUL is no text to PostgreSQL, half a pair none to UTF-8.
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def clean(text: str) -> str:
    """Without control characters and halves of pairs; a space stands for them."""
    return _UNFIT.sub(" ", text)


def cleaned(value: Any) -> Any:
    """Parsed JSON with clean texts in it, and null for numbers that JSON does not have.

    Raises:
        RecursionError: nested too deeply
    """
    match value:
        case str():
            return clean(value)
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [cleaned(entry) for entry in value]
        case dict():
            return {clean(name): cleaned(entry) for name, entry in value.items()}
        case _:
            return value
