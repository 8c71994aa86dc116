"""Which encoding of a body a client gets (RFC 9110, 12.5.3), and which bodies gain by one."""

import re
from typing import Final

# Best first, of those that are about as good to the client.
OFFERED: Final = ("br", "gzip")
# Smaller ones gain nothing.
MIN_BYTES: Final = 512
_TEXT: Final = re.compile(
    rb"(?:text/.+|application/(?:.+\+)?(?:javascript|json|xml|wasm|manifest)(?:\+json)?"
    rb"|application/vnd\.ms-fontobject|image/svg\+xml|font/(?:ttf|otf))\s*(?:;.*)?",
    re.IGNORECASE,
)
_QUALITY: Final = re.compile(r"q\s*=\s*(\d(?:\.\d{0,3})?)", re.IGNORECASE)
_MAX_CHARS: Final = 1000


def is_compressible(content_type: bytes) -> bool:
    """Whether a body of that type is text of some kind: pictures, sound and web fonts are
    compressed already."""
    return _TEXT.fullmatch(content_type.strip()) is not None


def chosen(accept_encoding: str) -> str:
    """The encoding for a client that sends this `Accept-Encoding`: one of OFFERED, or empty for
    the body as it is."""
    qualities: dict[str, float] = {}
    for item in accept_encoding[:_MAX_CHARS].split(","):
        name, _, parameter = item.partition(";")
        found = _QUALITY.search(parameter)
        qualities.setdefault(name.strip().lower(), float(found[1]) if found else 1.0)
    anything = qualities.get("*", 0.0)
    best = max(OFFERED, key=lambda name: qualities.get(name, anything))
    return best if qualities.get(best, anything) > 0 else ""
