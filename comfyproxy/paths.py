"""One canonical form for every request path: what is judged is what is sent.

ComfyUI's server (aiohttp) percent-decodes a path once, then matches whole segments and
resolves nothing: `//prompt`, `/prompt/` and `/PROMPT` are not `/prompt`. Here the raw path
becomes decoded segments once; the policy judges these, and the upstream path is rebuilt
from them and from nothing else.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from accounts.errors import BadPath, NotFound

MAX_PATH_BYTES: Final = 8192
API_PREFIX: Final = "api"
# Of paths up to this length the newest are remembered: each is asked for twice a request.
_SHORT_BYTES: Final = 200

_BAD_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Still encoded after one decoding, however often: another decoder somewhere would see a
# separator, a dot or a control character.
_DOUBLE_ENCODED: Final = re.compile(
    r"%(?:25)*(?:2f|2e|5c|7f|[01][0-9a-f])", re.IGNORECASE | re.ASCII
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


@dataclass(frozen=True, slots=True)
class CanonicalPath:
    """A path as decoded segments, the `/api` prefix taken off and remembered.

    A segment may hold a `/` that came percent-encoded; only a route whose line says so
    accepts that. `trailing_slash` is never part of a ComfyUI route.
    """

    segments: tuple[str, ...]
    api: bool = False
    trailing_slash: bool = False

    def __str__(self) -> str:
        return "/" + "/".join(self.segments)


def canonical(raw: bytes) -> CanonicalPath:
    """Decode the raw path of a request line (without the query).

    Raises:
        BadPath: cannot be made canonical: dot segments, back-slashes, control characters,
            broken or doubled percent-encoding, invalid UTF-8, too long
        NotFound: well-formed, but no server has such a route: empty segments, a doubled
            or differently cased `/api`
    """
    return _short(raw) if len(raw) <= _SHORT_BYTES else _canonical(raw)


def _canonical(raw: bytes) -> CanonicalPath:
    if not raw.startswith(b"/") or len(raw) > MAX_PATH_BYTES or _BAD_PERCENT.search(raw):
        raise BadPath
    parts = [_decoded(part) for part in raw[1:].split(b"/")]
    trailing_slash = parts[-1] == ""
    if trailing_slash:
        parts.pop()
    if "" in parts:
        raise NotFound
    api = bool(parts) and parts[0] == API_PREFIX
    if api:
        if len(parts) == 1 and not trailing_slash:
            raise NotFound  # ComfyUI knows `/api/` but not `/api`
        parts = parts[1:]
    # What follows must not turn into another route when the prefix is put back.
    if parts and parts[0].casefold() == API_PREFIX:
        raise NotFound
    return CanonicalPath(tuple(parts), api, trailing_slash and bool(parts))


_short = lru_cache(maxsize=4096)(_canonical)


def _decoded(part: bytes) -> str:
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise BadPath from None
    if _CONTROL.search(text) or _DOUBLE_ENCODED.search(text):
        raise BadPath
    if any(piece in (".", "..") for piece in text.split("/")):
        raise BadPath
    return text


def upstream_path(path: CanonicalPath, *, api: bool) -> str:
    """The one spelling that is sent: every segment encoded anew, `/api` in front or not."""
    prefix = f"/{API_PREFIX}" if api else ""
    return prefix + "/" + "/".join(quote(segment, safe="") for segment in path.segments)
