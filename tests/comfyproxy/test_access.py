"""Whom a file is shown, where a deleted user's folder may be in question: what is one's own costs
no look, what is another's one."""

from collections.abc import Iterable

import pytest

from accounts.capabilities import Capability
from accounts.errors import NotFound
from accounts.identity import Auth, Identity
from comfyproxy import access, filerecords, fileversions, quarantine, reconcile, tombstones
from comfyproxy.files import FileRef
from tests.comfyproxy.names import BOB, OWN

GONE = "u-gone000000"


class Looks:
    """What was asked for, in place of the database and of ComfyUI, which has every file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gone: Iterable[FileRef] = ()) -> None:
        self.log: list[str] = []

        async def versions_of(ref: FileRef, user_id: int | None) -> set[str]:
            return set()

        async def namespace(namespace: str) -> bool:
            self.log.append(f"folder {namespace}")
            return namespace == GONE

        async def file(ref: FileRef) -> bool:
            self.log.append(f"file {ref.path}")
            return ref in gone

        async def no(*args: object) -> bool:
            return False

        monkeypatch.setattr(filerecords, "versions_of", versions_of)
        monkeypatch.setattr(reconcile, "settle_soon", no)
        monkeypatch.setattr(fileversions, "exists", no)
        monkeypatch.setattr(tombstones, "covers_namespace", namespace)
        monkeypatch.setattr(tombstones, "covers_file", file)
        monkeypatch.setattr(quarantine, "hides", no)


def person(*capabilities: Capability) -> Identity:
    return Identity(1, "alice", OWN, "user", 40, frozenset(capabilities), Auth.SESSION)


ALICE, CHIEF = person(Capability.RUN), person(Capability.RUN, Capability.VIEW_ALL_HISTORY)
SPELLINGS = [GONE, f"{GONE}/a", GONE.upper(), f"{GONE} .", f"{GONE}/{OWN}"]


@pytest.mark.parametrize("kind", ["output", "input", "temp"])
@pytest.mark.parametrize("caller", [ALICE, CHIEF], ids=["alice", "chief"])
async def test_own_files_cost_no_look(
    caller: Identity, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(monkeypatch)
    for subfolder in (OWN, f"{OWN}/a", f"{OWN}/{GONE}"):
        ref = FileRef(kind, subfolder, "x.png")
        assert await access.resolve(ref, caller) == ref
    assert looks.log == []


@pytest.mark.parametrize("kind", ["output", "input", "temp"])
@pytest.mark.parametrize("subfolder", SPELLINGS)
async def test_deleted_users_folder_is_closed_to_who_sees_all(
    subfolder: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(monkeypatch)
    ref = FileRef(kind, subfolder, "x.png")
    for caller in (CHIEF, ALICE):
        for moves in (False, True):
            with pytest.raises(NotFound):
                await access.resolve(ref, caller, moves_outputs=moves)
    # To Alice it is closed anyway.
    assert looks.log == [f"folder {GONE}"] * 2


@pytest.mark.parametrize("kind", ["output", "input", "temp"])
async def test_folder_itself_is_named_by_nobody(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Looks(monkeypatch)
    assert await access.resolve(FileRef(kind, "", BOB), CHIEF) == FileRef(kind, "", BOB)
    with pytest.raises(NotFound):
        await access.resolve(FileRef(kind, "", GONE), CHIEF)


async def test_other_users_folders_stay_open_to_who_sees_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch)
    ref = FileRef("output", BOB, "x.png")
    assert await access.resolve(ref, CHIEF) == ref
    with pytest.raises(NotFound):
        await access.resolve(ref, ALICE)
    assert looks.log == [f"folder {BOB}"]


@pytest.mark.parametrize("kind", ["output", "temp"])
async def test_file_elsewhere_is_closed_if_it_went_with_its_user(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, nobodys = FileRef(kind, "", "gone.png"), FileRef(kind, "", "x.png")
    looks = Looks(monkeypatch, [gone])
    assert await access.resolve(nobodys, CHIEF) == nobodys
    with pytest.raises(NotFound):
        await access.resolve(gone, CHIEF)
    assert looks.log == ["file x.png", "file gone.png"]


async def test_top_of_the_input_folder_costs_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch)
    ref = FileRef("input", "", "example.png")
    for caller in (ALICE, CHIEF):
        assert await access.resolve(ref, caller) == ref
    assert looks.log == []
