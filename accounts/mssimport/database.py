"""A former installation's SQLite file, encrypted or not: a copy is opened, whatever is in it.

SQLite may write beside a file that it only reads (its journals), so the folder's own is not opened.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

from accounts.mssimport.folder import Folder, Unreadable
from accounts.mssimport.formerkeys import FormerKeys, database_key

MAX_BYTES: Final = 512 * 1024 * 1024
MAX_ROWS: Final = 50_000
# Of one value, and of a table as it is read: a column may be made to hold more than the file.
MAX_VALUE_BYTES: Final = 1024 * 1024
MAX_TABLE_BYTES: Final = 64 * 1024 * 1024
MAX_SECONDS: Final = 60.0
_HEADER: Final = b"SQLite format 3\0"
_INSTRUCTIONS: Final = 100_000
# What was written last may be in these only.
_BESIDE: Final = ("-wal", "-journal")


class Database:
    """Tables of an open database as lists of rows."""

    def __init__(self, connection: Any, name: str) -> None:
        self._connection = connection
        self._name = name
        deadline = monotonic() + MAX_SECONDS
        # A view or a generated column may be made to calculate for ever.
        connection.set_progress_handler(lambda: monotonic() > deadline, _INSTRUCTIONS)
        if isinstance(connection, sqlite3.Connection):  # sqlcipher3 has no such thing
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.execute("PRAGMA trusted_schema = OFF")

    def rows(self, table: str) -> list[dict[str, Any]] | None:
        """All rows of a table; None: there is no such table. A view in its place is none.

        Raises:
            Unreadable: too many, or the file is broken
        """
        query = "SELECT 1 FROM sqlite_master WHERE name = ? AND sql LIKE 'CREATE TABLE%'"
        try:
            if self._connection.execute(query, [table]).fetchone() is None:
                return None
            cursor = self._connection.execute(
                f'SELECT * FROM "{table}" LIMIT {MAX_ROWS + 1}'  # noqa: S608 - our own names
            )
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in self._bounded(cursor, table)]
        except Unreadable:
            raise
        except Exception as error:  # sqlcipher3 has error classes of its own
            raise Unreadable(f"{self._name} cannot be read: {error}.") from None

    def _bounded(self, cursor: Any, table: str) -> Iterator[tuple[Any, ...]]:
        room = MAX_TABLE_BYTES
        for number, row in enumerate(cursor, start=1):
            room -= sum(len(value) for value in row if isinstance(value, str | bytes))
            if number > MAX_ROWS or room < 0:
                raise Unreadable(f"{self._name}: there is too much in {table}.")
            yield row


@contextmanager
def opened(folder: Folder, name: str, keys: FormerKeys, level: Any) -> Iterator[Database]:
    """The database of that name; `level`: how its key was derived, if it is encrypted.

    Raises:
        Unreadable: it is none, or none of the keys opens it
    """
    with TemporaryDirectory(prefix="mss-import-") as place:
        copy = Path(place) / "copy.db"
        folder.copy(name, copy, MAX_BYTES)
        for ending in _BESIDE:
            if folder.has(name + ending):
                folder.copy(name + ending, copy.with_name(copy.name + ending), MAX_BYTES)
        with copy.open("rb") as file:
            is_plain = file.read(len(_HEADER)) in (_HEADER, b"")
        connection = sqlite3.connect(copy) if is_plain else _decrypted(copy, name, keys, level)
        try:
            yield Database(connection, name)
        finally:
            connection.close()


def _decrypted(copy: Path, name: str, keys: FormerKeys, level: Any) -> Any:
    try:
        import sqlcipher3
    except ImportError:
        raise Unreadable(
            f"{name} is encrypted, or no database. To read an encrypted one, run "
            ".venv/bin/pip install -r requirements-sqlcipher.txt, and try again."
        ) from None
    if not keys:
        raise Unreadable(
            f"{name} is encrypted, or no database. Give the former SECRET_KEY: put it into a "
            "file, and name that with --secret-key-file."
        )
    for key, each in keys.of_database(level):
        connection = sqlcipher3.connect(str(copy))
        try:
            connection.execute(f"PRAGMA key = \"x'{database_key(key, each)}'\"")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlcipher3.dbapi2.DatabaseError:
            connection.close()
            continue
        return connection
    raise Unreadable(f"{name} is encrypted under another SECRET_KEY, or is no database.")
