"""What the operator may ask for, and what is refused: files, keys, who runs meanwhile."""

import fcntl
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from celery.signals import worker_init
from django.core.management.base import CommandError
from django.test import override_settings
from pydantic import SecretStr
from pytest_django import Settings

from accounts import crypto
from mssproject import presence
from mssproject.backup import console, keys, making
from mssproject.backup.errors import BackupError
from mssproject.backup.progress import Progress
from mssproject.backup.sqlite import SqliteTarget

QUIET = Progress(lambda text: None)
ENDING = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def data(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    (folder / "userdata").mkdir(parents=True)
    settings.MSS_DATA_DIR = folder
    settings.USERDATA_DIR = folder / "userdata"
    monkeypatch.setattr(presence, "_held", None)
    return folder


def with_key(settings: Settings, key: str | None, *fallbacks: str) -> None:
    settings.ENV = settings.ENV.model_copy(update={"secret_key": key and SecretStr(key)})
    settings.SECRET_KEY = key or "the one of the file, long enough to be one"
    settings.SECRET_KEY_FALLBACKS = list(fallbacks)


# --- where a backup may go ---------------------------------------------------------------


def test_backup_goes_to_no_name_or_place_that_would_mislead(data: Path, tmp_path: Path) -> None:
    taken = tmp_path / "there.tar"
    taken.write_text("precious")
    refused = {
        tmp_path / "b.zip": "must end in",
        tmp_path / "b.tar.zst": "must end in",
        taken: "is there already",
        tmp_path / "nowhere" / "b.tar": "There is no folder",
        data / "userdata" / "b.tar": "within what is backed up",
    }
    for target, said in refused.items():
        with pytest.raises(BackupError, match=said):
            making.make(target, QUIET)
    assert taken.read_text() == "precious"


def test_two_backups_at_once_are_one_too_many(data: Path, tmp_path: Path) -> None:
    with making._work_folder() as work, pytest.raises(BackupError, match="Another backup"):
        assert work.is_dir()
        making.make(tmp_path / "b.tar", QUIET)


def test_what_a_killed_backup_left_is_removed(data: Path) -> None:
    (data / "backup-killed" / "u-a").mkdir(parents=True)
    with making._work_folder():
        assert [path.name for path in data.glob("backup-*")] != ["backup-killed"]
    assert list(data.glob("backup-*")) == []


# --- keys --------------------------------------------------------------------------------


def test_key_of_the_environment_is_not_kept_and_has_to_be_the_same(
    data: Path, settings: Settings
) -> None:
    with_key(settings, "a" * 40)
    key = keys.described(left_out=False)
    assert (key.kept, "a" * 40 in key.model_dump_json()) == ("environment", False)
    keys.require_fit(key)
    with_key(settings, "b" * 40)
    with pytest.raises(BackupError, match="Set SECRET_KEY to what it was"):
        keys.require_fit(key)
    # As after a key was changed, before `rotate_secrets`.
    with_key(settings, "b" * 40, "a" * 40)
    keys.require_fit(key)


def test_key_of_the_file_comes_with_the_backup_unless_another_is_set(
    data: Path, settings: Settings
) -> None:
    with_key(settings, None)
    key = keys.described(left_out=False)
    assert key.kept == "file"
    settings.SECRET_KEY = "of the machine that it is restored to, and long"
    keys.require_fit(key)
    assert keys.comes_with(key)
    with_key(settings, "b" * 40)
    assert not keys.comes_with(key)
    with pytest.raises(BackupError, match="Unset SECRET_KEY"):
        keys.require_fit(key)


def test_key_that_was_left_out_has_to_be_brought(data: Path, settings: Settings) -> None:
    with_key(settings, None)
    key = keys.described(left_out=True)
    assert key.kept == "left out"
    keys.require_fit(key)
    with override_settings(SECRET_KEY="of the machine that it is restored to, and long"):
        with pytest.raises(BackupError, match="secret_key"):
            keys.require_fit(key)
        with pytest.raises(crypto.DecryptionError):
            crypto.decrypt(key.check)


# --- who runs meanwhile ------------------------------------------------------------------


def test_restore_waits_for_nobody_and_nobody_starts_meanwhile(data: Path) -> None:
    with presence.alone():
        with pytest.raises(presence.InUse, match="is being restored"):
            presence.hold()
        with pytest.raises(presence.InUse), presence.alone():
            pass
        with pytest.raises(SystemExit, match="is being restored"):
            presence.hold_or_exit()
    presence.hold()
    assert presence._held is not None
    presence.hold()
    try:
        with pytest.raises(presence.InUse, match="A gateway runs"), presence.alone():
            pass
    finally:
        os.close(presence._held)
    with presence.alone():
        pass


def test_worker_is_a_gateway_that_runs(data: Path) -> None:
    """Without a web process beside it, on this machine."""
    for receiver in worker_init._live_receivers(None):
        if receiver.__module__.startswith("mssproject"):  # Celery's own would set up a worker
            receiver()
    assert presence._held is not None
    try:
        with pytest.raises(presence.InUse, match="A gateway runs"), presence.alone():
            pass
    finally:
        os.close(presence._held)


def test_gateway_starts_where_nothing_can_be_locked_and_nothing_is_restored_there(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuses)
    with pytest.raises(presence.InUse, match="cannot be locked"), presence.alone():
        pass
    presence.hold()
    assert presence._held is not None
    os.close(presence._held)


def test_database_that_anybody_has_open_is_not_replaced(data: Path) -> None:
    place = data / "gateway.sqlite3"
    target = SqliteTarget(place)
    target.require_unused()
    connection = sqlite3.connect(place)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE accounts_user (id)")
    connection.commit()
    with pytest.raises(BackupError, match=r"has .* open"):
        target.require_unused()
    connection.close()
    target.require_unused()
    place.write_bytes(b"no database any more" * 999)
    # Broken is what one wants to replace.
    target.require_unused()


# --- how it ends -------------------------------------------------------------------------


def test_root_is_refused_what_the_gateway_could_not_read_after(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with console.told(QUIET):
        pass
    os.chown(data, 12345, 12345)
    with pytest.raises(CommandError, match="run this as the user"), console.told(QUIET):
        pass
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with console.told(QUIET):
        pass


def test_stopped_work_ends_between_two_pieces_in_one_sentence(data: Path) -> None:
    before = [signal.getsignal(number) for number in ENDING]
    for number in ENDING:
        progress = Progress(lambda text: None)
        with pytest.raises(CommandError, match=r"^Stopped"), console.told(progress):
            os.kill(os.getpid(), number)
            progress.step("rows", 1)
    assert [signal.getsignal(number) for number in ENDING] == before


def test_full_disk_is_one_sentence_that_says_how_it_stands(data: Path) -> None:
    full = OSError(28, "No space left on device", "/backups/b.tar")
    with (
        pytest.raises(CommandError, match=r"No space left .* Nothing was changed"),
        console.told(QUIET),
    ):
        raise full
    presence.marker().write_text("{}")
    with pytest.raises(CommandError, match="manage prepare, finishes it"), console.told(QUIET):
        raise full
