"""A tree of files on the disk: what is saved is kept, whatever comes between."""

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import errors
from comfyproxy.userdata import disk, trees
from comfyproxy.userdata.limits import Limits
from comfyproxy.userdata.trees import Tree

DAY = 86_400


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "u-0123456789", Limits())


def small(tmp_path: Path, **limits: int) -> Tree:
    return Tree(tmp_path / "small", Limits(**limits))


def kept(tree: Tree, path: str) -> list[bytes]:
    """The versions of a file, the latest first."""
    found = [tree.versions.find(version.id) for version in tree.versions.of(path)]
    return [each[1] for each in found if each is not None]


def paths(tree: Tree) -> list[str]:
    return sorted(entry.path for entry in tree.files())


# --- saving ---------------------------------------------------------------------------------


def test_user_saves_a_file_and_reads_it_back(tree: Tree) -> None:
    entry = tree.write("workflows/Grüße 你好.json", b"{}")
    assert (entry.path, entry.size) == ("workflows/Grüße 你好.json", 2)
    assert abs(entry.modified - time.time()) < 60
    assert tree.read("workflows/Grüße 你好.json") == (entry, b"{}")
    assert tree.files() == [entry]
    assert tree.versions.all() == []


def test_user_saves_over_a_file_and_the_former_one_is_kept(tree: Tree) -> None:
    for content in (b"one", b"two", b"three"):
        tree.write("a.json", content)
    assert tree.read("a.json")[1] == b"three"
    assert kept(tree, "a.json") == [b"two", b"one"]


def test_user_saves_the_same_again_and_nothing_is_kept(tree: Tree) -> None:
    tree.write("a.json", b"one")
    os.utime(tree._files / "a.json", (1, 1))
    assert tree.write("a.json", b"one").modified > 1
    assert tree.versions.all() == []


def test_user_saves_without_overwriting_and_is_told(tree: Tree) -> None:
    tree.write("a.json", b"one", overwrite=False)
    with pytest.raises(errors.Conflict) as told:
        tree.write("a.json", b"two", overwrite=False)
    assert told.value.wire_code == "FILE_EXISTS"
    assert tree.read("a.json")[1] == b"one"


@pytest.mark.parametrize("other", ["A.json", "a.JSON", "workflows/é.json"])
def test_user_saves_under_a_name_that_differs_in_letters_only_and_is_refused(
    tree: Tree, other: str
) -> None:
    tree.write("a.json", b"one")
    tree.write("workflows/e\u0301.json", b"one")
    with pytest.raises(errors.Conflict) as told:
        tree.write(other, b"two")
    assert told.value.wire_code == "NAME_TAKEN"
    assert len(tree.files()) == 2


def test_user_saves_below_a_folder_that_differs_in_letters_only_and_is_refused(tree: Tree) -> None:
    tree.write("Sub/a.json", b"one")
    with pytest.raises(errors.Conflict):
        tree.write("sub/b.json", b"two")


def test_user_takes_a_folder_for_a_file_and_is_refused(tree: Tree) -> None:
    tree.write("a/b.json", b"one")
    for attempt in (
        lambda: tree.write("a", b"x"),
        lambda: tree.write("a/b.json/c", b"x"),
        lambda: tree.delete("a"),
        lambda: tree.move("a/b.json", "a"),
    ):
        with pytest.raises(errors.BadRequest):
            attempt()
    with pytest.raises(errors.NotFound):
        tree.read("a")
    assert paths(tree) == ["a/b.json"]


# --- limits ---------------------------------------------------------------------------------


def test_user_saves_too_large_a_file_and_is_refused(tmp_path: Path) -> None:
    tree = small(tmp_path, file_bytes=10)
    tree.write("a", b"x" * 10)
    with pytest.raises(errors.TooLarge):
        tree.write("a", b"x" * 11)
    assert tree.read("a")[1] == b"x" * 10


def test_user_saves_too_many_files_and_is_refused(tmp_path: Path) -> None:
    tree = small(tmp_path, files=2)
    tree.write("a", b"1")
    tree.write("b", b"1")
    with pytest.raises(errors.QuotaExceeded):
        tree.write("c", b"")
    tree.write("b", b"22")
    tree.delete("a")
    tree.write("c", b"")


def test_user_saves_too_much_and_is_refused_until_there_is_room(tmp_path: Path) -> None:
    tree = small(tmp_path, bytes=10)
    tree.write("a", b"x" * 6)
    with pytest.raises(errors.QuotaExceeded):
        tree.write("b", b"x" * 5)
    with pytest.raises(errors.QuotaExceeded):
        tree.write("a", b"x" * 11)
    tree.write("a", b"x" * 2)
    tree.write("b", b"x" * 8)


# --- deleting, moving -----------------------------------------------------------------------


def test_user_deletes_a_file_and_has_it_back(tree: Tree) -> None:
    tree.write("sub/a.json", b"one")
    tree.delete("sub/a.json")
    assert tree.files() == []
    assert not tree.is_folder("sub")
    with pytest.raises(errors.NotFound):
        tree.delete("sub/a.json")
    (gone,) = tree.versions_of_gone()
    assert (gone.path, gone.why, gone.size) == ("sub/a.json", "deleted", 3)
    assert tree.restore(gone.id).path == "sub/a.json"
    assert tree.read("sub/a.json")[1] == b"one"
    assert tree.versions_of_gone() == []


