"""`manage.py import_mss_login`: what people keep, and what is left out, said by name."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.models import (
    ApiToken,
    IpRule,
    ModelGrant,
    TotpDevice,
    User,
)
from comfyproxy.userdata import trees
from tests import formerinstallation as former
from tests.mssproject.importing import TOTP, imported, refused, roles

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_userdata(settings: Settings, tmp_path: Path) -> None:
    settings.USERDATA_DIR = tmp_path / "userdata"


# --- second factors --------------------------------------------------------------------------


def enrolled(folder: Path, **fields: Any) -> Path:
    secret = former.encrypted(TOTP)
    row = former.user("mia", mfa_enabled=1, **({"totp_secret_encrypted": secret} | fields))
    return former.mss_login(folder, users=[row], env=None)


def test_nobody_loses_a_second_factor_by_accident(tmp_path: Path) -> None:
    words = refused(enrolled(tmp_path / "former"))
    assert "The second factors of these users cannot be read: mia." in words


@pytest.mark.parametrize(
    "broken", [None, "plain", former.encrypted("not base32!")], ids=["none", "plain", "no secret"]
)
def test_broken_second_factor_counts_as_one_that_cannot_be_read(
    tmp_path: Path, broken: str | None
) -> None:
    folder = enrolled(tmp_path / "former", totp_secret_encrypted=broken)
    (folder / ".env").write_text(f"SECRET_KEY={former.SECRET_KEY}\n")
    assert "cannot be read: mia." in refused(folder)


@pytest.mark.parametrize("place", ["file", ".env", "quoted", "made up", "other name"])
def test_former_secret_key_is_found(tmp_path: Path, place: str) -> None:
    folder = enrolled(tmp_path / "former")
    arguments = []
    match place:
        case "file":
            (tmp_path / "key").write_text(f"{former.SECRET_KEY}\n")
            arguments = [f"--secret-key-file={tmp_path / 'key'}"]
        case ".env":
            (folder / ".env").write_text(f"X=1\nSECRET_KEY={former.SECRET_KEY}\n")
        case "quoted":
            (folder / ".env").write_text(f'export SECRET_KEY="{former.SECRET_KEY}"')
        case "made up":
            (folder / ".env").write_text("SECRET_KEY=\n")
            (folder / "data" / ".ephemeral_secret_key").write_text(former.SECRET_KEY)
        case "other name":
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(config | {"secret_key_env": "MY_KEY"}))
            (folder / ".env").write_text(f"MY_KEY={former.SECRET_KEY}\n")
    imported(folder, *arguments)
    assert TotpDevice.objects.get().key.startswith(b"abcdefghij")


def test_user_whose_factor_is_left_out_has_to_set_up_another(tmp_path: Path) -> None:
    words = imported(enrolled(tmp_path / "former"), "--reset-mfa")
    assert User.objects.get(username="mia").mfa_required is True
    assert not TotpDevice.objects.exists()
    assert "These set up a new second factor when they log in next: mia." in words


# --- tokens and models -----------------------------------------------------------------------


def test_tokens_that_do_not_work_any_more_are_left_out_by_name(tmp_path: Path) -> None:
    rows = [
        former.token("ida", "a" * 43, label="tidy \x1b[2J" + "x" * 200),
        former.token("ida", "b" * 43, expires_iso="2026-01-01T00:00:00+00:00"),
        former.token("ida", "c" * 43, expires_iso="soon"),
        former.token("ida", "d" * 43, expires_iso="2099-01-01T00:00:00"),
        former.token("ida", "e" * 43, token_hash="e" * 43),
        former.token("ida", "f" * 43, username="otto"),
        former.token("gone", "g" * 43),
        former.token("ida", "h" * 43, expires_iso="2099-01-01T00:00:00Z"),
    ]
    users = [former.user("ida"), former.user("otto")]
    words = imported(former.mss_login(tmp_path / "former", users=users, api_tokens=rows))
    kept = dict(ApiToken.objects.values_list("token_hash", "expires_at"))
    assert kept == {
        rows[0]["token_hash"]: None,
        rows[7]["token_hash"]: datetime(2099, 1, 1, tzinfo=UTC),
    }
    label = ApiToken.objects.get(expires_at=None).label
    assert label.startswith("tidy [2Jxxx") and len(label) == 100
    for why in (
        "of ida: It has expired.",
        "…: Until when it works cannot be read.",
        "API token eeeeeeee…: It is no SHA-256; the token has to be made anew.",
        "of ida: It names two users.",
        "1 API tokens: They are of users who are left out",
    ):
        assert why in words
    assert words.count("Until when it works cannot be read.") == 2


def test_grants_are_exact_and_known_givers_are_named(tmp_path: Path) -> None:
    rows = [
        former.shared("ida", "clip", "sub\\t5.safetensors", by="frida"),
        former.shared("ida", "loras", "detail.safetensors", by="gone"),
        former.shared("ida", "loras", "*"),
        former.shared("ida", "*", "x.safetensors"),
        former.shared("ida", "loras", "../../etc/passwd"),
    ]
    users = [former.user("ida"), former.user("frida", groups=["admin"])]
    words = imported(former.mss_login(tmp_path / "former", users=users, shared_items=rows))
    found = ModelGrant.objects.values_list(
        "folder", "item_name", "granted_by__username", "granted_by_role"
    )
    assert set(found) == {
        ("text_encoders", "sub/t5.safetensors", "frida", "owner"),
        ("loras", "detail.safetensors", None, "owner"),
    }
    for line in (
        "model loras/*: A star in a model's name",
        "model */x.safetensors: A star for a folder",
        "model loras/../../etc/passwd: item_name leaves its folder.",
    ):
        assert line in words


# --- addresses -------------------------------------------------------------------------------


def test_nobody_is_shut_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    folder = former.mss_login(
        tmp_path / "former",
        users=[former.user("ida")],
        ip_whitelist=[{"entry": "192.0.2.0/24"}, {"entry": "nonsense"}],
        ip_blacklist=[{"ip": "203.0.113.7", "expires_at": 4_000_000_000}],
    )
    words = imported(folder)
    assert "1 allowed and 1 blocked addresses: Rules can shut people out" in words
    assert "address nonsense: It is no address and no network." in words
    assert not IpRule.objects.exists()
    words = imported(folder, "--ip-rules")
    assert "manage.py owner clear-ip-rules" in words
    allow, deny = IpRule.objects.order_by("kind")
    assert (allow.network, allow.expires_at) == ("192.0.2.0/24", None)
    assert (deny.network, deny.expires_at.year) == ("203.0.113.7/32", 2096)


# --- Usgromana -------------------------------------------------------------------------------


def old_user(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "username": name,
        "password": former.bcrypt_of(former.SANITIZED),
        "admin": False,
        "groups": ["user"],
        **fields,
    }


SHAPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "by id": lambda users: users,
    "in users": lambda users: {"users": users},
    "a list": lambda users: list(users.values()),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_usgromana_is_imported_from_its_json(tmp_path: Path, shape: str) -> None:
    users = {
        "1": old_user("root", admin=True, groups=[]),
        "2": old_user("jean\\-luc", sfw_check=False),
        "3": {"user": "anna", "password": former.bcrypt_of("x")},
        "4": old_user("guest", groups=["guest"]),
    }
    folder = former.usgromana(tmp_path / "former", SHAPES[shape](users))
    (folder / "users" / "whitelist.txt").write_text("# mine\n10.0.0.0/8\n\nnonsense\n")
    former.workflow(folder, "jean\\-luc", "one.json")
    words = imported(folder)
    assert words.startswith("Usgromana:\n")
    assert roles() == {"root": "owner", "jean-luc": "user", "anna": "user"}
    assert "user jean-luc: was jean\\-luc, user, shown explicit images" in words
    assert "1 allowed and 0 blocked addresses" in words
    assert "give their roles the model * in the folder *" in words
    namespace = User.objects.get(username="jean-luc").namespace
    assert [entry.path for entry in trees.of_user(namespace).files()] == ["workflows/one.json"]


def test_token_file_beside_the_first_users_json_is_read(tmp_path: Path) -> None:
    folder = former.usgromana(tmp_path / "former", {"1": old_user("root", admin=True)})
    row = former.token("root", "a" * 43, user_id="1")
    del row["label"]
    (folder / "users" / "api_tokens.json").write_text(json.dumps({row.pop("token_hash"): row}))
    imported(folder)
    assert ApiToken.objects.get().user.username == "root"


def test_admin_word_in_a_text_makes_no_admin(tmp_path: Path) -> None:
    users = {"1": old_user("eve", admin="false"), "2": old_user("root", admin=True)}
    imported(former.usgromana(tmp_path / "former", users))
    assert roles() == {"eve": "user", "root": "owner"}
