"""What a user's file may be called: safe on every system, inside the tree, one spelling."""

import ntpath
import posixpath
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.errors import BadPath, BadRequest
from comfyproxy.userdata.names import collision_key, is_workflow, parse, parse_folder


@pytest.mark.parametrize(
    "name",
    [
        "a.json",
        "workflows/a.json",
        "workflows/.index.json",
        "workflows/Grüße 你好 👩‍💻.json",
        "a b/c d (1).json",
        "100%.json",
        "%41.json",
        "..a/b..c",
        "x" * 255,
        "console.json",
        "com10.txt",
    ],
)
def test_user_names_a_file_and_it_stays_as_it_is(name: str) -> None:
    assert parse(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/passwd",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        "a\\b",
        "..\\a",
        "C:\\a",
        "a%2fb",
        "a%2F..%2fb",
        "%2e%2e/a",
        "a%252fb",
        "a%5cb",
        "a%00b",
    ],
)
def test_user_leaves_the_tree_and_is_refused(name: str) -> None:
    with pytest.raises(BadPath):
        parse(name)


@pytest.mark.parametrize(
    "name",
    [
        "a\0b",
        "a\nb",
        "a\x7fb",
        "C:a",
        "a:stream",
        "a*",
        "a?",
        'a"b',
        "a<b",
        "a|b",
        "nul",
        "NUL.json",
        "workflows/con",
        "workflows/Aux.tar.gz",
        "com1",
        "LPT9.txt",
        "com¹",
        "conin$",
        "nul .txt",
        "a.",
        "a ",
        "a./b",
        "x" * 256,
        "é" * 128,
        "/".join(["d"] * 21),
        "/".join(["x" * 200] * 6),
        "Workflows/a.json",
        "WORKFLOWS",
        "\ud800",
    ],
)
def test_user_gives_a_name_that_some_system_cannot_have_and_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        parse(name)


@pytest.mark.parametrize(
    ("given", "folder"),
    [("", ""), (".", ""), ("./", ""), ("workflows/", "workflows"), ("./a//b/.", "a/b")],
)
def test_user_spells_a_folder_and_it_is_found(given: str, folder: str) -> None:
    assert parse_folder(given) == folder


@pytest.mark.parametrize("given", ["..", "/", "/workflows", "a/../b", "a\\b", "%2e%2e"])
def test_user_spells_a_folder_outside_and_is_refused(given: str) -> None:
    with pytest.raises(BadPath):
        parse_folder(given)


@given(st.text(max_size=60))
@example("a/../../b")
@example("a\\..\\..\\b")
def test_user_gives_any_text_and_what_passes_lies_inside_on_every_system(text: str) -> None:
    try:
        name = parse(text)
    except BadRequest:
        return
    assert name == text
    for module, root in ((posixpath, "/data/files"), (ntpath, "C:\\data\\files")):
        joined = module.normpath(module.join(root, name))
        assert joined.startswith(root + module.sep)
        assert module.relpath(joined, root).replace("\\", "/") == name


@given(st.text(min_size=1, max_size=30))
def test_user_encodes_a_separator_twice_and_is_refused(text: str) -> None:
    twice = quote(quote(f"../{text}", safe="", errors="replace"), safe="")
    with pytest.raises(BadPath):
        parse(twice)


@pytest.mark.parametrize(
    ("one", "other"), [("A.json", "a.json"), ("É", "e\u0301"), ("ÉA/b", "e\u0301a/B")]
)
def test_names_that_some_system_takes_for_one_are_told(one: str, other: str) -> None:
    assert collision_key(one) == collision_key(other)


def test_workflows_are_told_from_what_is_called_alike() -> None:
    assert is_workflow("workflows") and is_workflow("workflows/a.json")
    assert not is_workflow("workflows.json") and not is_workflow("x/workflows/a.json")
