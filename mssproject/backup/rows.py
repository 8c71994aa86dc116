"""The rows of a table as lines of JSON, and back: the same from SQLite and from PostgreSQL."""

import base64
import json
import uuid
from collections.abc import Callable, Generator, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, connections, models

from mssproject.backup import schema
from mssproject.backup.errors import BackupError

BATCH: Final = 1000
# One member of the archive is about that long; so much is in memory.
PIECE_BYTES: Final = 4 * 1024 * 1024

Row = list[Any]

# What stands in JSON as the databases take it: most values of most rows.
_PLAIN: Final[dict[type["models.Field[Any, Any]"], type]] = {
    models.CharField: str,
    models.TextField: str,
    models.IntegerField: int,
    models.BooleanField: bool,
}


def read(model: type[models.Model]) -> Generator[bytes, None, None]:
    """A line for each row, with its values in the order of `schema.columns`."""
    names = [field.attname for field in schema.columns(model).values()]
    found = model._base_manager.order_by().values_list(*names)
    for row in found.iterator(chunk_size=BATCH):
        yield _ENCODER.encode(row).encode() + b"\n"


def pieces(lines: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """The lines put together, and how many they are."""
    piece, number = bytearray(), 0
    for line in lines:
        piece += line
        number += 1
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece), number
            piece, number = bytearray(), 0
    if piece:
        yield bytes(piece), number


def write(model: type[models.Model], names: list[str], lines: Iterator[bytes]) -> int:
    """Add the rows to the database in use; how many they were. `names`: the columns in the order
    of the lines' values.

    Raises:
        BackupError: they do not fit
    """
    table = model._meta.db_table
    fields = schema.columns(model)
    if sorted(names) != sorted(fields):
        raise BackupError(f"The backup's table {table} has other columns than it should have.")
    quote = connection.ops.quote_name
    into = ", ".join(quote(name) for name in names)
    places = ", ".join(["%s"] * len(names))
    # The names are those of our own models.
    insert = f"INSERT INTO {quote(table)} ({into}) VALUES ({places})"  # noqa: S608
    prepared = [_prepared(fields[name]) for name in names]
    number = 0
    try:
        with connection.cursor() as cursor:
            while batch := list(islice(lines, BATCH)):
                rows = [
                    [prepare(value) for prepare, value in zip(prepared, row, strict=True)]
                    for row in map(_row, batch)
                ]
                cursor.executemany(insert, rows)
                number += len(rows)
    except (ValueError, TypeError, ArithmeticError, ValidationError, DatabaseError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackupError(f"A row of the table {table} does not fit into it: {said}") from error
    return number


def _row(line: bytes) -> Row:
    # PostgreSQL takes neither NUL nor half a surrogate pair; SQLite holds whatever came.
    strict = connection.vendor == "postgresql"
    suspect = strict and (b"\\u0000" in line or b"\\ud" in line)
    row = json.loads(line)
    if not isinstance(row, list):
        raise ValueError("not a list")
    return [_clean(value) for value in row] if suspect else row


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return (
            value.replace("\0", "\ufffd")
            .encode("utf-16", "surrogatepass")
            .decode("utf-16", "replace")
        )
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(each) for key, each in value.items()}
    return value


def _prepared(field: "models.Field[Any, Any]") -> Callable[[Any], Any]:
    database = connections[connection.alias]
    target = field
    while isinstance(target, models.ForeignKey):
        target = target.target_field
    plain = next((kind for cls, kind in _PLAIN.items() if isinstance(target, cls)), None)

    def prepare(value: Any) -> Any:
        if value is None or type(value) is plain:
            return value
        return field.get_db_prep_save(field.to_python(value), database)

    return prepare


def _encoded(value: Any) -> Any:
    # Django's own encoder cuts times to milliseconds.
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case uuid.UUID() | Decimal():
            return str(value)
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
    raise TypeError(f"no way to keep a {type(value).__name__} is known")


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=_encoded)
