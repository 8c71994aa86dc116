"""SQLite as what a backup is made of, and restored to."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from django.db import connection

from mssproject.backup.errors import BackupError
from mssproject.backup.pointing import any_account, pointed_at
from mssproject.backup.swap import COMPANIONS, NEW, Move

LOCK_SECONDS = 20


@contextmanager
def snapshot(work: Path) -> Iterator[None]:
    """Within it, the database in use is a copy as of now; nobody is held up by it.

    SQLite's backup API with all pages in one step reads within one transaction, beside which
    writers go on (sqlite.org/backup.html, sqlite.org/wal.html).
    """
    source = Path(connection.settings_dict["NAME"])
    if not source.is_file():
        raise BackupError("There is no database yet: nothing to back up.")
    copy = work / "database.sqlite3"
    copy.touch(mode=0o600)
    with (
        closing(sqlite3.connect(source, timeout=LOCK_SECONDS)) as there,
        closing(sqlite3.connect(copy)) as here,
    ):
        there.backup(here)
    with pointed_at(NAME=copy):
        yield


class SqliteTarget:
    """A file beside the database's, renamed."""

    def __init__(self, place: Path) -> None:
        if not place.is_absolute():
            raise BackupError("Give DATABASE_URL the whole path of the SQLite file.")
        self._place = place.resolve()
        self._new = Path(f"{self._place}{NEW}")

    def require_unused(self) -> None:
        if not self._place.exists():
            return
        connection.close()
        try:
            with closing(sqlite3.connect(self._place, timeout=0, isolation_level=None)) as probe:
                # Before the first look at the file: then any connection to it is in the way,
                # also one that does nothing (sqlite.org/wal.html, section 8).
                probe.execute("PRAGMA locking_mode=EXCLUSIVE")
                probe.execute("BEGIN EXCLUSIVE")
                probe.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise BackupError(
                    f"Another program has {self._place} open. End it first."
                ) from None
        except sqlite3.DatabaseError:
            pass  # what is broken is there to be replaced

    def has_accounts(self) -> bool:
        if not self._place.exists():
            return False
        try:
            return any_account()
        finally:
            connection.close()

    def discard(self) -> None:
        for suffix in ("", *COMPANIONS):
            Path(f"{self._new}{suffix}").unlink(missing_ok=True)

    @contextmanager
    def staged(self) -> Iterator[None]:
        self._new.touch(mode=0o600)
        with pointed_at(NAME=self._new):
            yield
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # Closing it last takes its log away. A log left behind would be taken for another's.
        if any(Path(f"{self._new}{suffix}").exists() for suffix in COMPANIONS):
            raise BackupError(f"Another program has {self._new} open. End it first.")
        with self._new.open("rb") as file:
            os.fsync(file.fileno())

    def move(self, stamp: str) -> Move | None:
        return Move.of(self._place, stamp)

    def swap_tables(self, stamp: str) -> None:
        return

    def kept(self, stamp: str) -> str | None:
        return None
