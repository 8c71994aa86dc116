"""Former installations' folders that are not what they should be: each is refused in a sentence."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlcipher3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.mssimport import database, formerkeys, layout, reading, records
from accounts.mssimport.folder import MAX_ENTRIES, Folder, Unreadable
from accounts.mssimport.formerkeys import FormerKeys, database_key
from accounts.mssimport.layout import Layout
from accounts.mssimport.reading import Found
from accounts.mssimport.report import shown
from accounts.mssimport.rolemapping import MAPPED, OPEN, mapped
from tests import formerinstallation as former

DATABASE = "data/mss_login_data.db"


def read(path: Path, key_file: Path | None = None) -> tuple[Layout, Found]:
    folder = Folder(path)
    found = layout.find(folder)
    return found, reading.read(folder, found, formerkeys.find(folder, found.config, key_file))


def refusal(path: Path) -> str:
    with pytest.raises(Unreadable) as error:
        read(path)
    return str(error.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return former.mss_login(tmp_path / "former", users=[former.user("ida")])


# --- which product ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "a file", "empty", "another product"])
def test_operator_who_names_another_folder_is_told_which_to_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    match name:
        case "a file":
            path.write_text("x")
        case "empty":
            path.mkdir()
        case "another product":
            (path / "login").mkdir(parents=True)
            (path / "login" / "PASSWORD").write_text("$2b$…")
            (path / "config.json").write_text('{"users_db": "users.db"}')
    words = refusal(path)
    assert words.startswith(
        {"nowhere": "There is no folder", "a file": f"{path} is no folder"}.get(
            name, "This is no data directory of ComfyUI-MSS-Login or Usgromana"
        )
    )


def test_accounts_in_a_database_server_are_said_to_be_there(folder: Path) -> None:
    (folder / "config.json").write_text('{"users_db": {"backend": "postgresql"}}')
    assert refusal(folder).startswith("This installation keeps its accounts in a postgresql server")


def test_database_that_config_names_is_read_and_one_outside_is_named(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / DATABASE).rename(folder / "elsewhere" / "x.db")
    config: dict[str, Any] = {
        "users_db": {"sqlite_path": "elsewhere/x.db"},
        "api_token_store": {"sqlite_path": "/root/tokens.db", "json_path": "../x.json"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    found, content = read(folder)
    assert [user.name for user in content.users] == ["ida"]
    assert found.elsewhere == ("../x.json", "/root/tokens.db")


def test_database_counts_before_the_json_it_was_made_of(folder: Path) -> None:
    (folder / "data" / "users.json").write_text('{"1": {"username": "old"}}')
    _, content = read(folder)
    assert [user.name for user in content.users] == ["ida"]
    assert [left.what for left in content.left] == ["data/users.json"]


def test_separate_token_database_is_read_too(tmp_path: Path) -> None:
    path = former.usgromana(tmp_path / "former", {"1": {"username": "ida"}})
    connection = sqlite3.connect(path / "users" / "api_tokens.db")
    former.fill(connection, {"api_tokens": [former.token("ida", "a" * 43)]})
    connection.close()
    assert len(read(path)[1].tokens) == 1


# --- broken and hostile ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 100_000, b"x" * (17 * 1024 * 1024)],
)
@pytest.mark.parametrize("name", ["config.json", "data/mss_login_groups.json"])
def test_broken_or_hostile_json_is_refused_by_its_name(
    folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    why = "is larger than 16 MB" if len(content) > 1e6 else "is not valid JSON"
    assert refusal(folder) == f"{name} {why}."


@pytest.mark.parametrize("content", ["[]", "7", '{"users": 7}', "null"])
def test_users_file_without_users_is_refused(tmp_path: Path, content: str) -> None:
    path = former.usgromana(tmp_path / "former", {})
    (path / "users" / "users.json").write_text(content)
    if content == "[]":
        assert read(path)[1].users == []
    else:
        assert refusal(path) == "users/users.json holds no users."


def test_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    groups = folder / "data" / "mss_login_groups.json"
    groups.unlink()
    groups.symlink_to(tmp_path / "secret.json")
    assert refusal(folder).endswith("is a link that leads out of the folder.")
    (folder / "inside.json").write_text('{"user": {}}')
    groups.unlink()
    groups.symlink_to("../inside.json")
    assert read(folder)[1].groups == {"user": {}}
    groups.unlink()
    groups.symlink_to("mss_login_groups.json")
    assert refusal(folder) == "data/mss_login_groups.json cannot be read."


def test_pipe_in_a_files_place_does_not_hang(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert refusal(folder) == "config.json is no file."


def test_links_below_a_folder_are_named_and_not_walked(folder: Path, tmp_path: Path) -> None:
    former.workflow(folder, "ida", "a/one.json")
    (folder / "Users" / "ida" / "workflows" / "loop").symlink_to("..")
    assert Folder(folder).files("Users/ida/workflows") == ["a/one.json", "loop"]
    with pytest.raises(Unreadable, match="is no file"):
        Folder(folder).read("Users/ida/workflows/loop", 10)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.mssimport.folder.MAX_ENTRIES", 3)
    assert MAX_ENTRIES > 3
    for number in range(4):
        former.workflow(tmp_path, "ida", f"{number}.json")
    with pytest.raises(Unreadable, match="more than 3 files"):
        Folder(tmp_path).files("Users")


def replaced(folder: Path, *statements: str) -> None:
    (folder / DATABASE).unlink()
    connection = sqlite3.connect(folder / DATABASE)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_view_in_the_place_of_the_users_is_not_asked(folder: Path) -> None:
    replaced(
        folder,
        "CREATE VIEW users AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) "
        "SELECT x AS username FROM n",
    )
    assert refusal(folder) == f"{DATABASE} holds no users."


def test_table_that_takes_too_long_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "MAX_SECONDS", 0.0)
    replaced(
        folder,
        "CREATE TABLE users (user_id TEXT, username TEXT AS (upper(lower(user_id))))",
        "INSERT INTO users VALUES ('x')",
        *["INSERT INTO users SELECT user_id FROM users"] * 14,
    )
    assert refusal(folder) == f"{DATABASE} cannot be read: interrupted."


def test_table_that_is_larger_than_its_file_is_refused(folder: Path) -> None:
    replaced(
        folder,
        "CREATE TABLE users (user_id TEXT, username TEXT AS (hex(zeroblob(400000))))",
        *["INSERT INTO users VALUES ('x')"] * 100,
    )
    assert refusal(folder) == f"{DATABASE}: there is too much in users."


def test_value_that_is_too_long_is_refused(folder: Path) -> None:
    replaced(folder, "CREATE TABLE users (x)", "INSERT INTO users VALUES (zeroblob(2000000))")
    assert "too big" in refusal(folder)


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + b"\xff" * 5000, b"\x07" * 8192])
def test_broken_database_is_refused(folder: Path, content: bytes) -> None:
    (folder / DATABASE).write_bytes(content)
    (folder / ".env").unlink()
    assert refusal(folder).startswith(DATABASE)


def test_table_of_an_earlier_release_with_fewer_columns_is_read(folder: Path) -> None:
    replaced(
        folder,
        "CREATE TABLE users (user_id TEXT, username TEXT, password_hash TEXT)",
        "INSERT INTO users VALUES ('1', 'ida', 'x')",
        "CREATE TABLE ip_blacklist (ip TEXT)",
        "INSERT INTO ip_blacklist VALUES ('203.0.113.7')",
    )
    _, content = read(folder)
    (user,) = content.users
    assert (user.group, user.sfw, user.active, user.mfa) == ("user", True, True, False)
    assert [each.network for each in content.denied] == ["203.0.113.7/32"]


# --- encrypted -------------------------------------------------------------------------------


@pytest.fixture
def ciphered(folder: Path) -> Path:
    """Encrypted as utils/sqlite_connection.py does it, with the cheapest key."""
    key = database_key(former.SECRET_KEY, "low")
    (folder / DATABASE).unlink()
    connection = sqlcipher3.connect(str(folder / DATABASE))
    connection.execute(f"PRAGMA key = \"x'{key}'\"")
    former.fill(connection, {"users": [former.user("ida")]})
    connection.close()
    settings = {"users_db": {"sqlite_path": DATABASE, "encryption_level": "low"}}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def test_encrypted_database_is_read_with_the_former_key(ciphered: Path) -> None:
    assert b"ida" not in (ciphered / DATABASE).read_bytes()
    assert [user.name for user in read(ciphered)[1].users] == ["ida"]


def test_encrypted_database_without_its_key_is_refused(
    ciphered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ciphered / ".env").unlink()
    assert "Give the former SECRET_KEY" in refusal(ciphered)
    monkeypatch.setattr(formerkeys, "LEVELS", {"low": formerkeys.LEVELS["low"]})
    (ciphered / ".env").write_text("SECRET_KEY=another")
    assert "is encrypted under another SECRET_KEY" in refusal(ciphered)


def test_key_is_derived_as_the_product_derives_it() -> None:
    """Made by hash_secret_raw of argon2-cffi as utils/db_key_derivation.py calls it."""
    made = "be8271db05a7d67fbebed6225e82eb997a35925a795715245ae0bc433d412cf3"
    assert database_key("k", "low") == made


# --- whatever is in it -----------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = {
    "username": JSON | st.from_regex(r"[\w.@+-]{1,20}", fullmatch=True),
    "groups": JSON | st.lists(st.sampled_from(["admin", "owner", "user", "x"])),
    **dict.fromkeys(
        ("user", "password", "password_hash", "admin", "sfw_check", "mfa_enabled", "disabled"), JSON
    ),
    **dict.fromkeys(("user_id", "expires_iso", "label", "created_at_iso", "folder"), JSON),
    **dict.fromkeys(("item_name", "created_at", "granted_by_role", "backup_code_hash"), JSON),
}
RECORDS = JSON | st.fixed_dictionaries({}, optional=FIELDS)


@settings(max_examples=80, deadline=None)
@given(JSON, RECORDS)
def test_any_record_is_taken_or_malformed_and_never_an_error(key: Any, record: Any) -> None:
    row = record if isinstance(record, dict) else {}
    for parse in (
        lambda: records.user(key, record),
        lambda: records.token(key, record),
        lambda: records.token("a" * 64, record),
        lambda: records.shared_item(row),
        lambda: records.site_key(row),
        lambda: records.network(key, record),
    ):
        try:
            found = parse()
        except records.Malformed as error:
            assert str(error).endswith(".")
            continue
        if isinstance(found, records.FormerUser):
            assert found.username and found.username.isprintable()
            # An admin is who was made one, in so many words.
            assert not found.is_admin or (
                row.get("admin") in (True, 1) or {"admin", "owner"} & set(found.groups)
            )
        if isinstance(found, records.FormerGrant):
            assert "*" not in found.item.folder + found.item.item_name


PERMISSIONS = st.sampled_from([*map(str, MAPPED), "mfa_required", "can_fly", "ui_x"])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(PERMISSIONS, st.booleans() | JSON, max_size=8))
def test_no_role_holds_what_it_was_not_given(permissions: dict[str, Any]) -> None:
    found = mapped("artists", permissions)
    for capability in found.capabilities:
        assert permissions.get(capability) is True or (
            capability in OPEN and permissions.get(capability) is None
        )
    assert found.mfa_required == (permissions.get("mfa_required") is True)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(users=JSON | st.dictionaries(st.text(max_size=5), RECORDS, max_size=3), groups=JSON)
def test_any_json_in_the_files_is_read_or_refused_in_a_sentence(
    tmp_path: Path, users: Any, groups: Any
) -> None:
    place = tmp_path / "users"
    place.mkdir(exist_ok=True)
    (place / "users.json").write_text(json.dumps(users))
    (place / "usgromana_groups.json").write_text(json.dumps(groups))
    try:
        _, found = read(tmp_path)
    except Unreadable as error:
        assert str(error).endswith(".")
    else:
        assert all(left.why for left in found.left)


@settings(max_examples=40)
@given(st.text(max_size=300))
def test_no_name_moves_the_cursor_or_fills_the_screen(text: str) -> None:
    words = shown(text)
    assert words.isprintable()
    assert len(words) <= 101


@settings(max_examples=30)
@given(st.text(max_size=40) | st.binary(max_size=40))
def test_nothing_is_decrypted_that_was_not_encrypted(value: Any) -> None:
    assert FormerKeys([former.SECRET_KEY]).decrypt(value) is None
