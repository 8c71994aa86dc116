"""Which tables a database has, by the migrations that were applied to it.

Rows are read and written by the models as they were at that point, not as they are in the code:
so a database can be backed up before and after an upgrade, and an older backup restored.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.management.color import no_style
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from mssproject.backup.errors import BackupError

# App → names of its applied migrations.
Applied = Mapping[str, Iterable[str]]
Node = tuple[str, str]


def applied() -> dict[str, list[str]]:
    """The migrations applied to the database in use.

    Raises:
        BackupError: a newer gateway made its tables, or there are none
    """
    found = sorted(MigrationRecorder(connection).applied_migrations())
    if not found:
        raise BackupError("The database is empty: there is nothing to back up.")
    grouped: dict[str, list[str]] = {}
    for app, name in found:
        grouped.setdefault(app, []).append(name)
    if unknown(grouped):
        raise BackupError(
            "The database was made by a newer gateway than this one. Use that version."
        )
    return grouped


def unknown(state: Applied) -> list[Node]:
    """The migrations that this gateway does not have."""
    have = MigrationLoader(None).disk_migrations
    replaced = {node for migration in have.values() for node in migration.replaces}
    return sorted(node for node in _nodes(state) if node not in have and node not in replaced)


def tables() -> dict[str, type[models.Model]]:
    """Every table of the database in use, and the model of its rows."""
    loader = MigrationLoader(connection)
    apps = loader.project_state(_last(loader, set(loader.applied_migrations))).apps
    named = {
        model._meta.db_table: model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    }
    return dict(sorted(named.items()))


def build(state: Applied) -> None:
    """Make these tables in the database in use, which is empty. What migrations put into them is
    taken out again."""
    executor = MigrationExecutor(connection)
    nodes = _nodes(state)
    for node, migration in executor.loader.disk_migrations.items():
        present = nodes & set(migration.replaces)
        if present and len(present) < len(migration.replaces):
            # Half of what was later put together into one: taken one by one.
            executor.loader = MigrationLoader(connection, replace_migrations=False)
        elif present:
            nodes.add(node)
    executor.migrate(_last(executor.loader, nodes))
    empty = connection.ops.sql_flush(no_style(), list(tables()), reset_sequences=True)
    connection.ops.execute_sql_flush(empty)


def columns(model: type[models.Model]) -> dict[str, "models.Field[Any, Any]"]:
    """The columns of the model's own table, each with its field."""
    return {str(field.column): field for field in model._meta.local_concrete_fields}


def _nodes(state: Applied) -> set[Node]:
    return {(app, name) for app, names in state.items() for name in names}


def _last(loader: MigrationLoader, nodes: set[Node]) -> list[Node]:
    """Of each app the migration that no other of these builds on. Those that another replaces do
    not count: the loader has taken them out."""
    graph = loader.graph.node_map
    known = {node for node in nodes if node in graph}
    return sorted(
        node
        for node in known
        if not any(child.key in known and child.key[0] == node[0] for child in graph[node].children)
    )
