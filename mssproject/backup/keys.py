"""The secret key: whether it goes into a backup; whether the one in force reads what is in it."""

from pathlib import Path
from typing import Final

from django.conf import settings

from accounts import crypto
from mssproject import secretkey
from mssproject.backup.errors import BackupError
from mssproject.backup.manifest import Key

_KNOWN_TEXT: Final = "backup"


def file() -> Path:
    """Where the key is kept if the environment gives none."""
    return Path(settings.MSS_DATA_DIR) / secretkey.FILE_NAME


def from_environment() -> bool:
    """Whether SECRET_KEY is set."""
    return settings.ENV.secret_key is not None


def described(*, left_out: bool) -> Key:
    """What a backup made now says about its key. `left_out`: the operator wants it so."""
    kept = "environment" if from_environment() else "left out" if left_out else "file"
    return Key(
        kept=kept,  # type: ignore[arg-type]
        check=crypto.encrypt(_KNOWN_TEXT),
        fallbacks=len(settings.SECRET_KEY_FALLBACKS),
    )


def comes_with(key: Key) -> bool:
    """Whether the backup's own key will be in force after it was restored here."""
    return key.kept == "file" and not from_environment()


def require_fit(key: Key) -> None:
    """Raises:
    BackupError: under the key that will be in force nobody could read the backup's secrets
    """
    if comes_with(key):
        return
    try:
        crypto.decrypt(key.check)
    except crypto.DecryptionError:
        where = {
            "file": "Unset SECRET_KEY: the backup brings its own. Or set it to what is in the "
            "backup's keys/secret_key",
            "environment": "Set SECRET_KEY to what it was when the backup was made",
            "left out": f"Set SECRET_KEY to the key of the backup's gateway, or put its {file()} "
            "here",
        }[key.kept]
        raise BackupError(
            "The backup was made under another SECRET_KEY than the one in force here, so all "
            f"logins would end and no authenticator app could be checked. {where}, or add that "
            "key to SECRET_KEY_FALLBACKS. If it is lost for good, go on with --other-key."
        ) from None
