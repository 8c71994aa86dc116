"""Which headers pass the gateway, each way. Only what is named here reaches ComfyUI."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from accounts.credentials import COOKIE_NAME

RawHeaders = Sequence[tuple[bytes, bytes]]

# A list of what passes, not of what does not: a credential that somebody invents tomorrow
# stays out. Absent on purpose: Host, Origin, Referer, Cookie, Authorization, Comfy-User,
# Forwarded and X-Forwarded-*, Sec-*, Expect, Connection and the other hop-by-hop ones.
_TO_UPSTREAM: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"cache-control",
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-type",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"pragma",
        b"range",
        b"user-agent",
    }
)

# RFC 9110 section 7.6.1, and what only makes sense from the server the client talks to.
_NOT_TO_CLIENT: Final = frozenset(
    {
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"access-control-max-age",
        b"alt-svc",
        b"clear-site-data",
        b"connection",
        b"date",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"server",
        b"strict-transport-security",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"www-authenticate",
    }
)
_OWN_COOKIES: Final = (COOKIE_NAME.encode(), b"mss_")


def to_upstream(headers: RawHeaders, *, body: bool = True) -> list[tuple[str, str]]:
    """The client's headers that ComfyUI may see. Without a `body`, those about one go too."""
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name in _TO_UPSTREAM and (body or not name.startswith(b"content-"))
    ]


def to_client(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """ComfyUI's headers that the client may see, repeated ones kept, names in lower case.

    A cookie by which ComfyUI (a custom node) would replace ours does not pass.
    """
    lowered = [(name.lower(), value) for name, value in headers]
    return [
        (name, value)
        for name, value in lowered
        if name not in _NOT_TO_CLIENT and not (name == b"set-cookie" and _is_own_cookie(value))
    ]


def _is_own_cookie(value: bytes) -> bool:
    # A cookie without a name (`=jwt_token=x`) is sent back as `jwt_token=x`.
    return value.lstrip(b"= \t").startswith(_OWN_COOKIES)


# Types that a browser shows without running anything of theirs.
_INLINE: Final = re.compile(
    rb"(?:(?:image|video|audio)/(?!svg)[\w.+-]+(?<!xml)|text/plain|application/json)\s*(?:;.*)?",
    re.IGNORECASE | re.DOTALL,
)


def for_user_content(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers of an answer whose bytes a user supplied: never sniffed, never cached by
    others, and anything a browser could run comes as an attachment in a sandbox."""
    kept = [
        (name, value)
        for name, value in headers
        if name not in (b"cache-control", b"x-content-type-options", b"content-security-policy")
    ]
    kept += [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"private")]
    # Of several types a browser takes the last it understands: one of them is enough to refuse.
    types = [value.strip() for name, value in kept if name == b"content-type"]
    if len(types) != 1 or b"," in types[0] or not _INLINE.fullmatch(types[0]):
        kept = [_as_attachment(name, value) for name, value in kept]
        if not any(name == b"content-disposition" for name, _ in kept):
            kept.append((b"content-disposition", b"attachment"))
        kept.append((b"content-security-policy", b"sandbox; default-src 'none'"))
    return kept


def _as_attachment(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name != b"content-disposition":
        return name, value
    parameters = value.partition(b";")[2] if b";" in value else b""
    if value.lstrip().lower().startswith(b"filename"):
        parameters = value  # ComfyUI sends `filename="…"` without a disposition type
    return name, b"attachment" + (b";" + parameters if parameters else b"")
