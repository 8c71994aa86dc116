"""A backup is made of a running gateway and restored: everybody goes on as if nothing was."""

import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.gateway import DATABASE_NAME, Gateway
from tests.mssproject.backup.conftest import World, command
from tests.services import own_database

# As if the process died when half of what was restored is in force.
DIES = """
from django.core.management import call_command
from mssproject.backup import swap
def die(plan): raise RuntimeError("died here")
swap._finish, whole = die, swap._finish
try:
    call_command(*arguments, verbosity=0)
finally:
    swap._finish = whole
"""

ENTRY = """
from accounts.models import AuditEntry
result = AuditEntry.objects.get(event=event).details
"""


@pytest.fixture(scope="module")
def older(world: World, backup: Path) -> Iterator[Path]:
    """A backup of a version that had no languages yet. The gateway stops here."""
    path = backup.with_name("older.tar")
    command(world.gateway, "migrate", "accounts", "0007")
    command(world.gateway, "backup", str(path))
    world.gateway.stop()
    yield path


def test_only_its_owner_can_read_a_backup_and_common_tools_can_check_it(
    world: World, backup: Path, tmp_path: Path
) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
    with tarfile.open(backup) as tar:
        tar.extractall(tmp_path, filter="data")
    sums = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(sums, cwd=tmp_path).returncode == 0
    assert [path.name for path in backup.parent.iterdir()] == [backup.name]
    assert list(world.gateway.data_dir.glob("backup-*")) == []
    assert world.gateway.run(ENTRY, event="backup.made") == {
        "file": backup.name,
        "files": 3,
        "key": "file",
    }


def test_operator_goes_back_on_the_same_machine(world: World, backup: Path, older: Path) -> None:
    gateway = world.gateway
    with pytest.raises(RuntimeError, match="There are accounts or saved files here already"):
        command(gateway, "restore", str(backup))
    assert not list(gateway.data_dir.glob("*.before-*"))
    said = command(gateway, "restore", str(backup), "--replace")
    assert "Restored: 4 accounts, 3 files" in said
    # What was there is whole, too: the tables from before there were languages.
    (former,) = gateway.data_dir.glob(f"{DATABASE_NAME}.before-*")
    (files,) = gateway.data_dir.glob("userdata.before-*")
    assert str(former) in said and str(files) in said
    with sqlite3.connect(former) as kept:
        columns = [row[1] for row in kept.execute("PRAGMA table_info(accounts_user)")]
        assert "username" in columns and "language" not in columns
    assert len([*files.glob("*/files/**/*.json")]) == 1
    try:
        gateway.start()
        world.check(gateway)
        # The web process alone: this console holds nothing.
        with pytest.raises(RuntimeError, match="A gateway runs on these data"):
            command(gateway, "restore", str(backup), "--replace")
        assert gateway.run(ENTRY, event="odd") == {
            "text": "nul \0 and half a pair \ud800",
            "whole": "📱",
        }
    finally:
        gateway.stop()


def test_studio_moves_to_postgresql_and_on_from_there(
    world: World, older: Path, tmp_path: Path
) -> None:
    with own_database() as url:
        upstream = world.gateway.env["COMFYUI_URL"]
        big = Gateway(tmp_path / "data", upstream, DATABASE_URL=url)
        newest = tmp_path / "newest.tar"
        try:
            # The tables are older than the code, the folder and the database new.
            assert "Restored: 4 accounts" in command(big, "restore", str(older))
            big.start()
            command(big, "backup", str(newest))
            world.check(big)
            odd = {"text": "nul \ufffd and half a pair \ufffd", "whole": "📱"}
            assert big.run(ENTRY, event="odd") == odd
            big.stop()
            with pytest.raises(RuntimeError, match="died here"):
                big.run(DIES, arguments=["restore", str(newest), "--replace"])
            big.prepare()
            big.start()
            world.check(big)
        finally:
            big.stop()
        # Of after the backup there is nothing; it stands beside.
        with psycopg.connect(url) as connection:
            find = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'mss\\_%'"
            ((former,),) = connection.execute(find).fetchall()
            assert former.startswith("mss_before_")
            count = f"SELECT count(*) FROM {former}.accounts_user WHERE username = 'late'"
            assert connection.execute(count).fetchone() == (1,)
