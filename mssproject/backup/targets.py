"""Where rows go: a new database beside the one in use, which it then takes the place of.

SQLite's is another file, PostgreSQL's another schema of the same database.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from django.db import connection

from mssproject.backup.postgres import PostgresTarget
from mssproject.backup.sqlite import SqliteTarget
from mssproject.backup.swap import Move


class Target(Protocol):
    """A database that a backup is restored to. Only while nobody else uses the data."""

    def require_unused(self) -> None:
        """Raises:
        BackupError: somebody is connected to it
        """

    def has_accounts(self) -> bool:
        """Whether somebody works with it: then it is not replaced unasked."""

    def discard(self) -> None:
        """Remove what a restore before left half done."""

    def staged(self) -> AbstractContextManager[None]:
        """Within it, the new, empty database is the one in use."""

    def move(self, stamp: str) -> Move | None:
        """What is to be done with files, if it is one."""

    def swap_tables(self, stamp: str) -> None:
        """What is to be done in the database; nothing, if it is done already."""

    def kept(self, stamp: str) -> str | None:
        """Where the former database is, if not in a file."""


def in_use() -> Target:
    """The one that the settings name."""
    if connection.vendor == "sqlite":
        return SqliteTarget(Path(connection.settings_dict["NAME"]))
    return PostgresTarget()
