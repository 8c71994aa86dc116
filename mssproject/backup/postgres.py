"""PostgreSQL as what a backup is made of, and restored to.

The new tables are made in a schema of their own and change places with the old in one transaction.
Tables move, not schemas: whoever owns the tables may do that, `public` is often another's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.apps import apps
from django.db import DatabaseError, connection, transaction

from mssproject.backup.errors import BackupError
from mssproject.backup.pointing import any_account, pointed_at
from mssproject.backup.swap import Move

NEW: Final = "mss_restoring"
LOCK_SECONDS: Final = 10
_OTHERS: Final = """
SELECT coalesce(nullif(application_name, ''), 'somebody'), coalesce(host(client_addr), 'here')
FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
"""


@contextmanager
def snapshot() -> Iterator[None]:
    """Within it, the database is read as of now; nobody is held up by it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


class PostgresTarget:
    """A schema beside the one in use, whose tables are moved over."""

    def require_unused(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_OTHERS)
            others = cursor.fetchall()
        if others:
            named = ", ".join(sorted({f"{name} ({address})" for name, address in others}))
            raise BackupError(
                f"The database is in use: {named}. Stop the gateway, on every machine, and end "
                "other programs first."
            )

    def has_accounts(self) -> bool:
        return any_account()

    def discard(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {NEW} CASCADE")

    @contextmanager
    def staged(self) -> Iterator[None]:
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {NEW}")
        except DatabaseError as error:
            raise BackupError(
                "The database's user may not make a schema, which a restore needs: GRANT CREATE "
                f"ON DATABASE … TO …. ({str(error).splitlines()[0]})"
            ) from None
        options = dict(connection.settings_dict["OPTIONS"])
        given = options.get("options", "")
        options["options"] = f"{given} -c search_path={NEW}".strip()
        with pointed_at(OPTIONS=options):
            yield
            with connection.cursor() as cursor:
                # So that the first questions are not planned for empty tables.
                for table in _tables(NEW):
                    cursor.execute(f"ANALYZE {connection.ops.quote_name(table)}")

    def move(self, stamp: str) -> Move | None:
        return None

    def swap_tables(self, stamp: str) -> None:
        """Raises:
        BackupError: somebody holds a table; nothing was changed
        DatabaseError: the database is gone, and nobody knows whether it was done
        """
        quote = connection.ops.quote_name
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                if not _exists(NEW):
                    return  # done before
                cursor.execute("SELECT current_schema()")
                ours = str(cursor.fetchone()[0])
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                new = _tables(NEW)
                former = _former(ours, new)
                if former:
                    cursor.execute(f"CREATE SCHEMA {_before(stamp)}")
                for table in former:
                    cursor.execute(
                        f"ALTER TABLE {quote(ours)}.{quote(table)} SET SCHEMA {_before(stamp)}"
                    )
                for table in new:
                    cursor.execute(f"ALTER TABLE {NEW}.{quote(table)} SET SCHEMA {quote(ours)}")
                cursor.execute(f"DROP SCHEMA {NEW}")
        except DatabaseError as error:
            connection.close()
            if not _exists(NEW):
                return  # it was done, and only the answer lost
            said = str(error).splitlines()[0]
            raise BackupError(f"The tables could not change places: {said}") from error

    def kept(self, stamp: str) -> str | None:
        return f"the schema {_before(stamp)}" if _exists(_before(stamp)) else None


def _exists(schema: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema])
        return cursor.fetchone() is not None


def _before(stamp: str) -> str:
    return f"mss_before_{stamp}".replace("-", "_")


def _tables(schema: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename", [schema]
        )
        return [str(row[0]) for row in cursor.fetchall()]


def _former(schema: str, new: list[str]) -> list[str]:
    """Which of the tables are the gateway's. Also those that only another version has: left
    behind, they would be in its way."""
    found = _tables(schema)
    labels = {model._meta.app_label for model in apps.get_models()}
    if "django_migrations" in found:
        with connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT app FROM django_migrations")
            labels |= {str(row[0]) for row in cursor.fetchall()}
    starts = tuple(f"{label}_" for label in (*labels, "django"))
    return [table for table in found if table in new or table.startswith(starts)]
