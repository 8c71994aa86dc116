"""reconcile: what an odd entry of one prompt does to the others, and which files are a run's."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import pytest

from accounts.errors import UpstreamUnreachable
from comfyproxy import comfyjson, filerecords, fileversions, ownership, reconcile
from comfyproxy.files import FileRef, is_attributable
from comfyproxy.fileversions import FileVersion
from comfyproxy.filters.outcome import Outcome
from comfyproxy.filters.queue import Ownership
from tests.comfyproxy.names import BOB, OWN

ALICE = Ownership(1, None, 0, namespace=OWN)
RUN = Outcome("success", 100_000, 110_000)


class Records:
    """The database and ComfyUI's files, as far as `reconcile` asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.finished: list[str] = []
        self.added: dict[FileRef, str] = {}
        self.versions: dict[FileRef, FileVersion] = {}
        self.known: dict[FileRef, set[str]] = {}
        self.asked: list[FileRef] = []

        async def owners(ids: Iterable[str]) -> dict[str, Ownership]:
            return dict.fromkeys(ids, ALICE)

        async def finished(outcomes: Mapping[str, Outcome]) -> None:
            self.finished += outcomes

        async def add(files: Mapping[FileRef, str], *args: Any, **options: Any) -> None:
            self.added |= files

        async def version_of(filename: str, subfolder: str, kind: str) -> FileVersion | None:
            ref = FileRef(kind, subfolder, filename)
            self.asked.append(ref)
            return self.versions.get(ref)

        async def versions_of(ref: FileRef, user_id: int | None) -> set[str]:
            return self.known.get(ref, set())

        monkeypatch.setattr(ownership, "owners", owners)
        monkeypatch.setattr(ownership, "finished", finished)
        monkeypatch.setattr(filerecords, "add", add)
        monkeypatch.setattr(filerecords, "versions_of", versions_of)
        monkeypatch.setattr(fileversions, "version_of", version_of)
        monkeypatch.setattr(reconcile, "_noted", {})


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    return Records(monkeypatch)


def entry(*files: FileRef) -> dict[str, Any]:
    shown = [{"filename": f.filename, "subfolder": f.subfolder, "type": f.type} for f in files]
    return {"outputs": {"1": {"images": shown}}, "status": {"status_str": "success"}}


async def test_one_odd_entry_keeps_no_other_from_being_noted(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reconcile.attribute

    async def attribute(prompt_id: str, *args: Any, **options: Any) -> None:
        if prompt_id == "odd":
            raise ValueError("what no one thought of")
        await real(prompt_id, *args, **options)

    monkeypatch.setattr(reconcile, "attribute", attribute)
    mine = FileRef("output", OWN, "a.png")
    await reconcile.note_entries({"odd": entry(), "good": entry(mine), "none": None})
    assert sorted(records.finished) == ["good", "odd"]
    assert records.added == {mine: ""}


async def test_comfyui_that_goes_away_leaves_the_prompt_to_be_noted_later(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*args: Any) -> None:
        raise UpstreamUnreachable

    monkeypatch.setattr(fileversions, "version_of", gone)
    with pytest.raises(UpstreamUnreachable):
        await reconcile.note_entries({"p": entry(FileRef("temp", "", "a.png"))})
    assert (records.finished, reconcile._noted) == ([], {})


async def test_those_who_come_together_have_it_noted_once(records: Records) -> None:
    told = {"p": entry(FileRef("temp", "", "a.png"))}
    await asyncio.gather(*(reconcile.note_entries(told) for _ in range(5)))
    await reconcile.note_entries(told)
    assert records.finished == ["p"]
    assert len(records.asked) == 1


async def test_a_note_that_was_broken_off_is_taken_again(records: Records) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    broken = asyncio.ensure_future(wait())
    broken.cancel()
    await asyncio.wait([broken])
    # Its own clearing away has not had its turn yet.
    reconcile._noting["p"] = broken
    await reconcile.note_entries({"p": entry()})
    assert records.finished == ["p"]
    await asyncio.sleep(0)
    assert reconcile._noting == {}


@pytest.mark.parametrize(
    ("written", "known", "own"),
    [
        (100.0, False, True),
        (105.5, False, True),
        (99.995, False, True),
        (99.9, False, False),
        (111.9, False, True),
        (113.0, False, False),
        (50.0, True, True),
        (50.0, False, False),
    ],
)
async def test_a_file_elsewhere_is_whose_run_wrote_it(
    written: float, known: bool, own: bool, records: Records
) -> None:
    ref = FileRef("temp", "", "a.png")
    records.versions[ref] = FileVersion("v", written)
    records.known[ref] = {"v"} if known else {"former"}
    await reconcile.attribute("p", ALICE, [ref, ref], RUN)
    assert records.added == ({ref: "v"} if own else {})


async def test_a_run_whose_start_was_missed_makes_nothing_ones_own(records: Records) -> None:
    ref = FileRef("temp", "", "a.png")
    records.versions[ref] = FileVersion("v", 105.0)
    await reconcile.attribute("p", ALICE, [ref], Outcome("success"))
    assert records.added == {}


async def test_the_number_of_files_is_bounded(records: Records) -> None:
    own = [FileRef("output", OWN, f"{number}.png") for number in range(5000)]
    elsewhere = [FileRef("temp", "", f"{number}.png") for number in range(5000)]
    await reconcile.attribute("p", ALICE, [*own, *elsewhere], RUN)
    assert len(records.added) == reconcile.MAX_OWN_FILES
    assert len(records.asked) == reconcile.MAX_OUTSIDE_FILES


@pytest.mark.parametrize(
    ("ref", "counts"),
    [
        (FileRef("output", OWN, "a.png"), True),
        (FileRef("input", OWN, "a.png"), True),
        (FileRef("temp", "", "a.png"), True),
        (FileRef("output", "video/x", "a.png"), True),
        (FileRef("input", "", "a.png"), False),
        (FileRef("output", BOB, "a.png"), False),
        (FileRef("output", BOB.upper(), "a.png"), False),
        (FileRef("output", "..", "a.png"), False),
        (FileRef("output", "/etc", "a.png"), False),
        (FileRef("output", "a//b", "a.png"), False),
        (FileRef("output", "", ""), False),
        (FileRef("output", "", "a/b.png"), False),
        (FileRef("output", "", "blake3:00"), False),
        (FileRef("output", "", "a\0.png"), False),
        (FileRef("output", "", "a\udc80.png"), False),
        (FileRef("models", "", "a.png"), False),
        (FileRef("output", "", "a" * 301), False),
    ],
    ids=str,
)
def test_what_can_be_a_result_of_ones_own(ref: FileRef, counts: bool) -> None:
    assert is_attributable(ref, OWN) is counts


def test_an_answer_that_only_python_reads_can_be_encoded_again() -> None:
    raw = b'{"a": [NaN, "x\\udc80", 123456789012345678901234567890, true], "\\ud800": 1.5}'
    assert comfyjson.parsed(raw) == {"a": [None, "x?", None, True], "?": 1.5}
    assert orjson.dumps(comfyjson.parsed(raw))
