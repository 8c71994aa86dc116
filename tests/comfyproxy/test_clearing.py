"""Clearing up behind deleted users: done as far as it goes, the rest is tried again."""

import os
from collections.abc import Collection
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from accounts.errors import UpstreamUnreachable
from accounts.models import User
from comfyproxy import clearing, erasure, tasks
from comfyproxy.files import FileRef
from comfyproxy.models import FileOwner, FileRecord, FormerNamespace
from mssproject.celery import app
from tests.comfyproxy.names import BOB, OWN

pytestmark = pytest.mark.django_db

LONG_AGO = 1_000_000_000.0


class Comfy:
    """A ComfyUI that holds prompts, or does not answer."""

    def __init__(self) -> None:
        self.down = False
        self.running: set[str] = set()
        self.asked: list[tuple[list[str], list[str]]] = []
        self.known_until = 4e9

    async def clear(self, stopped: set[str], removed: Collection[str]) -> tuple[set[str], float]:
        if self.down:
            raise UpstreamUnreachable
        self.asked.append((sorted(stopped), sorted(removed)))
        return stopped & self.running, self.known_until


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch) -> Comfy:
    fake = Comfy()
    monkeypatch.setattr(clearing, "_clear_comfyui", fake.clear)
    return fake


@pytest.fixture
def base(tmp_path: Path, settings: Settings) -> Path:
    """ComfyUI's folders on this machine, with the same files of Alice's (OWN) and Bob's."""
    kinds = ("output", "input", "temp")
    settings.COMFYUI_FOLDERS = {kind: tmp_path / kind for kind in kinds}
    for kind in kinds:
        for namespace in (OWN, BOB):
            (tmp_path / kind / namespace).mkdir(parents=True)
            (tmp_path / kind / namespace / "x.png").write_text("x")
        put(tmp_path / kind / "top.png")
    return tmp_path


def put(path: Path) -> None:
    path.write_text("x")
    os.utime(path, (LONG_AGO, LONG_AGO))


def left(base: Path) -> set[str]:
    return {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}


def former(*, keep: bool, ids: tuple[str, ...] = (), namespace: str = OWN) -> FormerNamespace:
    return FormerNamespace.objects.create(
        namespace=namespace, username="alice", keep_files=keep, prompt_ids=list(ids)
    )


def recorded(row: FormerNamespace, kind: str = "temp", name: str = "top.png") -> FileRecord:
    record = FileRecord.of(FileRef(kind, "", name))
    record.former = row
    record.save()
    return record


def state(row: FormerNamespace) -> tuple[list[str], bool]:
    row.refresh_from_db()
    return row.prompt_ids, row.done_at is not None


BOBS = {f"{kind}/{BOB}/x.png" for kind in ("output", "input", "temp")}
TOPS = {f"{kind}/top.png" for kind in ("output", "input", "temp")}
ALICES = {f"{kind}/{OWN}/x.png" for kind in ("output", "input", "temp")}


def test_deleted_users_files_go_and_nobody_elses(comfy: Comfy, base: Path) -> None:
    row = former(keep=False, ids=("p1", "p2"))
    recorded(row)
    assert clearing.clear() == 0
    assert left(base) == BOBS | TOPS - {"temp/top.png"}
    assert (comfy.asked, state(row)) == ([(["p1", "p2"], ["p1", "p2"])], ([], True))
    assert FileRecord.objects.count() == 0
    # What is done is not done again.
    assert (clearing.clear(), len(comfy.asked)) == (0, 1)


def test_kept_files_stay_and_only_the_prompts_are_stopped(comfy: Comfy, base: Path) -> None:
    row = former(keep=True, ids=("p1",))
    assert clearing.clear() == 0
    assert left(base) == ALICES | BOBS | TOPS
    assert (comfy.asked, state(row)) == ([(["p1"], [])], ([], True))


def test_comfyui_that_is_down_is_asked_again_by_the_next_run(comfy: Comfy, base: Path) -> None:
    deleted, kept = former(keep=False, ids=("p1",)), former(keep=True, ids=("p2",), namespace=BOB)
    recorded(deleted)
    comfy.down = True
    tasks.clear_former()
    assert (state(deleted), state(kept)) == ((["p1"], False), (["p2"], False))
    # The folder goes at once; a file elsewhere may have become another's unnoticed.
    assert left(base) == BOBS | TOPS
    comfy.down = False
    tasks.clear_former()
    assert (state(deleted), state(kept)) == (([], True), ([], True))
    assert left(base) == BOBS | TOPS - {"temp/top.png"}


