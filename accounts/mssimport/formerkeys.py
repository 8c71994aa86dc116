"""The former installation's SECRET_KEY, and what it opens: second factors, sites' keys, databases.

MSS-Login, utils/encryption.py and utils/db_key_derivation.py: Fernet under HKDF-SHA256 of the key
for single values, SQLCipher under Argon2id of it for the file. Where no key was set, one made up
at the start was kept in data/.ephemeral_secret_key (constants.py).
"""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from argon2.low_level import Type, hash_secret_raw
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from dotenv import dotenv_values

from accounts.mssimport.folder import Folder, Unreadable

ENV_FILE: Final = ".env"
MADE_UP: Final = "data/.ephemeral_secret_key"
MAX_BYTES: Final = 64 * 1024
_INFO: Final = b"mss-login-users-totp-v1"
_SALT: Final = b"mss-login-db-key-v1"
# time, memory in KiB, parallelism
LEVELS: Final = {"secure": (5, 262144, 2), "standard": (3, 65536, 4), "low": (2, 65536, 1)}
_LEVEL_NAMES: Final = {"high": "secure", "medium": "standard"}


class FormerKeys:
    """The keys that it may have been, the likeliest first. They appear in no text of this."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = list(dict.fromkeys(key for key in keys if key))
        self._fernets: list[Fernet] | None = None

    def __bool__(self) -> bool:
        return bool(self._keys)

    def decrypt(self, value: Any) -> str | None:
        """The text that was encrypted; None: under none of these keys."""
        if not isinstance(value, str) or not value.isascii():
            return None
        if self._fernets is None:
            self._fernets = [_fernet(key) for key in self._keys]
        for fernet in self._fernets:
            try:
                return fernet.decrypt(value.encode()).decode()
            except (InvalidToken, UnicodeDecodeError):
                continue
        return None

    def of_database(self, level: Any) -> list[tuple[str, str]]:
        """(key, level) to try a database with, as `database_key` takes them, that level first."""
        named = str(level).strip().lower()
        first = _LEVEL_NAMES.get(named, named)
        levels = sorted(LEVELS, key=lambda each: each != first)
        return [(key, each) for key in self._keys for each in levels]


def find(folder: Folder, config: Mapping[str, Any], given: Path | None) -> FormerKeys:
    """The key from `given`, a file that holds nothing else, and those that lie in the folder.

    Raises:
        Unreadable: `given` cannot be read
    """
    keys = [] if given is None else [_from_file(given)]
    variable = config.get("secret_key_env")
    name = variable if isinstance(variable, str) else "SECRET_KEY"
    try:
        text = folder.read(ENV_FILE, MAX_BYTES).decode() if folder.has(ENV_FILE) else ""
        keys.append(dotenv_values(stream=io.StringIO(text), interpolate=False).get(name) or "")
    except (Unreadable, UnicodeDecodeError):
        pass  # without it, what needs it is said to need it
    if folder.has(MADE_UP):
        keys.append(folder.read(MADE_UP, MAX_BYTES).decode("utf-8", "replace"))
    return FormerKeys([key.strip() for key in keys])


def database_key(key: str, level: str) -> str:
    """The raw key of an SQLCipher database, in hex."""
    time_cost, memory_cost, parallelism = LEVELS[level]
    raw = hash_secret_raw(
        secret=key.encode(),
        salt=_SALT + level.encode(),
        time_cost=time_cost,
        memory_cost=memory_cost,
        parallelism=parallelism,
        hash_len=32,
        type=Type.ID,
    )
    return raw.hex()


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode().strip()
    except (OSError, UnicodeDecodeError):
        raise Unreadable(f"{path} cannot be read as text.") from None
    if not text or len(content) > MAX_BYTES:
        raise Unreadable(f"{path} must hold the former SECRET_KEY and nothing else.")
    return text


def _fernet(key: str) -> Fernet:
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_INFO)
    return Fernet(base64.urlsafe_b64encode(derived.derive(key.encode())))
