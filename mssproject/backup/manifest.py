"""What a backup says about itself."""

import json
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mssproject import __version__
from mssproject.backup.errors import BackupError, Damaged

PRODUCT: Final = "mss-login-django"
# What a reader has to understand. It grows when an older reader would misread a backup.
FORMAT: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Table(_Part):
    """The rows of one table, in `database/<table>.<number>.jsonl`."""

    columns: list[str]
    rows: int = Field(ge=0)
    # The last number that was given out, also to rows that are gone; none without numbers.
    last_id: int | None = None


class Files(_Part):
    """People's saved files, in `userdata/`."""

    number: int = Field(ge=0)
    size: int = Field(ge=0)


class Key(_Part):
    """Whether the secret key is in the backup, and how to recognise it."""

    # `file`: it is in it. `environment`, `left out`: it is not.
    kept: Literal["file", "environment", "left out"]
    # Something that only the key can decrypt.
    check: str
    # How many SECRET_KEY_FALLBACKS were in force.
    fallbacks: int = 0


class Manifest(_Part):
    """Everything but the members' hashes, which stand in `SHA256SUMS`."""

    format: int
    product: str
    version: str
    made_at: datetime = Field(strict=False)
    database: str
    # App → the names of its migrations that had been applied.
    migrations: dict[str, list[str]]
    tables: dict[str, Table]
    files: Files
    key: Key

    def encoded(self) -> bytes:
        return self.model_dump_json(indent=1).encode() + b"\n"


def read(data: bytes) -> Manifest:
    """The manifest in a backup.

    Raises:
        Damaged: it is none
        BackupError: a newer gateway made it
    """
    try:
        given: Any = json.loads(data)
        if given["product"] != PRODUCT:
            raise Damaged("This is the backup of another program.")
        if given["format"] > FORMAT:
            raise BackupError(
                f"This backup was made by a newer gateway ({given['version']}), in a form that "
                f"this one ({__version__}) does not know. Restore it with that version."
            )
        return Manifest.model_validate(given)
    except (ValidationError, ValueError, KeyError, TypeError):
        raise Damaged("The backup's manifest cannot be read.") from None
