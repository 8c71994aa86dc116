"""Encrypt small secrets at rest, under a key derived from SECRET_KEY.

A value is `v1:` and a Fernet token (AES-128-CBC with HMAC-SHA256, `cryptography`). To change
SECRET_KEY, set the new one, put the old one into SECRET_KEY_FALLBACKS, and run
`manage.py rotate_secrets`; afterwards the old one can go.
"""

import base64
from functools import cache
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

VERSION: Final = "v1"


class DecryptionError(Exception):
    """The value was encrypted under a key that is not known any more, or was altered."""


@cache
def _fernet(key: str) -> Fernet:
    derived = HKDF(
        algorithm=hashes.SHA256(), length=32, salt=None, info=b"mss-login secrets at rest v1"
    ).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def _keys() -> MultiFernet:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet([_fernet(key) for key in keys])


def encrypt(text: str) -> str:
    """`text` under the current key."""
    return f"{VERSION}:{_keys().encrypt(text.encode()).decode()}"


def decrypt(value: str) -> str:
    """What `encrypt` was given.

    Raises:
        DecryptionError
    """
    version, _, token = value.partition(":")
    if version != VERSION:
        raise DecryptionError(f"unknown version {version[:8]!r}")
    try:
        return _keys().decrypt(token.encode()).decode()
    except InvalidToken:
        raise DecryptionError("encrypted under an unknown key") from None


def rotated(value: str) -> str:
    """The same secret under the current key.

    Raises:
        DecryptionError
    """
    return encrypt(decrypt(value))
