"""Files deleted from the disk: exactly those named, nothing that a link or a name leads to."""

import os
from pathlib import Path

import pytest

from comfyproxy.erasure import remove_file, remove_namespace
from comfyproxy.files import FileRef
from tests.comfyproxy.names import BOB, OWN

LATER = 4e9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of ComfyUI's in which Alice (OWN) and Bob have the same, and something beside it."""
    root = tmp_path / "output"
    for place in (root / OWN / "a", root / BOB / "a", root / "shared", tmp_path / "beside"):
        place.mkdir(parents=True)
        (place / "x.png").write_text("x")
    (root / "x.png").write_text("x")
    return root


def files(root: Path) -> set[str]:
    base = root.parent
    return {str(p.relative_to(base)) for p in base.rglob("*") if p.is_file() and not p.is_symlink()}


ALL = {
    f"output/{OWN}/a/x.png",
    f"output/{BOB}/a/x.png",
    "output/shared/x.png",
    "output/x.png",
    "beside/x.png",
}


def test_users_folder_goes_and_nothing_else(root: Path) -> None:
    assert remove_namespace(root, OWN)
    assert not (root / OWN).exists()
    assert files(root) == ALL - {f"output/{OWN}/a/x.png"}
    assert remove_namespace(root, OWN)  # gone is gone


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "shared", f"{OWN}/a", f"../output/{BOB}", OWN.upper(), f"{OWN}/..", "u-"],
)
def test_what_is_no_users_folder_is_never_removed(root: Path, name: str) -> None:
    assert not remove_namespace(root, name)
    assert files(root) == ALL


@pytest.mark.parametrize("target", ["beside", f"output/{BOB}", "output", "nowhere"])
def test_link_in_place_of_the_folder_is_not_followed(root: Path, target: str) -> None:
    assert remove_namespace(root, OWN)
    (root / OWN).symlink_to(root.parent / target)
    assert not remove_namespace(root, OWN)
    assert (root / OWN).is_symlink()
    assert files(root) == ALL - {f"output/{OWN}/a/x.png"}


def test_links_inside_the_folder_go_and_what_they_lead_to_stays(root: Path) -> None:
    (root / OWN / "beside").symlink_to(root.parent / "beside")
    (root / OWN / "bobs.png").symlink_to(root / BOB / "a" / "x.png")
    assert remove_namespace(root, OWN)
    assert files(root) == ALL - {f"output/{OWN}/a/x.png"}


def test_root_may_be_reached_by_a_link(root: Path) -> None:
    mounted = root.parent / "mounted"
    mounted.symlink_to(root)
    assert remove_namespace(mounted, OWN)
    assert remove_file(mounted, FileRef("output", "shared", "x.png"), written_before=LATER)
    assert files(root) == ALL - {f"output/{OWN}/a/x.png", "output/shared/x.png"}


def test_file_in_place_of_the_folder_and_a_root_that_is_not_there_are_left_alone(
    root: Path,
) -> None:
    (root / "u-0000000000").write_text("x")
    assert not remove_namespace(root, "u-0000000000")
    assert (root / "u-0000000000").is_file()
    # A disk that is not mounted: what is on it is not gone.
    assert not remove_namespace(root / "nowhere", OWN)
    assert not remove_file(root / "nowhere", FileRef("output", "", "x.png"), written_before=LATER)


def test_folder_that_cannot_be_removed_is_said_to_be_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rmdir", refuse)
    assert not remove_namespace(root, OWN)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    monkeypatch.undo()
    assert remove_namespace(root, OWN)


@pytest.mark.parametrize("place", [("", "output/x.png"), ("shared", "output/shared/x.png")])
def test_one_file_goes_and_its_neighbours_stay(root: Path, place: tuple[str, str]) -> None:
    ref = FileRef("output", place[0], "x.png")
    assert remove_file(root, ref, written_before=LATER)
    assert files(root) == ALL - {place[1]}
    assert remove_file(root, ref, written_before=LATER)


@pytest.mark.parametrize(
    ("subfolder", "filename"),
    [
        ("..", "beside/x.png"),
        ("../beside", "x.png"),
        ("shared/../../beside", "x.png"),
        ("", "../beside/x.png"),
        ("/", "x.png"),
        ("shared/", "x.png"),
        ("./shared", "x.png"),
        ("", "shared"),
        ("", ""),
        ("", ".."),
        ("link", "x.png"),
        ("", "link.png"),
        ("", "x.png\0"),
    ],
)
def test_path_that_leaves_or_is_no_plain_file_removes_nothing(
    root: Path, subfolder: str, filename: str
) -> None:
    (root / "link").symlink_to(root.parent / "beside")
    (root / "link.png").symlink_to(root / BOB / "a" / "x.png")
    ref = FileRef("output", subfolder, filename)
    assert not remove_file(root, ref, written_before=LATER)
    assert files(root) == ALL


@pytest.mark.parametrize("ref", [("gone", "x.png"), ("x.png", "y.png"), ("", "x" * 290)], ids=str)
def test_what_cannot_be_there_counts_as_gone(root: Path, ref: tuple[str, str]) -> None:
    assert remove_file(root, FileRef("output", *ref), written_before=LATER)
    assert files(root) == ALL


def test_file_that_was_written_since_is_left_for_later(root: Path) -> None:
    written = (root / "x.png").stat().st_mtime
    ref = FileRef("output", "", "x.png")
    assert not remove_file(root, ref, written_before=written)
    assert files(root) == ALL
    assert remove_file(root, ref, written_before=written + 1)
