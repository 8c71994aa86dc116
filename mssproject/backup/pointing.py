"""Which database this process uses, while a backup is made of or restored to another."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, connection


@contextmanager
def pointed_at(**settings: Any) -> Iterator[None]:
    """Make the connection one with other settings, as Django's test runner does: migrations and
    models that name no database then use it."""
    connection.close()
    former = dict(connection.settings_dict)
    connection.settings_dict.update(settings)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.clear()
        connection.settings_dict.update(former)


def any_account() -> bool:
    """Whether the database in use has an account; one that cannot be read may."""
    try:
        if "accounts_user" not in connection.introspection.table_names():
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM accounts_user LIMIT 1")
            return cursor.fetchone() is not None
    except DatabaseError:
        return True
