"""A query that hot paths ask again and again: Django writes its SQL once for each thread.

Writing it takes Django several times as long as SQLite or PostgreSQL need to answer.
"""

from collections.abc import Callable, Iterator
from threading import local
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet

# Stands for the user while the SQL is written: an id that nobody has, and no other number there.
_SOMEBODY: Final = -7_230_941


class OfUser:
    """`make` gives, for a user's id, a query of tuples (`values_list`) about that user. Calling
    this with an id gives the tuples, as the query would."""

    def __init__(self, make: Callable[[int], QuerySet[Any, Any]]) -> None:
        self._make = make
        self._thread = local()

    def __call__(self, user_id: int) -> Iterator[Any]:
        thread = self._thread
        if not hasattr(thread, "sql"):
            # It belongs to one connection, as everything that Django makes of a query.
            thread.compiler = self._make(_SOMEBODY).query.get_compiler(connection=connection)
            thread.sql, thread.params = thread.compiler.as_sql()
        values = [user_id if value == _SOMEBODY else value for value in thread.params]
        with connection.cursor() as cursor:
            cursor.execute(thread.sql, values)
            rows = cursor.fetchall()
        # With what turns a database's values into Python's.
        found: Iterator[Any] = thread.compiler.results_iter([rows], tuple_expected=True)
        return found
