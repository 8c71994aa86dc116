"""Passwords that came with an import from MSS-Login or Usgromana: bcrypt, of what they made of
what was typed.

Both products sent every form field through a sanitizer before they hashed it, so for most passwords
with a special character the hash is one of the sanitized text; later releases of MSS-Login hash
what was typed (Monster-Spawned-Studios/ComfyUI-MSS-Login, utils/sanitizer.py
`apply_legacy_xss_sanitize`, utils/users_db.py `check_username_password`; DayMan84/ComfyUI-Usgromana
1.8.1, utils/sanitizer.py). Nothing in the hash says which it was, so both are tried.

The first login that succeeds stores an Argon2 hash instead, as Django does for every hasher but
the first of PASSWORD_HASHERS.
"""

import hmac
import re
import unicodedata
from typing import Any, Final

import bcrypt
from django.contrib.auth.hashers import BCryptPasswordHasher

# The products use 12. Each step doubles the time of a check, and whoever is unknown has to wait as
# long as those whose hash is of the highest cost.
MAX_COST: Final = 13
ALGORITHM: Final = "mss_bcrypt"
# What the password of such a user begins with in the database, and where the cost's two digits are.
PREFIX: Final = f"{ALGORITHM}$"
COST_AT: Final = len(f"{PREFIX}$2b$")
_HASH: Final = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")
# bcrypt takes no more of a password. The library's version 5 refuses what is longer; those before
# it, which made the hashes, cut it off.
_MAX_BYTES: Final = 72
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
# What the sanitizer made of single characters: HTML entities first, then a backslash before some of
# them, then three signs were dropped, the entities' own among them.
_SANITIZED: Final = str.maketrans(
    {
        "&": "amp\\",
        "<": "lt\\",
        ">": "gt\\",
        '"': "quot\\",
        "'": "#x27\\",
        ";": "\\",
        "`": "\\",
        "|": "",
        "\r": "",
        "\n": "",
        **{sign: f"\\{sign}" for sign in "-()="},
    }
)
_DROPPED: Final = tuple(
    re.compile(re.escape(text), re.IGNORECASE)
    for text in ("javascript:", "vbscript:", "data:text/html", "data:image")
)


class ImportedBcryptHasher(BCryptPasswordHasher):
    """Checks imported hashes; makes none."""

    algorithm = ALGORITHM

    def verify(self, password: str, encoded: str) -> bool:
        wanted = encoded.removeprefix(PREFIX).encode()
        # All of them: the time must not tell which one it was.
        matches = [
            hmac.compare_digest(_hashed(text, wanted), wanted) for text in spellings(password)
        ]
        return any(matches)

    def harden_runtime(self, password: str, encoded: str) -> None:
        """`accounts.backends` evens out the time, across hashers too."""


def encoded(bcrypt_hash: Any) -> str | None:
    """What to store as the password of a user whose former hash this is; None: it is no bcrypt
    hash, or checking it would take too long."""
    found = _HASH.fullmatch(bcrypt_hash) if isinstance(bcrypt_hash, str) else None
    if found is None or not 4 <= int(found["cost"]) <= MAX_COST:
        return None
    return PREFIX + bcrypt_hash


def cost_of(stored: str) -> int | None:
    """The cost of a stored password; None: it is no imported one."""
    found = _HASH.fullmatch(stored.removeprefix(PREFIX)) if stored.startswith(PREFIX) else None
    return None if found is None else int(found["cost"])


def spellings(password: str) -> list[str]:
    """What may have been hashed when somebody typed this. How many depends on nothing else."""
    return list(dict.fromkeys([_CONTROL.sub("", password), sanitized(password)]))


def sanitized(password: str) -> str:
    """What the products' sanitizer made of a form field of printable characters."""
    text = unicodedata.normalize("NFC", password.strip()).translate(_SANITIZED)
    for dropped in _DROPPED:
        text = dropped.sub("", text)
    return text


def spend(password: str, cost: int, checked: int | None) -> None:
    """Take as long as checking `password` against a hash of that cost; or as long as is missing
    from it after a check against one of the cost `checked`."""
    # 2^n + 2^n + 2^(n+1) + … up to half of 2^cost is 2^cost.
    rounds = [cost] if checked is None else range(checked, cost)
    for text in spellings(password):
        for each in rounds:
            _hashed(text, bcrypt.gensalt(each))


def _hashed(text: str, salt: bytes) -> bytes:
    return bcrypt.hashpw(text.encode("utf-8", "surrogatepass")[:_MAX_BYTES], salt)
