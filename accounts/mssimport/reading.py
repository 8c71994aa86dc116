"""What a former installation's folder holds that can be taken over, and what is wrong in it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from accounts.mssimport import database, records
from accounts.mssimport.database import MAX_ROWS, Database
from accounts.mssimport.folder import Folder, Unreadable
from accounts.mssimport.formerkeys import FormerKeys
from accounts.mssimport.layout import Layout
from accounts.mssimport.records import (
    FormerGrant,
    FormerKey,
    FormerNetwork,
    FormerToken,
    FormerUser,
    Malformed,
)

T = TypeVar("T")
MAX_LIST_BYTES: Final = 4 * 1024 * 1024
MAX_ROLES: Final = 200


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is not taken over, and why."""

    what: str
    why: str


@dataclass
class Found:
    """What was read. `groups`: their permissions, as they stand there."""

    users: list[FormerUser] = field(default_factory=list)
    groups: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tokens: list[FormerToken] = field(default_factory=list)
    grants: list[FormerGrant] = field(default_factory=list)
    site_keys: list[FormerKey] = field(default_factory=list)
    allowed: list[FormerNetwork] = field(default_factory=list)
    denied: list[FormerNetwork] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def read(folder: Folder, layout: Layout, keys: FormerKeys) -> Found:
    """All of it. What is malformed is in `left`, each by its name.

    Raises:
        Unreadable: a file is broken as a whole, too large, or holds no users
    """
    found = Found()
    with ExitStack() as stack:
        opened = [
            stack.enter_context(database.opened(folder, name, keys, layout.level))
            for name in (layout.database, *layout.token_databases)
            if name is not None
        ]
        main = opened[0] if layout.database else None
        _read_users(found, folder, layout, main)
        _read_groups(found, folder, layout)
        for each in opened:
            rows = each.rows("api_tokens") or []
            _take(found, found.tokens, _by(rows, "token_hash"), records.token, _token_name)
        for name in layout.token_files:
            entries = folder.json(name)
            if not isinstance(entries, dict):
                raise Unreadable(f"{name} holds no tokens.")
            _take(found, found.tokens, entries.items(), records.token, _token_name)
        if main is not None:
            _read_tables(found, main)
        for kept, names in ((found.allowed, layout.allowed), (found.denied, layout.denied)):
            for name in names:
                lines = _lines(folder.read(name, MAX_LIST_BYTES))
                entries = ((line, None) for line in lines)
                _take(found, kept, entries, records.network, _address_name)
    return found


def _read_users(found: Found, folder: Folder, layout: Layout, main: Database | None) -> None:
    rows = None if main is None else main.rows("users")
    entries: Iterable[tuple[Any, Any]]
    if rows is not None:
        entries = _by(rows, "user_id")
        if layout.users is not None:
            why = "The database beside it counts."
            found.left.append(Left(layout.users, why))
    elif layout.users is not None:
        entries = _entries(folder.json(layout.users), layout.users)
    else:
        raise Unreadable(f"{layout.database} holds no users.")
    _take(found, found.users, entries, records.user, _user_name)


def _entries(data: Any, name: str) -> list[tuple[Any, Any]]:
    """users.json is {id: user}, {"users": {id: user}} or a list (utils/admin_logic.py)."""
    inner = data.get("users", data) if isinstance(data, dict) else data
    if isinstance(inner, dict):
        found = list(inner.items())
    elif isinstance(inner, list):
        found = [(str(number), entry) for number, entry in enumerate(inner)]
    else:
        raise Unreadable(f"{name} holds no users.")
    if len(found) > MAX_ROWS:
        raise Unreadable(f"{name} holds more than {MAX_ROWS} users.")
    return found


def _read_groups(found: Found, folder: Folder, layout: Layout) -> None:
    data = folder.json(layout.groups) if layout.groups is not None else {}
    if not isinstance(data, dict) or len(data) > MAX_ROLES:
        raise Unreadable(f"{layout.groups} holds no roles, or more than {MAX_ROLES}.")
    for name, permissions in data.items():
        key = name.strip().lower()
        if key in found.groups:
            found.left.append(Left(f"role {name}", "It is there twice."))
        elif isinstance(permissions, dict):
            found.groups[key] = permissions
        else:
            found.left.append(Left(f"role {name}", "What it may do cannot be read."))


def _read_tables(found: Found, main: Database) -> None:
    for row in main.rows("shared_items") or []:
        name = f"model {row.get('folder')}/{row.get('item_name')}"
        _take(found, found.grants, [(name, row)], _of_row(records.shared_item), _given_name)
    for row in main.rows("user_model_source_api_keys") or []:
        if row.get("api_key_encrypted"):
            name = f"key for {row.get('source')}"
            _take(found, found.site_keys, [(name, row)], _of_row(records.site_key), _given_name)
    allowed = _by(main.rows("ip_whitelist") or [], "entry")
    _take(found, found.allowed, allowed, lambda entry, _: records.network(entry), _address_name)
    denied = [(row.get("ip"), row.get("expires_at")) for row in main.rows("ip_blacklist") or []]
    _take(found, found.denied, denied, records.network, _address_name)


def _take(
    found: Found,
    kept: list[T],
    entries: Iterable[tuple[Any, Any]],
    parse: Callable[[Any, Any], T],
    called: Callable[[Any, Any], str],
) -> None:
    """Keep what `parse` takes; `called`: the name of what it refuses."""
    for key, value in entries:
        try:
            kept.append(parse(key, value))
        except Malformed as error:
            found.left.append(Left(called(key, value), str(error)))


def _of_row(parse: Callable[[Any], T]) -> Callable[[Any, Any], T]:
    return lambda _, row: parse(row)


def _given_name(key: Any, value: Any) -> str:
    return str(key)


def _user_name(key: Any, value: Any) -> str:
    record = value if isinstance(value, Mapping) else {}
    return f"user {record.get('username') or record.get('user') or key}"


def _token_name(key: Any, value: Any) -> str:
    return f"API token {str(key)[:8]}…"


def _address_name(key: Any, value: Any) -> str:
    return f"address {key}"


def _by(rows: list[dict[str, Any]], key: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    return ((row.get(key), row) for row in rows)


def _lines(content: bytes) -> list[str]:
    lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