def test_user_restores_a_version_and_the_present_file_is_kept(tree: Tree) -> None:
    tree.write("a", b"one")
    tree.write("a", b"two")
    tree.restore(tree.versions.of("a")[0].id)
    assert tree.read("a")[1] == b"one"
    assert kept(tree, "a")[0] == b"two"


@pytest.mark.parametrize(
    "version_id", ["", "..", "../../x", f"{'0' * 32}.{'0' * 20}-deleted", f"{'0' * 32}.name"]
)
def test_user_restores_what_is_no_version_and_is_told(tree: Tree, version_id: str) -> None:
    tree.write("a", b"one")
    with pytest.raises(errors.NotFound):
        tree.restore(version_id)


def test_user_moves_a_file_and_what_had_the_name_is_kept(tree: Tree) -> None:
    tree.write("a", b"one")
    tree.write("sub/b", b"two")
    with pytest.raises(errors.Conflict):
        tree.move("a", "sub/b", overwrite=False)
    assert tree.move("a", "sub/b").path == "sub/b"
    assert paths(tree) == ["sub/b"]
    assert tree.read("sub/b")[1] == b"one"
    assert kept(tree, "sub/b") == [b"two"]
    with pytest.raises(errors.NotFound):
        tree.move("a", "c")


def test_user_changes_the_capitals_of_a_name(tree: Tree) -> None:
    tree.write("sub/a.json", b"one")
    tree.move("sub/a.json", "sub/A.json")
    assert paths(tree) == ["sub/A.json"]
    tree.move("sub", "Sub")
    assert paths(tree) == ["Sub/A.json"]


def test_user_moves_a_folder(tree: Tree) -> None:
    for path in ("sub/a", "sub/deep/b", "other/c"):
        tree.write(path, b"x")
    tree.move("sub", "new/place")
    assert paths(tree) == ["new/place/a", "new/place/deep/b", "other/c"]
    with pytest.raises(errors.Conflict):
        tree.move("other", "new")
    with pytest.raises(errors.BadRequest):
        tree.move("new", "new/place/new")
    with pytest.raises(errors.BadRequest):
        tree.move("new", "/".join(["d"] * 19))
    assert paths(tree) == ["new/place/a", "new/place/deep/b", "other/c"]


def test_administrator_clears_a_tree_and_it_can_be_restored(tree: Tree) -> None:
    for path in ("a", "sub/b"):
        tree.write(path, path.encode())
    assert tree.clear() == 2
    assert tree.files() == []
    for version in tree.versions_of_gone():
        tree.restore(version.id)
    assert paths(tree) == ["a", "sub/b"]


# --- versions are bounded -------------------------------------------------------------------


def test_versions_of_a_file_are_the_last_ones(tmp_path: Path) -> None:
    tree = small(tmp_path, versions_per_file=3)
    for number in range(6):
        tree.write("a", b"%d" % number)
    assert kept(tree, "a") == [b"4", b"3", b"2"]


def test_versions_of_a_tree_are_bounded_in_number_and_bytes(tmp_path: Path) -> None:
    tree = small(tmp_path, versions=4, bytes=10)
    for number in range(6):
        tree.write(f"f{number}", b"x")
        tree.delete(f"f{number}")
    assert [version.path for version in tree.versions.all()] == ["f5", "f4", "f3", "f2"]
    tree.write("large", b"x" * 9)
    tree.delete("large")
    assert [version.path for version in tree.versions.all()] == ["large", "f5"]
    assert {entry.name for entry in (tree._folder / "versions").iterdir()} == {
        *(version.id.partition(".")[0] for version in tree.versions.all()),
        "aside",
    }


