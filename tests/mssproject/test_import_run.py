"""`manage.py import_mss_login`: does what it said or nothing, and reads the former folder only."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts.errors import StorageFull
from accounts.models import (
    ApiToken,
    AuditEntry,
    TotpDevice,
    User,
)
from accounts.mssimport import carryout, formerkeys, layout, plans, reading
from accounts.mssimport.folder import Folder
from accounts.mssimport.planned import Refused, Wishes
from comfyproxy.userdata import trees
from tests import formerinstallation as former
from tests.mssproject.importing import (
    TOTP,
    everything,
    imported,
    installation,
    refused,
    roles,
    there,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_userdata(settings: Settings, tmp_path: Path) -> None:
    settings.USERDATA_DIR = tmp_path / "userdata"


# --- doing it, or not ------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def test_dry_run_says_what_a_run_does_and_does_nothing(tmp_path: Path, settings: Settings) -> None:
    folder = installation(tmp_path / "former")
    before = everything()
    dry = imported(folder, "--dry-run", "--ip-rules")
    assert everything() == before
    assert not settings.USERDATA_DIR.exists()
    real = imported(folder, "--ip-rules")
    assert dry.replace("Nothing was changed: this was a dry run.", "Done.") == real
    for line in (
        "make the role artists: can_access_api, can_modify_workflows, can_run",
        "user frida: owner, not shown explicit images",
        "user ida: artists, shown explicit images, 1 API tokens, 1 models",
        "user mia: user, authenticator app, not shown explicit images",
        "allow 10.0.0.0/8",
        "deny 203.0.113.7/32",
    ):
        assert f"  {line}\n" in real
    assert "203.0.113.8" not in real
    assert roles() == {"frida": "owner", "ida": "artists", "mia": "user"}
    again = everything()
    assert imported(folder, "--ip-rules").endswith("Nothing was new.\n")
    assert everything() == again


def test_former_folder_is_only_read(tmp_path: Path) -> None:
    folder = former.mss_login(tmp_path / "former", users=[former.user("frida")])
    writer = sqlite3.connect(folder / "data" / "mss_login_data.db")
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("UPDATE users SET username = 'renamed'")
    writer.commit()
    before = snapshot(folder)
    assert "data/mss_login_data.db-wal" in before
    # What only the journal has is read too.
    assert "user renamed: " in imported(folder)
    assert snapshot(folder) == before
    writer.close()


def test_audit_log_tells_of_each_user_and_role_and_no_secret(tmp_path: Path) -> None:
    words = imported(installation(tmp_path / "former"), "--ip-rules")
    events = list(AuditEntry.objects.order_by("id").values_list("event", "subject_name"))
    assert events == [
        ("role.imported", ""),
        ("owner.created", "frida"),
        ("user.imported", "frida"),
        ("user.imported", "ida"),
        ("user.imported", "mia"),
        ("ip_rules.imported", ""),
        ("import.done", ""),
    ]
    told = words + json.dumps(list(AuditEntry.objects.values_list("details", flat=True)))
    (token,) = ApiToken.objects.all()
    (device,) = TotpDevice.objects.all()
    for secret in (token.token_hash, device.secret, TOTP, "$2b$", former.SECRET_KEY):
        assert secret not in told
    assert device.confirmed and TOTP not in device.secret


def test_nothing_is_left_of_an_import_that_breaks_off(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at the second workflow."""
    folder = installation(tmp_path / "former")
    former.workflow(folder, "ida", "two.json")
    write = trees.Tree.write

    def full(tree: trees.Tree, path: str, data: bytes, **options: Any) -> Any:
        if path.endswith("two.json"):
            raise StorageFull
        return write(tree, path, data, **options)

    monkeypatch.setattr(trees.Tree, "write", full)
    assert "The server's disk is full" in refused(folder)
    assert list(settings.USERDATA_DIR.iterdir()) == []


def test_account_made_meanwhile_stops_all_of_it(tmp_path: Path) -> None:
    folder = Folder(installation(tmp_path / "former"))
    found = layout.find(folder)
    keys = formerkeys.find(folder, found.config, None)
    plan = plans.make(reading.read(folder, found, keys), found, Wishes(), keys)
    there("Ida")
    before = everything()
    with pytest.raises(Refused, match="changed meanwhile"):
        carryout.carry_out(plan)
    assert everything() == before


def test_operator_gets_a_list_to_move_the_pictures_by(tmp_path: Path) -> None:
    there("otto")
    rows = [
        former.user("ida"),
        former.user("otto"),
        former.user("eve", user_id="../../etc"),
        former.user("tabs", user_id="a\tb"),
    ]
    folder = former.mss_login(tmp_path / "former", users=rows)
    words = imported(folder, "--list-folders")
    namespace = User.objects.get(username="ida").namespace
    assert words.endswith(f"Done.\nid-of-ida\t{namespace}\tida\n")
    # Also when it is thought of later only.
    words = imported(folder, "--list-folders")
    assert words.endswith(f"Nothing was new.\nid-of-ida\t{namespace}\tida\n")


def test_workflow_that_cannot_be_kept_is_named(tmp_path: Path, settings: Settings) -> None:
    settings.MSS_USERDATA_FILE_MB = 1
    folder = former.mss_login(tmp_path / "former", users=[former.user("ida")])
    (tmp_path / "outside.json").write_text("{}")
    for path in ("good.json", "Case.json", "case.json", "a:b.json", "plain.txt", "nul.json"):
        former.workflow(folder, "ida", path)
    former.workflow(folder, "ida", "large.json", b"x" * 1_100_000)
    (folder / "Users" / "ida" / "workflows" / "link.json").symlink_to(tmp_path / "outside.json")
    words = imported(folder)
    namespace = User.objects.get(username="ida").namespace
    kept = sorted(entry.path for entry in trees.of_user(namespace).files())
    assert kept == ["workflows/Case.json", "workflows/good.json"]
    for line in (
        "workflow case.json of ida: Another differs from it in capitals or accents only.",
        "workflow a:b.json of ida: This is no name for a file.",
        "workflow nul.json of ida: This is no name for a file.",
        "workflow plain.txt of ida: Only workflows are taken over.",
        "large.json is larger than 1 MB.",
        "link.json is a link that leads out of the folder.",
    ):
        assert line in words


def test_user_gets_no_more_workflows_than_fit(tmp_path: Path, settings: Settings) -> None:
    settings.MSS_USERDATA_FILES = 2
    folder = former.mss_login(tmp_path / "former", users=[former.user("ida")])
    for number in range(3):
        former.workflow(folder, "ida", f"{number}.json")
    assert "workflow 2.json of ida: The user has more than fits" in imported(folder)
