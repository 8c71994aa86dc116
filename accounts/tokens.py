"""Make and read tokens: session JWTs (simplejwt), opaque API tokens, those of links."""

import hashlib
import re
import secrets
from typing import Final
from uuid import UUID

from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError
from rest_framework_simplejwt.tokens import AccessToken

from accounts import errors
from accounts.models import Session

API_TOKEN_PREFIX: Final = "mss_"  # noqa: S105 - marks our tokens for people and secret scanners
API_TOKEN_BYTES: Final = 32
# Tokens that came with an import: 32 random bytes, URL-safe, without a prefix (MSS-Login's
# utils/api_token_store.py `create_token`). No JWT has that form: it has two dots.
_IMPORTED: Final = re.compile(r"[A-Za-z0-9_-]{43}")
LINK_TOKEN_PREFIX: Final = "mss_link_"  # noqa: S105 - as above


def new_api_token() -> str:
    """A fresh API token: 256 random bits, URL-safe. Keep only its `token_hash`."""
    return API_TOKEN_PREFIX + secrets.token_urlsafe(API_TOKEN_BYTES)


def new_link_token() -> str:
    """A fresh token for an invitation or a password link: 256 random bits. In hex, as mail
    programs that find addresses in a text leave out some of the other signs at their end."""
    return LINK_TOKEN_PREFIX + secrets.token_hex(API_TOKEN_BYTES)


def token_hash(token: str) -> str:
    """SHA-256 in hex. No salt: a token has 256 bits of its own."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_api_token(token: str) -> bool:
    """Whether `token` has an API token's form; anything else is taken for a JWT."""
    return token.startswith(API_TOKEN_PREFIX) or _IMPORTED.fullmatch(token) is not None


def session_jwt(session: Session) -> str:
    """The JWT of a stored session: its `jti`, its user, its expiry, nothing else."""
    token = AccessToken()
    token["jti"] = session.jti.hex
    token["user_id"] = str(session.user_id)
    token["exp"] = int(session.expires_at.timestamp())
    # When it was made is the row's to say. As a claim it would void the token wherever a clock
    # is set back: libraries refuse what was issued in the future.
    token.payload.pop("iat", None)
    return str(token)


def read_session_jwt(token: str) -> UUID:
    """The `jti` of a JWT whose signature and expiry hold. Whether the session still
    stands is for the database to say.

    Raises:
        TokenExpired, TokenInvalid
    """
    try:
        return UUID(hex=str(AccessToken(token)["jti"]))  # type: ignore[arg-type]
    except ExpiredTokenError:
        raise errors.TokenExpired from None
    except (TokenError, LookupError, TypeError, ValueError, ArithmeticError, OSError):
        # The last few are claims that are no times at all: the libraries pass on what Python
        # raises for a text, a list, or a number beyond all years.
        raise errors.TokenInvalid from None