def test_prompt_that_does_not_stop_yet_is_left_for_the_next_run(comfy: Comfy, base: Path) -> None:
    row = former(keep=False, ids=("p1", "p2"))
    comfy.running = {"p2"}
    assert (clearing.clear(), state(row)) == (1, (["p2"], False))
    # It still wrote something.
    (base / "output" / OWN).mkdir()
    put(base / "output" / OWN / "late.png")
    comfy.running = set()
    assert (clearing.clear(), state(row)) == (0, ([], True))
    assert left(base) == BOBS | TOPS


def test_folder_that_is_not_on_this_machine_is_cleared_once_it_is(
    comfy: Comfy, base: Path, settings: Settings
) -> None:
    row = former(keep=False, ids=("p1",))
    recorded(row)
    here = dict(settings.COMFYUI_FOLDERS)
    settings.COMFYUI_FOLDERS = here | {"temp": None}
    assert (clearing.clear(), state(row)) == (1, ([], False))
    assert left(base) == BOBS | TOPS | {f"temp/{OWN}/x.png"}
    settings.COMFYUI_FOLDERS = here
    assert (clearing.clear(), state(row)) == (0, ([], True))
    assert left(base) == BOBS | TOPS - {"temp/top.png"}


def test_temp_folder_that_is_not_there_is_empty_and_any_other_is_not_mounted(
    comfy: Comfy, base: Path
) -> None:
    row, other = former(keep=False), former(keep=False, namespace=BOB)
    recorded(row)
    for path in sorted((base / "temp").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (base / "temp").rmdir()
    comfy.down = True
    assert (clearing.clear(), state(row)) == (0, ([], True))
    assert FileRecord.objects.count() == 0
    FormerNamespace.objects.update(done_at=None)
    (base / "input").rename(base / "away")
    assert (clearing.clear(), state(other)) == (2, ([], False))


def test_file_that_is_bobs_meanwhile_stays(comfy: Comfy, base: Path) -> None:
    row = former(keep=False)
    bob = User.objects.create(username="bob", role_id="user")
    FileOwner.objects.create(file=recorded(row), user=bob)
    recorded(row, "output")
    assert (clearing.clear(), state(row)) == (0, ([], True))
    assert left(base) == BOBS | TOPS - {"output/top.png"}
    assert [str(record) for record in FileRecord.objects.all()] == ["top.png [temp]"]


def test_file_that_somebodys_running_prompt_may_have_written_waits(
    comfy: Comfy, base: Path
) -> None:
    row = former(keep=False)
    recorded(row)
    comfy.known_until = LONG_AGO - 60
    assert (clearing.clear(), state(row)) == (1, ([], False))
    assert left(base) == BOBS | TOPS
    comfy.known_until = LONG_AGO + 60
    assert (clearing.clear(), state(row)) == (0, ([], True))


def test_link_in_place_of_the_folder_is_not_followed_and_holds_up_nobody_else(
    comfy: Comfy, base: Path
) -> None:
    row, other = former(keep=False), former(keep=False, namespace="u-carl000000")
    (base / "temp" / OWN / "x.png").unlink()
    (base / "temp" / OWN).rmdir()
    (base / "temp" / OWN).symlink_to(base / "output" / BOB)
    assert (clearing.clear(), state(row), state(other)) == (1, ([], False), ([], True))
    assert left(base) == BOBS | TOPS


def test_run_that_dies_in_the_middle_is_made_good_by_the_next(
    comfy: Comfy, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = former(keep=False, ids=("p1",))

    def die(*args: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(erasure, "remove_namespace", die)
        clearing.clear()
    assert state(row) == (["p1"], False)
    assert (clearing.clear(), state(row)) == (0, ([], True))
    assert left(base) == BOBS | TOPS


def test_worker_looks_every_ten_minutes_by_itself() -> None:
    (entry,) = [
        entry
        for entry in app.conf.beat_schedule.values()
        if entry["task"] == tasks.clear_former.name
    ]
    assert entry["schedule"] == 600
