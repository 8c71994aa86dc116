"""`manage.py import_mss_login`: who becomes what, and who is left out, said by name."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from pytest_django.fixtures import Settings

from accounts import proofs
from accounts.capabilities import Capability
from accounts.models import (
    AuditEntry,
    Role,
    SetupToken,
    User,
)
from accounts.mssimport import carryout
from comfyproxy.userdata import trees
from tests import formerinstallation as former
from tests.mssproject.importing import held, imported, installation, refused, roles, there

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_userdata(settings: Settings, tmp_path: Path) -> None:
    settings.USERDATA_DIR = tmp_path / "userdata"


# --- names -----------------------------------------------------------------------------------


def test_name_that_is_taken_is_left_out_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    ida = there("IDA", "guest")
    folder = installation(tmp_path / "former")
    former.workflow(folder, "ida", "one.json")
    words = imported(folder)
    assert "user ida: There is an account of this name, which stays as it is." in words
    assert "1 API tokens: They are of users who are left out, or were deleted there." in words
    assert "1 models: They are of users who are left out" in words
    ida.refresh_from_db()
    assert (ida.role_id, ida.api_tokens.count(), ida.model_grants.count()) == ("guest", 0, 0)
    assert not trees.of_user(ida.namespace).files()


def test_careful_operator_has_all_refused_for_a_name_that_is_taken(tmp_path: Path) -> None:
    there("Ida")
    words = refused(installation(tmp_path / "former"), "--on-conflict=fail")
    assert words == "Names are in conflict: user ida."


def test_names_that_differ_in_capitals_are_none_of_them_taken(tmp_path: Path) -> None:
    folder = former.mss_login(
        tmp_path / "former", users=[former.user(name) for name in ("max", "Max", "otto")]
    )
    words = imported(folder)
    assert words.count("Several names there differ in capitals only, which are one here.") == 2
    assert roles() == {"otto": "user"}


def test_shared_guest_and_impossible_names_are_named_and_left(tmp_path: Path) -> None:
    rows = [
        former.user("guest", groups=["guest"]),
        former.user("two words"),
        former.user("x" * 151),
        former.user("esc\x1b[2J"),
        former.user("ok"),
    ]
    words = imported(former.mss_login(tmp_path / "former", users=rows))
    assert roles() == {"ok": "user"}
    for line in (
        "user guest: Guests have an account of their own here",
        "user two words: This is no name for an account here",
        "user xxxxx",
        "user esc\\u001b[2J: This is no name",
    ):
        assert line in words
    assert "\x1b" not in words


# --- passwords -------------------------------------------------------------------------------


@pytest.mark.parametrize("forged", ["", "plain", "$2b$31$" + "a" * 53, "argon2$x"])
def test_user_without_a_hash_that_can_be_checked_has_no_password(
    tmp_path: Path, forged: str
) -> None:
    folder = former.mss_login(tmp_path / "former", users=[former.user("ida", password_hash=forged)])
    words = imported(folder)
    assert "These have no password that can be taken over: ida." in words
    assert not User.objects.get(username="ida").has_usable_password()


# --- the owner -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "arguments", "expected"),
    [
        ([["owner", "admin"], ["admin"]], [], ["owner", "admin"]),
        ([["admin"], ["user"]], [], ["owner", "user"]),
        ([["admin"], ["admin"]], [], ["admin", "admin"]),
        ([["admin"], ["admin"]], ["--owner", "B"], ["admin", "owner"]),
        ([["owner", "admin"], ["owner", "admin"]], [], ["admin", "admin"]),
        ([["owner", "admin"], ["admin"]], ["--owner=b"], ["admin", "owner"]),
        ([["user"], ["user"]], [], ["user", "user"]),
    ],
)
def test_there_is_one_owner_or_none_yet(
    tmp_path: Path, groups: list[list[str]], arguments: list[str], expected: list[str]
) -> None:
    proofs.new_setup_token()
    rows = [former.user(name, groups=names) for name, names in zip("ab", groups, strict=True)]
    words = imported(former.mss_login(tmp_path / "former", users=rows), *arguments)
    assert [roles()[name] for name in "ab"] == expected
    assert ("There is no owner yet" in words) == ("owner" not in expected)
    # The link that would make another owner ends with it.
    assert SetupToken.objects.exists() == ("owner" not in expected)


def test_owner_who_is_here_stays_the_only_one(tmp_path: Path) -> None:
    there("olga", "owner")
    folder = former.mss_login(
        tmp_path / "former", users=[former.user("frida", groups=["owner", "admin"])]
    )
    imported(folder, "--owner=frida")
    assert roles() == {"olga": "owner", "frida": "admin"}


@pytest.mark.parametrize("name", ["ida", "nobody"])
def test_only_a_former_admin_can_be_named_as_owner(tmp_path: Path, name: str) -> None:
    rows = [former.user("ida"), former.user("frida", groups=["admin"])]
    words = refused(former.mss_login(tmp_path / "former", users=rows), f"--owner={name}")
    assert words == f"--owner: there is no admin {name} among those to be imported."


def test_disabled_admin_becomes_no_owner(tmp_path: Path) -> None:
    rows = [former.user("frida", groups=["owner"], disabled=1), former.user("otto")]
    imported(former.mss_login(tmp_path / "former", users=rows))
    assert roles()["frida"] == "admin"
    assert not User.objects.get(username="frida").is_active


# --- roles -----------------------------------------------------------------------------------


def with_group(folder: Path, name: str, permissions: Any, **user: Any) -> Path:
    rows = [former.user("ida", groups=[name], **user)]
    groups = {"user": former.USER_ROLE, name: permissions}
    return former.mss_login(folder, users=rows, groups=groups)


def test_custom_role_holds_what_it_held_and_nothing_unknown(tmp_path: Path) -> None:
    permissions = {
        "can_run": False,
        "can_access_manager": True,
        "can_download_models": True,
        "can_have_api_tokens": "true",
        "can_fly": True,
        "can_view_console": True,
        "can_swim": False,
        "ui_menu_save": True,
        "mfa_required": True,
    }
    words = imported(with_group(tmp_path / "former", "Night Shift", permissions))
    assert roles()["ida"] == "night-shift"
    role = Role.objects.get(slug="night-shift")
    assert (role.title, role.is_staff, role.mfa_required) == ("night shift", False, True)
    assert held("night-shift") == {
        "can_upload",
        "can_access_api",
        "can_modify_workflows",
        "can_access_manager",
        "can_download_models",
    }
    for line in (
        "can_fly of the role night shift: there is no such capability here",
        "can_have_api_tokens of the role night shift: it is neither true nor false",
        "can_view_console of the role night shift: people's consoles are not kept here",
    ):
        assert line in words
    assert "can_swim" not in words and "ui_menu_save" not in words


def test_former_role_gives_nobody_a_role_of_that_name_that_opens_the_admin(tmp_path: Path) -> None:
    Role.objects.create(slug="moderator", title="Moderator", rank=70, is_staff=True)
    words = imported(with_group(tmp_path / "former", "moderator", {}))
    assert roles()["ida"] == "user"
    assert "role moderator: The role of that name may open the admin here" in words


@pytest.mark.parametrize("name", ["!!!", "Admin!", "team"])
def test_role_whose_name_cannot_be_used_is_replaced_by_user(tmp_path: Path, name: str) -> None:
    Group.objects.create(name="team")
    words = imported(with_group(tmp_path / "former", name, {"can_run": True}))
    assert roles()["ida"] == "user"
    assert f"role {name.lower()}: Its name is taken or none; who had it is a user." in words


def test_role_that_is_not_described_is_replaced_by_user(tmp_path: Path) -> None:
    folder = former.mss_login(tmp_path / "former", users=[former.user("ida", groups=["lost"])])
    words = imported(folder)
    assert roles()["ida"] == "user"
    assert "role lost of ida: There is no such role to take over; they are a user." in words


def test_difference_of_a_role_of_the_same_name_is_said_and_made_up_for_if_wanted(
    tmp_path: Path,
) -> None:
    groups = {"user": former.USER_ROLE | {"can_download_models": True, "mfa_required": True}}
    folder = former.mss_login(tmp_path / "former", users=[former.user("ida")], groups=groups)
    before = held("user")
    words = imported(folder)
    assert held("user") == before
    assert (
        "The role user may, unlike there: can_have_api_tokens; may not, unlike there: "
        "can_download_models; needs no second factor, unlike there." in words
    )
    Role.objects.get(slug="user").permissions.add(
        *carryout._permissions([Capability.MANAGE_BACKEND])
    )
    imported(folder, "--match-roles")
    # What no former role could say stays.
    assert held("user") == before - {"can_have_api_tokens"} | {
        "can_download_models",
        "can_manage_backend",
    }
    assert Role.objects.get(slug="user").mfa_required
    changed = AuditEntry.objects.get(event="role.changed").details["changes"]
    assert set(changed) == {"can_have_api_tokens", "can_download_models", "mfa_required"}
    assert imported(folder, "--match-roles").endswith("Nothing was new.\n")


def test_silence_of_a_release_about_a_permission_it_did_not_know_takes_nothing_away(
    tmp_path: Path,
) -> None:
    users = {"1": {"username": "paula", "groups": ["power"]}}
    groups = {"power": {"can_run": False, "can_access_manager": True}}
    before = held("power")
    imported(former.usgromana(tmp_path / "former", users, groups), "--match-roles")
    assert held("power") == before - {"can_run"}
