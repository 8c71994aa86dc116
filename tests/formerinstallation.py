"""Folders as ComfyUI-MSS-Login and Usgromana leave them, made for tests of the import.

Formats as read in the public sources: Monster-Spawned-Studios/ComfyUI-MSS-Login, files
utils/db_schema.py (05acee12), utils/users_db.py (2dc4c00b, 0c3b2ea8), utils/api_token_store.py,
utils/shared_items_store.py, utils/lockout_store.py, utils/model_source_api_keys_store.py,
utils/encryption.py, utils/db_key_derivation.py, utils/data_dir.py (10b647c9);
DayMan84/ComfyUI-Usgromana 1.8.1 (16b4d14), files constants.py, utils/users_db.py,
utils/user_env.py, utils/ip_filter.py.
"""

import base64
import json
import sqlite3
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import bcrypt
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_KEY = "former-Secret-Key-of-the-tests-0123456789"
PASSWORD = "Old-word(1)!"
COLUMNS = {
    "users": (
        "user_id TEXT PRIMARY KEY, username TEXT UNIQUE NOT NULL, password_hash TEXT NOT NULL, "
        "admin INTEGER NOT NULL DEFAULT 0, groups TEXT NOT NULL DEFAULT '[\"user\"]', "
        "sfw_check INTEGER NOT NULL DEFAULT 1, mfa_enabled INTEGER NOT NULL DEFAULT 0, "
        "totp_secret_encrypted TEXT, backup_code_hash TEXT, "
        "backup_code_used INTEGER NOT NULL DEFAULT 0"
    ),
    "api_tokens": (
        "token_hash TEXT PRIMARY KEY, user_id TEXT NOT NULL, username TEXT NOT NULL, "
        "expires_iso TEXT NOT NULL, label TEXT DEFAULT '', created_at_iso TEXT DEFAULT '', "
        "last_used_at_iso TEXT DEFAULT ''"
    ),
    "shared_items": (
        "user_id TEXT NOT NULL, folder TEXT NOT NULL, item_name TEXT NOT NULL, "
        "source_backend TEXT NOT NULL DEFAULT 'unknown', "
        "granted_by_user_id TEXT NOT NULL DEFAULT '', granted_by_role TEXT NOT NULL DEFAULT '', "
        "created_at REAL NOT NULL DEFAULT 0, PRIMARY KEY (user_id, folder, item_name)"
    ),
    "user_model_source_api_keys": (
        "user_id TEXT NOT NULL, source TEXT NOT NULL, api_key_encrypted TEXT, "
        "created_at REAL NOT NULL, PRIMARY KEY (user_id, source)"
    ),
    "ip_whitelist": "entry TEXT PRIMARY KEY",
    "ip_blacklist": "ip TEXT PRIMARY KEY, expires_at INTEGER NULL",
}
# What a release is delivered with (users/defaults/default_group_config.json, 75617981), shortened.
USER_ROLE = {
    "can_run": True,
    "can_upload": True,
    "can_access_manager": False,
    "can_access_api": True,
    "can_see_restricted_settings": False,
    "can_have_api_tokens": False,
    "can_have_non_expiring_jwt": False,
    "ui_menu_save": True,
    "settings_about": True,
    "cat_Comfy": True,
    "mfa_required": False,
}


@cache
def bcrypt_of(text: str) -> str:
    return bcrypt.hashpw(text.encode(), bcrypt.gensalt(4)).decode()


# What the form's sanitizer made of PASSWORD before it was hashed.
SANITIZED = "Old\\-word\\(1\\)!"


def user(name: str, **fields: Any) -> dict[str, Any]:
    """A row of `users`. Its id is made of the name."""
    groups = fields.pop("groups", ["user"])
    return {
        "user_id": user_id(name),
        "username": name,
        "password_hash": bcrypt_of(SANITIZED),
        "admin": int("admin" in groups),
        "groups": json.dumps(groups),
        "sfw_check": 1,
        **fields,
    }


def user_id(name: str) -> str:
    return f"id-of-{name}"


def token(name: str, raw: str, **fields: Any) -> dict[str, Any]:
    """A row of `api_tokens` for the token `raw`."""
    return {
        "token_hash": sha256(raw.encode()).hexdigest(),
        "user_id": user_id(name),
        "username": name,
        "expires_iso": "9999-12-31T23:59:59+00:00",
        "label": "phone",
        "created_at_iso": "2026-01-02T03:04:05.678901+00:00",
        "last_used_at_iso": "",
        **fields,
    }


def shared(name: str, folder: str, item: str, by: str = "") -> dict[str, Any]:
    """A row of `shared_items`."""
    return {
        "user_id": user_id(name),
        "folder": folder,
        "item_name": item,
        "source_backend": "local",
        "granted_by_user_id": user_id(by) if by else "",
        "granted_by_role": "owner" if by else "",
        "created_at": 1767323045.5,
    }


def encrypted(text: str, key: str = SECRET_KEY) -> str:
    """As single values are kept."""
    derived = HKDF(hashes.SHA256(), 32, None, b"mss-login-users-totp-v1").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived)).encrypt(text.encode()).decode()


def fill(connection: Any, tables: dict[str, Iterable[dict[str, Any]]]) -> None:
    """Make all tables, with these rows in them."""
    for name, columns in COLUMNS.items():
        connection.execute(f"CREATE TABLE {name} ({columns})")
    for name, rows in tables.items():
        for row in rows:
            for column in row.keys() - {part.split()[0] for part in COLUMNS[name].split(", ")}:
                # A release newer than those that were read.
                known = connection.execute(f"PRAGMA table_info({name})").fetchall()
                if column not in {each[1] for each in known}:
                    connection.execute(f"ALTER TABLE {name} ADD COLUMN {column}")
            marks = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", list(row.values())
            )
    connection.commit()


def mss_login(
    folder: Path,
    *,
    groups: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    env: str | None = f"SECRET_KEY={SECRET_KEY}\n",
    **tables: Iterable[dict[str, Any]],
) -> Path:
    """A data folder of MSS-Login."""
    (folder / "data").mkdir(parents=True)
    settings = {"users_db": {"backend": "sqlite", "sqlite_path": "data/mss_login_data.db"}}
    (folder / "config.json").write_text(json.dumps(settings | (config or {})))
    described = {"user": USER_ROLE} if groups is None else groups
    (folder / "data" / "mss_login_groups.json").write_text(json.dumps(described))
    if env is not None:
        (folder / ".env").write_text(env)
    connection = sqlite3.connect(folder / "data" / "mss_login_data.db")
    fill(connection, dict(tables))
    connection.close()
    return folder


def usgromana(folder: Path, users: Any, groups: dict[str, Any] | None = None) -> Path:
    """The extension's own folder."""
    (folder / "users").mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"users_db": "users/users_db.json", "whitelist": "security/whitelist.txt"})
    )
    (folder / "users" / "users.json").write_text(json.dumps(users))
    (folder / "users" / "usgromana_groups.json").write_text(json.dumps(groups or {}))
    return folder


def workflow(folder: Path, name: str, path: str, content: bytes = b"{}") -> None:
    """Save somebody's workflow."""
    file = folder / "Users" / name / "workflows" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
