"""The counters that number a table's rows. A number is not given out twice, even after the row that
had it is gone: so a backup holds where they stood."""

from typing import Any

from django.core.management.color import no_style
from django.db import connection, models


def last(model: type[models.Model]) -> int | None:
    """The last number given out in the database in use; None without a counter, or at its start."""
    meta = model._meta
    if meta.auto_field is None:
        return None
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [meta.db_table])
        else:
            sequence = _sequence(cursor, meta.db_table, str(meta.auto_field.column))
            # Its name comes quoted from the server.
            cursor.execute(f"SELECT last_value FROM {sequence} WHERE is_called")  # noqa: S608
        row = cursor.fetchone()
    return int(row[0]) if row else None


def set_last(model: type[models.Model], number: int | None) -> None:
    """Go on behind that number, and behind all that the table has."""
    meta = model._meta
    with connection.cursor() as cursor:
        # PostgreSQL's counter knows nothing of rows that came with a number, SQLite's does.
        for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
            cursor.execute(statement)
        if number is None or meta.auto_field is None or number <= (last(model) or 0):
            return
        if connection.vendor == "sqlite":
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [meta.db_table])
            cursor.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [meta.db_table, number]
            )
        else:
            sequence = _sequence(cursor, meta.db_table, str(meta.auto_field.column))
            cursor.execute("SELECT setval(%s, %s)", [sequence, number])


def _sequence(cursor: Any, table: str, column: str) -> str:
    quoted = connection.ops.quote_name(table)
    cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [quoted, column])
    return str(cursor.fetchone()[0])
