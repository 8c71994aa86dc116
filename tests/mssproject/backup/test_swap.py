"""What was restored changes places with what was there: at whatever point that is cut off."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from mssproject import presence
from mssproject.backup import swap
from mssproject.backup.errors import BackupError
from mssproject.backup.swap import NEW, Move, Plan

STAMP = "20260102-030405"


class Died(BaseException):
    """The power went."""


@pytest.fixture
def data(tmp_path: Path, settings: Settings) -> Path:
    """A data directory with everything old, everything new beside it."""
    settings.MSS_DATA_DIR = tmp_path
    for folder, text in (("userdata", "old"), (f"userdata{NEW}", "new")):
        (tmp_path / folder / "u-a").mkdir(parents=True)
        (tmp_path / folder / "u-a" / "x").write_text(text)
    for name in ("secret_key", "gateway.sqlite3", "gateway.sqlite3-wal"):
        (tmp_path / name).write_text("old")
    for name in ("secret_key", "gateway.sqlite3"):
        (tmp_path / f"{name}{NEW}").write_text("new")
    return tmp_path


def plan(data: Path, *, tables: bool = False) -> Plan:
    places = [data / name for name in ("userdata", "secret_key", "gateway.sqlite3")]
    return Plan(STAMP, tuple(Move.of(place, STAMP) for place in places), tables)


def contents(data: Path) -> dict[str, str]:
    return {
        str(path.relative_to(data)): path.read_text()
        for path in sorted(data.rglob("*"))
        if path.is_file() and path.name != presence.LOCK
    }


NEW_IN_FORCE = {
    "gateway.sqlite3": "new",
    f"gateway.sqlite3.before-{STAMP}": "old",
    f"gateway.sqlite3.before-{STAMP}-wal": "old",
    "secret_key": "new",
    f"secret_key.before-{STAMP}": "old",
    "userdata/u-a/x": "new",
    f"userdata.before-{STAMP}/u-a/x": "old",
}


def nothing(stamp: str) -> None:
    assert stamp == STAMP


def dying(monkeypatch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """Let the process die at that rename; how many renames there were."""
    done = 0
    replace = Path.replace

    def dies(path: Path, target: Path) -> Path:
        nonlocal done
        done += 1
        if done == at:
            raise Died
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", dies)
    return lambda: done


def test_new_takes_the_place_of_old_which_is_kept(data: Path) -> None:
    swap.carry_out(plan(data), nothing)
    assert contents(data) == NEW_IN_FORCE


def test_first_restore_of_all_keeps_nothing(data: Path) -> None:
    for name in ("secret_key", "gateway.sqlite3", "gateway.sqlite3-wal", "userdata/u-a/x"):
        (data / name).unlink()
    (data / "userdata/u-a").rmdir()
    (data / "userdata").rmdir()
    swap.carry_out(plan(data), nothing)
    assert set(contents(data).values()) == {"new"}


# The marker's rename, then two for each of three, and the database's log.
@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("recreated", [False, True])
def test_crash_leaves_old_or_becomes_new(
    data: Path, monkeypatch: pytest.MonkeyPatch, at: int, recreated: bool
) -> None:
    with monkeypatch.context() as patch:
        dying(patch, at)
        with pytest.raises(Died):
            swap.carry_out(plan(data), nothing)
    if at == 1:
        # Nothing is in force yet, and nothing is to be finished.
        assert not presence.marker().exists()
        assert (data / "gateway.sqlite3").read_text() == "old"
        return
    with pytest.raises(presence.InUse):
        presence.hold()
    if recreated and not (data / "secret_key").exists():
        # Whoever starts meanwhile makes itself a key.
        (data / "secret_key").write_text("made meanwhile")
    assert swap.resume(nothing)
    assert contents(data) == NEW_IN_FORCE
    assert not swap.resume(nothing)


def test_there_are_as_many_renames_as_the_crashes_above(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = dying(monkeypatch, -1)
    swap.carry_out(plan(data), nothing)
    assert done() == 8


def test_tables_that_cannot_move_leave_all_as_it_was(data: Path) -> None:
    before = contents(data)

    def refuses(stamp: str) -> None:
        raise BackupError("somebody holds a table")

    with pytest.raises(BackupError):
        swap.carry_out(plan(data, tables=True), refuses)
    assert contents(data) == before


def test_tables_that_may_have_moved_are_looked_at_again(data: Path) -> None:
    """The connection was lost, and with it the answer whether it was done."""

    def loses(stamp: str) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        swap.carry_out(plan(data, tables=True), loses)
    asked: list[str] = []
    assert swap.resume(asked.append)
    assert asked == [STAMP]
    assert set(contents(data)) == set(NEW_IN_FORCE)