def test_version_is_gone_after_its_days(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    long_ago = time.time_ns() - 31 * DAY * 10**9
    with monkeypatch.context() as patch:
        patch.setattr("comfyproxy.userdata.versions.time.time_ns", lambda: long_ago)
        tree.write("a", b"one")
        tree.delete("a")
    tree.trim()
    assert tree.versions.all() == []


# --- faults ---------------------------------------------------------------------------------


def test_full_disk_leaves_the_old_file(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write("a", b"one")

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    for place in ("os.fsync", "os.link"):
        with monkeypatch.context() as patch:
            patch.setattr(f"comfyproxy.userdata.disk.{place}", full)
            with pytest.raises(errors.StorageFull):
                tree.write("a", b"two")
        assert tree.read("a")[1] == b"one"
    assert list((tree._folder / "aside").iterdir()) == []
    tree.write("a", b"two")


def test_disk_without_links_keeps_versions_too(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*args: Any) -> None:
        raise OSError(errno.EPERM, "operation not permitted")

    monkeypatch.setattr("comfyproxy.userdata.disk.os.link", no_links)
    tree.write("a", b"one")
    tree.write("a", b"two")
    assert kept(tree, "a") == [b"one"]


@pytest.mark.parametrize("step", ["link_or_copy", "make_folders", "sync"])
def test_crash_at_any_step_leaves_one_whole_file(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Power that fails at each call of the step in turn."""
    tree.write("sub/a", b"one")
    real, broken = getattr(disk, step), 0
    for fatal in range(10):
        calls = 0

        def failing(*args: Any, fatal: int = fatal) -> Any:
            nonlocal calls
            calls += 1
            if calls > fatal:
                raise KeyboardInterrupt
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(disk, step, failing)
            try:
                tree.write("sub/a", b"two")
            except KeyboardInterrupt:
                broken += 1
        again = Tree(tree._folder, Limits())
        found = again.read("sub/a")[1]
        assert found in (b"one", b"two")
        if found == b"two":
            assert b"one" in kept(again, "sub/a")
            again.write("sub/a", b"one")
    assert broken


def test_leftovers_of_a_crash_are_removed(tree: Tree) -> None:
    tree.write("a", b"one")
    left = tree._folder / "aside" / "left"
    left.write_bytes(b"half")
    tree.trim()
    assert not left.exists()
    assert paths(tree) == ["a"]


def test_two_writers_at_once_and_every_version_is_there(tree: Tree) -> None:
    contents = [b"%d" % number for number in range(10)]
    start = threading.Barrier(len(contents))

    def save(content: bytes) -> None:
        start.wait()
        Tree(tree._folder, Limits()).write("a", content)

    threads = [threading.Thread(target=save, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [tree.read("a")[1], *kept(tree, "a")]
    assert sorted(found) == contents


def test_writer_that_waits_too_long_is_told_to_try_again(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "LOCK_SECONDS", 0.05)
    with tree._changing(), pytest.raises(errors.Busy):
        Tree(tree._folder, Limits()).write("a", b"one")


def test_copy_is_of_one_moment_and_stays_so(tree: Tree, tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        tree.write("workflows/a.json", content)
    tree.write("gone.json", b"gone")
    tree.delete("gone.json")
    (tmp_path / "u-0123456789" / "aside").mkdir(exist_ok=True)
    (tmp_path / "u-0123456789" / "aside" / "half").write_bytes(b"hal")
    (tmp_path / "u-0123456789" / "files" / "link").symlink_to("/etc/passwd")
    tree.copy_to(tmp_path / "copy")
    tree.write("workflows/a.json", b"three")
    tree.move("workflows", "other")
    copy = Tree(tmp_path / "copy", Limits())
    assert paths(copy) == ["workflows/a.json"]
    assert copy.read("workflows/a.json")[1] == b"two"
    assert (kept(copy, "workflows/a.json"), kept(copy, "gone.json")) == ([b"one"], [b"gone"])
    names = {path.name for path in (tmp_path / "copy").rglob("*")}
    assert not names & {"lock", "aside", "half", "link"}


def test_copy_waits_for_a_change_that_is_under_way(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.write("a.json", b"one")
    monkeypatch.setattr(trees, "LOCK_SECONDS", 0.1)
    with tree._changing(), pytest.raises(errors.Busy):
        tree.copy_to(tmp_path / "copy")


def test_links_that_somebody_laid_are_not_followed(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    tree.write("a", b"one")
    (tree._files / "link").symlink_to(tmp_path / "secret")
    (tree._files / "folder").symlink_to(tmp_path)
    assert paths(tree) == ["a"]
    with pytest.raises(errors.NotFound):
        tree.read("link")


# --- anything, in any order -----------------------------------------------------------------

NAMES = st.sampled_from(["a", "A", "b", "sub", "sub/a", "sub/b", "sub/deep/a", "é", "e\u0301"])
STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, st.binary(max_size=3), st.booleans()),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("move"), NAMES, NAMES, st.booleans()),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=12))
def test_user_does_anything_and_the_tree_is_as_a_dictionary_would_be(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    """And whatever was ever in a file is in the tree or among the versions."""
    tree = Tree(tmp_path_factory.mktemp("tree"), Limits(versions_per_file=100))
    model: dict[str, bytes] = {}
    ever: set[tuple[str, bytes]] = set()
    for name, *arguments in steps:
        try:
            if name == "write":
                path, data, overwrite = arguments
                tree.write(path, data, overwrite=overwrite)
                assert overwrite or path not in model
                model[path] = data
            elif name == "delete":
                tree.delete(arguments[0])
                del model[arguments[0]]
            else:
                source, target, overwrite = arguments
                tree.move(source, target, overwrite=overwrite)
                moved = {
                    path: path.replace(source, target, 1)
                    for path in model
                    if path == source or path.startswith(f"{source}/")
                }
                assert moved
                contents = {path: model.pop(path) for path in moved}
                model |= {moved[path]: data for path, data in contents.items()}
        except errors.GatewayError:
            pass
        ever |= set(model.items())
        assert {entry.path: tree.read(entry.path)[1] for entry in tree.files()} == model
    here = set(model.values())
    there = {kept_bytes for path, _ in ever for kept_bytes in kept(tree, path)}
    assert {data for _, data in ever} <= here | there
