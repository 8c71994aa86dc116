"""One user, token, grant or address of a former installation, checked and in our words.

Each function takes what the file or the table holds, which may be anything, and raises Malformed
with the reason. Nothing here asks our database.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from accounts import addresses, errors, granting, importedpasswords
from accounts.mssimport import values

MAX_USERNAME: Final = 150
MAX_LABEL: Final = 100
MAX_ROLE: Final = 50
MAX_GROUPS: Final = 50
_USERNAME: Final = re.compile(r"[\w.@+-]+")
# utils/api_token_store.py, NEVER_EXPIRES_ISO.
_NEVER: Final = "9999-12-31T23:59:59+00:00"
ADMIN: Final = "admin"
OWNER: Final = "owner"
GUEST: Final = "guest"


class Malformed(Exception):
    """What is wrong, as a sentence."""


@dataclass(frozen=True, slots=True)
class FormerUser:
    """`name` as it was there, `username` as it would be here. `password`: as we store it, None
    if there is none that can be checked. `totp`: the secret as it was encrypted."""

    former_id: str
    name: str
    username: str
    password: str | None
    is_admin: bool
    is_owner: bool
    groups: tuple[str, ...]
    sfw: bool
    active: bool
    mfa: bool
    totp: str | None = None
    backup_code: str | None = None

    @property
    def group(self) -> str:
        """The one whose permissions they had (utils/access_control.py: the first)."""
        return self.groups[0]

    @property
    def is_guest(self) -> bool:
        """Whether this is the account that all guests shared (utils/bootstrap.py)."""
        return self.name == GUEST and not self.is_admin


@dataclass(frozen=True, slots=True)
class FormerToken:
    """An API token; `expires_at` None: never."""

    token_hash: str
    former_id: str
    username: str
    label: str
    created_at: datetime | None
    last_used_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class FormerGrant:
    """A model that somebody was given, and by whom."""

    former_id: str
    item: granting.Item
    granted_by: str
    granted_by_role: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class FormerNetwork:
    """A network that might, or might not, come in."""

    network: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FormerKey:
    """Somebody's key for a site, encrypted."""

    former_id: str
    source: str
    value: str


def user(former_id: Any, record: Any) -> FormerUser:
    """Of a row of the table `users` (utils/users_db.py), or an entry of users.json."""
    record = _mapping(record)
    name = record.get("username") or record.get("user")
    if not isinstance(name, str):
        raise Malformed("It has no name.")
    # Usgromana's sanitizer put a backslash before hyphens, in names as in passwords.
    username = unicodedata.normalize("NFKC", name.replace("\\-", "-"))
    if not _USERNAME.fullmatch(username) or len(username) > MAX_USERNAME:
        raise Malformed("This is no name for an account here: letters, digits and @ . + - _ only.")
    groups = _groups(record.get("groups"))
    is_owner = OWNER in groups
    is_admin = is_owner or ADMIN in groups or values.is_set(record.get("admin"))
    mfa = record.get("mfa_enabled") not in (None, False, 0, "0", "")
    backup_code = record.get("backup_code_hash")
    usable = record.get("backup_code_used") in (None, False, 0)
    return FormerUser(
        former_id=_id(former_id),
        name=name,
        username=username,
        password=importedpasswords.encoded(record.get("password_hash") or record.get("password")),
        is_admin=is_admin,
        is_owner=is_owner,
        groups=groups or ((ADMIN,) if is_admin else ("user",)),
        sfw=record.get("sfw_check") not in (False, 0),
        active=_is_active(record),
        mfa=mfa,
        totp=values.text(record.get("totp_secret_encrypted")),
        backup_code=backup_code if usable and values.is_sha256(backup_code) else None,
    )


def token(token_hash: Any, record: Any) -> FormerToken:
    """Of a row of the table `api_tokens`, or an entry of api_tokens.json
    (utils/api_token_store.py)."""
    record = _mapping(record)
    if not values.is_sha256(token_hash):
        raise Malformed("It is no SHA-256; the token has to be made anew.")
    expires = record.get("expires_iso")
    return FormerToken(
        token_hash=token_hash,
        former_id=values.text(record.get("user_id")) or "",
        username=values.text(record.get("username")) or "",
        label=values.label(record.get("label"), MAX_LABEL),
        created_at=values.iso_time(record.get("created_at_iso")),
        last_used_at=values.iso_time(record.get("last_used_at_iso")),
        expires_at=None if expires in ("", _NEVER) else _required_time(expires),
    )


def shared_item(record: Mapping[str, Any]) -> FormerGrant:
    """Of a row of the table `shared_items` (utils/shared_items_store.py). What lay in S3 was
    mounted among ComfyUI's models, so all of them are of this ComfyUI."""
    name = record.get("item_name")
    if isinstance(name, str) and "*" in name:
        raise Malformed("A star in a model's name would give more than that model.")
    try:
        given = granting.item(record.get("folder"), name)
    except errors.BadRequest as error:
        raise Malformed(error.message) from None
    if given.folder == "*":
        raise Malformed("A star for a folder would give more than was given.")
    return FormerGrant(
        former_id=_id(record.get("user_id")),
        item=given,
        granted_by=values.text(record.get("granted_by_user_id")) or "",
        granted_by_role=values.label(record.get("granted_by_role"), MAX_ROLE),
        created_at=values.moment(record.get("created_at")),
    )


def network(entry: Any, expires_at: Any = None) -> FormerNetwork:
    """Of a row of `ip_whitelist` or `ip_blacklist` (utils/lockout_store.py), or a line of
    whitelist.txt or blacklist.txt (utils/ip_filter.py)."""
    try:
        parsed = addresses.network(entry if isinstance(entry, str) else "")
    except ValueError:
        raise Malformed("It is no address and no network.") from None
    if expires_at is None:
        return FormerNetwork(str(parsed))
    moment = values.moment(expires_at)
    if moment is None:
        raise Malformed("Until when it holds cannot be read.")
    return FormerNetwork(str(parsed), moment)


def site_key(record: Mapping[str, Any]) -> FormerKey:
    """Of a row of the table `user_model_source_api_keys` (utils/model_source_api_keys_store.py)."""
    source, value = values.text(record.get("source")), values.text(record.get("api_key_encrypted"))
    if not source or not value:
        raise Malformed("There is no key in it.")
    return FormerKey(_id(record.get("user_id")), source, value)


def _mapping(record: Any) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise Malformed("It is no record.")
    return record


def _id(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise Malformed("It has no id.")
    return value


def _groups(value: Any) -> tuple[str, ...]:
    """JSON in the database, a list in the file."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_GROUPS:
        raise Malformed("Its groups cannot be read.")
    if not all(isinstance(name, str) for name in value):
        raise Malformed("Its groups cannot be read.")
    return tuple(name.strip().lower() for name in value if name.strip())


def _is_active(record: Mapping[str, Any]) -> bool:
    """Neither product, as far as it was read, can disable an account. Whatever a later one calls
    it, what was switched off must not come alive here."""
    if record.get("disabled") not in (None, False, 0):
        return False
    return all(record.get(name, True) not in (False, 0) for name in ("enabled", "is_active"))


def _required_time(value: Any) -> datetime:
    found = values.iso_time(value)
    if found is None:
        raise Malformed("Until when it works cannot be read.")
    return found
