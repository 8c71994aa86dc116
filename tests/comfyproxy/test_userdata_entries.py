"""Files as ComfyUI lists them: what a simple reading of its rules says."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.userdata.entries import Entry, is_below, listing, relative, tree_listing

PARTS = st.sampled_from(["a", "B", ".dot", "sub", "x.json", "é"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
# No file is a folder as well.
TREES = st.lists(PATHS, unique=True, max_size=8).map(
    lambda paths: [p for p in paths if not any(other.startswith(f"{p}/") for other in paths)]
)
FOLDERS = st.sampled_from(["", "a", "sub", "a/sub", "nope"])


def entries(paths: list[str]) -> list[Entry]:
    return [Entry(path, len(path), 2.5, 1.5) for path in paths]


@given(TREES, FOLDERS, st.booleans())
def test_listing_holds_what_glob_would_find(paths: list[str], folder: str, recurse: bool) -> None:
    below = [path for path in paths if is_below(path, folder)]
    expected = []
    for path in below:
        inner = path[len(folder) + 1 :] if folder else path
        parts = inner.split("/")
        if not any(part.startswith(".") for part in parts) and (recurse or len(parts) == 1):
            expected.append(inner)

    def listed(**shape: bool) -> list[Any]:
        shape = {"full_info": False, "split": False, **shape}
        return listing(entries(below), folder, recurse=recurse, **shape)

    assert listed() == sorted(expected)
    assert listed(split=True) == [[path, *path.split("/")] for path in sorted(expected)]
    infos = listed(full_info=True, split=True)
    assert [info["path"] for info in infos] == sorted(expected)
    assert all(set(info) == {"path", "size", "modified", "created"} for info in infos)


@given(TREES, FOLDERS)
def test_tree_listing_holds_every_file_and_every_folder_above_one(
    paths: list[str], folder: str
) -> None:
    below = [path for path in paths if is_below(path, folder)]
    found = tree_listing(entries(below), folder)
    files = [each["path"] for each in found if each["type"] == "file"]
    folders = [each["path"] for each in found if each["type"] == "directory"]
    assert sorted(files) == sorted(below)
    assert len(set(folders)) == len(folders)
    assert set(folders) == {
        "/".join(path.split("/")[:depth])
        for path in below
        for depth in range(1, path.count("/") + 1)
        if is_below("/".join(path.split("/")[:depth]), folder)
    }
    kinds = [each["type"] for each in found]
    assert kinds == sorted(kinds)
    for each in found:
        assert each["name"] == each["path"].rpartition("/")[2]
        assert ("size" in each) is (each["type"] == "file")


@given(PATHS, PATHS)
def test_path_as_seen_from_a_folder_leads_back(folder: str, inner: str) -> None:
    assert relative(f"{folder}/{inner}", folder) == inner
    assert relative(inner, "") == inner
