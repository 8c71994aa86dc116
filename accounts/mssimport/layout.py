"""Which product a folder is of, and which file of it holds what.

| | users | roles | API tokens | addresses |
|---|---|---|---|---|
| Usgromana 1.8 | users/users.json | users/usgromana_groups.json | | users/*list.txt |
| first MSS-Login | likewise | likewise | users/api_tokens.json or .db | likewise |
| before it had a data folder | users/users.db | users/mss_login_groups.json | there | likewise |
| since | data/mss_login_data.db | data/mss_login_groups.json | there | there |

(constants.py and utils/data_dir.py of both.) config.json may name other places.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from accounts.mssimport.folder import Folder, Unreadable

MSS_LOGIN: Final = "ComfyUI-MSS-Login"
USGROMANA: Final = "Usgromana"
CONFIG: Final = "config.json"
_PLACES: Final = ("data", "users", "security")
_DATABASES: Final = ("data/mss_login_data.db", "data/users.db", "users/users.db")
_USERS: Final = ("data/users.json", "users/users.json", "users/users_db.json")
_MSS_GROUPS: Final = ("data/mss_login_groups.json", "users/mss_login_groups.json")
_USGROMANA_GROUPS: Final = ("users/usgromana_groups.json", "data/usgromana_groups.json")
# What `Users` is where names differ in capitals only.
_FOLDERS: Final = ("Users", "users")
NEITHER: Final = (
    "This is no data directory of ComfyUI-MSS-Login or Usgromana: it holds neither "
    "data/mss_login_data.db nor users/users.db nor users/users.json. Name the folder "
    "~/.comfyui-mss-login, or that of the extension below ComfyUI's custom_nodes."
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of the files there are; None or empty: there is none. `elsewhere`: what
    config.json says lies outside of the folder."""

    product: str
    config: Mapping[str, Any]
    database: str | None
    users: str | None
    groups: str | None
    token_files: tuple[str, ...]
    token_databases: tuple[str, ...]
    allowed: tuple[str, ...]
    denied: tuple[str, ...]
    people: str | None
    elsewhere: tuple[str, ...]

    @property
    def level(self) -> Any:
        """How the database's key is derived, if it is encrypted."""
        return _section(self.config, "users_db").get("encryption_level")


def find(folder: Folder) -> Layout:
    """What kind of folder this is.

    Raises:
        Unreadable: it is of neither product; config.json is broken; or the accounts are not in
            it but in a database server
    """
    config = folder.json(CONFIG) if folder.has(CONFIG) else {}
    if not isinstance(config, dict):
        raise Unreadable(f"{CONFIG} holds no settings.")
    users_db, token_store = _section(config, "users_db"), _section(config, "api_token_store")
    elsewhere: list[str] = []

    def there(*names: Any) -> tuple[str, ...]:
        """Of these names, those of files that are there."""
        found = []
        for name in names:
            if not isinstance(name, str) or not name:
                continue
            if name.startswith(("/", "~")) or ".." in name.split("/") or name[1:2] == ":":
                elsewhere.append(name)
            elif folder.has(name):
                found.append(name)
        return tuple(dict.fromkeys(found))

    backend = users_db.get("backend", "sqlite")
    database = there(users_db.get("sqlite_path"), *_DATABASES)
    users = there(config.get("legacy_users_json_path"), *_USERS)
    mss_groups, usgromana_groups = there(*_MSS_GROUPS), there(*_USGROMANA_GROUPS)
    if backend in ("postgresql", "mysql"):
        raise Unreadable(
            f"This installation keeps its accounts in a {backend} server, not in this folder; "
            "only those in a folder can be imported."
        )
    if not (database or users):
        raise Unreadable(NEITHER)
    lists = {
        kind: there(config.get(f"{kind}list"), *(f"{place}/{kind}list.txt" for place in _PLACES))
        for kind in ("white", "black")
    }
    separate = [f"{place}/api_tokens" for place in _PLACES]
    return Layout(
        product=MSS_LOGIN if database or mss_groups else USGROMANA,
        config=config,
        database=next(iter(database), None),
        users=next(iter(users), None),
        groups=next(iter(mss_groups + usgromana_groups), None),
        token_files=there(token_store.get("json_path"), *(f"{name}.json" for name in separate)),
        token_databases=tuple(
            name
            for name in there(token_store.get("sqlite_path"), *(f"{name}.db" for name in separate))
            if name not in database
        ),
        allowed=lists["white"],
        denied=lists["black"],
        people=folder.find(*_FOLDERS),
        elsewhere=tuple(dict.fromkeys(elsewhere)),
    )


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    # Usgromana has a path there, which it does not use.
    return found if isinstance(found, dict) else {}
