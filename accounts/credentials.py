"""Where a token is found in a request, and where a cookie may be believed. API.md section 1."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from accounts.errors import CrossOrigin, TokenInvalid

RawHeaders = Sequence[tuple[bytes, bytes]]

COOKIE_NAME: Final = "jwt_token"
QUERY_NAMES: Final = frozenset({"token", "access_token"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# In this header the entry passes on the token of `/t/<token>/…`. No client can send one of
# that name: it ends at the colon. For its underscore Django leaves it out of `request.META`.
PATH_TOKEN: Final = b"mss:path_token"
# Longer than any token we issue; bounds what a guess can cost.
MAX_TOKEN_CHARS: Final = 4096


class Place(Enum):
    """Which channel carried the token, in order of precedence."""

    PATH = auto()
    HEADER = auto()
    BASIC = auto()
    QUERY = auto()
    COOKIE = auto()


@dataclass(frozen=True, slots=True)
class Credential:
    """A token as sent, not yet verified."""

    token: str
    place: Place

    def __repr__(self) -> str:
        return f"Credential({self.place.name})"  # a token never reaches a log by accident


def find_credential(
    headers: RawHeaders, query: bytes = b"", *, query_allowed: bool = False
) -> Credential | None:
    """The one token that counts: header or path, then query (if allowed here), then cookie.

    `headers` are raw ASGI headers (lower-case names). Returns None if there is no token.

    Raises:
        TokenInvalid: a malformed or repeated Authorization header, or one beside a token in
            the path. A bad token in a higher place never falls through to a lower one.
    """
    authorization = [value for name, value in headers if name == b"authorization"]
    in_path = header(headers, PATH_TOKEN)
    if in_path is not None:
        if authorization:
            raise TokenInvalid("Send one token: in the address or in a header, not in both.")
        return Credential(_bounded(in_path), Place.PATH)
    if authorization:
        if len(authorization) > 1:
            raise TokenInvalid("Send one Authorization header, not several.")
        return _from_header(authorization[0])
    if query_allowed and (b"token" in query or b"%" in query):
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if name in QUERY_NAMES:
                return Credential(_bounded(value), Place.QUERY)
    token = cookie(headers, COOKIE_NAME)
    return Credential(_bounded(token), Place.COOKIE) if token else None


def _from_header(value: bytes) -> Credential:
    scheme, _, rest = value.decode("latin-1").strip().partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer":
            return Credential(_bounded(rest), Place.HEADER)
        case "basic":
            return Credential(_bounded(_basic_password(rest)), Place.BASIC)
        case _:
            raise TokenInvalid("Send the token as “Authorization: Bearer <token>”.")


def _basic_password(encoded: str) -> str:
    """RFC 7617: base64 of `user:password`. The user name is not looked at."""
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise TokenInvalid from None
    _, colon, password = pair.partition(":")
    if not colon:
        raise TokenInvalid
    return password


def _bounded(token: str) -> str:
    if not token or len(token) > MAX_TOKEN_CHARS or not token.isascii() or not token.isprintable():
        raise TokenInvalid
    return token


def cookie(headers: RawHeaders, name: str) -> str | None:
    """The first cookie of that name. Other programs on this host set cookies too, some of them
    malformed; a parser that gives up at one of those would lock its owner out here."""
    for header_name, value in headers:
        if header_name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, text = pair.partition("=")
                if key.strip() == name and (found := text.strip().strip('"')):
                    return found
    return None


def header(headers: RawHeaders, name: bytes) -> str | None:
    """The first header of that (lower-case) name, as text."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None


def check_same_origin(
    headers: RawHeaders, *, scheme: str, method: str, websocket: bool = False
) -> None:
    """Refuse what another site's page sends with this browser's cookie.

    `Sec-Fetch-Site` decides where the browser sends it, else `Origin` against the scheme and
    host of this request; with neither, an unsafe request or a socket is refused.

    Raises:
        CrossOrigin
    """
    if method in SAFE_METHODS and not websocket:
        return
    site = header(headers, b"sec-fetch-site")
    if site is not None:
        # `none` is the person's own doing: an address typed, a bookmark.
        if site not in ("same-origin", "none"):
            raise CrossOrigin
        return
    origin = header(headers, b"origin")
    if origin is None or not is_own_origin(origin, headers, scheme):
        raise CrossOrigin


def check_login_origin(headers: RawHeaders, *, scheme: str) -> None:
    """Refuse a login that another site's page sends (login CSRF); scripts send neither header."""
    if header(headers, b"sec-fetch-site") or header(headers, b"origin"):
        check_same_origin(headers, scheme=scheme, method="POST")


def is_own_origin(origin: str, headers: RawHeaders, scheme: str) -> bool:
    """Whether `origin` is this request's own scheme, host and port."""
    try:
        url = urlsplit(origin)
    except ValueError:
        return False
    host = header(headers, b"host") or ""
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    return url.scheme == scheme and _with_port(url.netloc, scheme) == _with_port(host, scheme)


def _with_port(host: str, scheme: str) -> str:
    default = {"http": "80", "https": "443"}.get(scheme, "")
    bare = host.lower()
    has_port = bare.rpartition(":")[2].isdigit() and not bare.endswith("]")
    return bare if has_port else f"{bare}:{default}"


def without_tokens(query: bytes) -> bytes:
    """The query string with every token parameter cut out, all else byte for byte.

    A name counts as the upstream would read it: percent-decoded, `+` as space.
    """
    if b"token" not in query.lower() and b"%" not in query:
        return query
    return b"&".join(_non_tokens(query.split(b"&")))


def _non_tokens(parts: Iterable[bytes]) -> Iterable[bytes]:
    for part in parts:
        names = [name for name, _ in parse_qsl(part.decode("latin-1"), keep_blank_values=True)]
        if not any(name.strip().lower() in QUERY_NAMES for name in names):
            yield part
