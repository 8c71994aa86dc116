"""Whose a file is: folders, texts that lead into one, prefixes that stay in one's own."""

import ntpath
import posixpath

import pytest
from hypothesis import example, given

from comfyproxy.files import (
    FileRef,
    OutsideError,
    is_own,
    may_see,
    mentions_foreign,
    namespace_of,
    own_prefix,
)
from tests.comfyproxy.names import BOB, OWN, PATHS


@pytest.mark.parametrize(
    ("subfolder", "namespace"),
    [
        ("", None),
        ("a", None),
        (BOB, BOB),
        (f"{BOB}/a", BOB),
        (BOB.upper(), BOB),
        (f"{BOB}.", BOB),
        (f"{BOB} ./a", BOB),
        (f"a/{BOB}", None),
        ("u-short", None),
        (f"{BOB}1", None),
        (f"x{BOB}", None),
    ],
)
def test_a_folder_belongs_to_whom_any_file_system_would_take_it_for(
    subfolder: str, namespace: str | None
) -> None:
    assert namespace_of(subfolder) == namespace


@pytest.mark.parametrize(
    ("ref", "own", "by_alice", "by_all"),
    [
        (FileRef("output", OWN, "x"), True, True, True),
        (FileRef("temp", f"{OWN}/a", "x"), True, True, True),
        (FileRef("input", f"{OWN}/a/b", "x"), True, True, True),
        (FileRef("output", f"{OWN}1", "x"), False, False, True),
        (FileRef("output", OWN.upper(), "x"), False, False, True),
        (FileRef("output", f"{OWN} ", "x"), False, False, True),
        (FileRef("output", BOB, "x"), False, False, True),
        (FileRef("input", BOB, "x"), False, False, True),
        (FileRef("input", "", "x"), False, True, True),
        (FileRef("input", "a", "x"), False, False, True),
        (FileRef("output", "", "x"), False, False, True),
        (FileRef("temp", "", "x"), False, False, True),
    ],
)
def test_a_file_is_shown_to_its_owner_and_at_the_top_of_input_to_all(
    ref: FileRef, own: bool, by_alice: bool, by_all: bool
) -> None:
    assert is_own(ref, OWN) is own
    assert may_see(ref, namespace=OWN, sees_all=False) is by_alice
    assert may_see(ref, namespace=OWN, sees_all=True) is by_all


@pytest.mark.parametrize(
    "text",
    [
        BOB,
        BOB.upper(),
        f"{BOB}/x.png",
        f"{BOB}\\x.png",
        f"{BOB} /x.png",
        f"{BOB}./x.png",
        f" {BOB}/x.png",
        f'"{BOB}/x.png"',
        f"a.png,{BOB}/x.png",
        f"a.png\n{BOB}/x.png",
        f"./{BOB}",
        f"./{BOB}/",
        f"../input/{BOB}",
        f"/srv/comfy/input/{BOB}",
        f"C:\\comfy\\input\\{BOB}",
        f"/srv/comfy/input/{BOB}/a/x.png",
        f"input/{BOB} [input]",
        f"{BOB} [input]",
        f"{BOB} [output]",
        f" {BOB} ",
        f"{BOB}.",
        f"'{BOB}'",
        f"file:{BOB}/x",
        f"{OWN}/{BOB}/x",
        f"{OWN}/a.png {BOB}/x",
        OWN.upper() + "/x.png",
    ],
)
def test_a_text_that_leads_into_anothers_folder_is_found(text: str) -> None:
    assert mentions_foreign(text, OWN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a cat in a u-shaped valley",
        "the u-structures of bob",  # ten letters, but no path
        "u-turn/left",
        OWN,
        f"{OWN}/x.png",
        f"{OWN}/a/x.png [output]",
        f"/srv/comfy/input/{OWN}/x.png",
        f"my{BOB}/x.png",
        f"a-{BOB}/x.png",
        f"{BOB}1/x.png",
        f"{BOB}-a/x.png",
        f"{BOB}.png",
        f"x/{BOB}2",
    ],
)
def test_a_text_that_leads_nowhere_foreign_is_left_alone(text: str) -> None:
    assert not mentions_foreign(text, OWN)


@pytest.mark.parametrize(
    ("prefix", "own"),
    [
        ("ComfyUI", f"{OWN}/ComfyUI"),
        ("", f"{OWN}/ComfyUI"),
        (".", f"{OWN}/ComfyUI"),
        ("a/b", f"{OWN}/a/b"),
        ("a//./b", f"{OWN}/a/b"),
        ("tail/", f"{OWN}/tail"),
        ("%date:yyyy-MM-dd%/x", f"{OWN}/%date:yyyy-MM-dd%/x"),
        (OWN, f"{OWN}/ComfyUI"),
        (f"{OWN}/", f"{OWN}/ComfyUI"),
        (f"{OWN}/x", f"{OWN}/x"),
        (f"./{OWN}//x", f"{OWN}/x"),
        ("u-short/x", f"{OWN}/u-short/x"),
        (f"a/{BOB}/x", f"{OWN}/a/{BOB}/x"),
        ("a..b", f"{OWN}/a..b"),
        ("é", f"{OWN}/é"),
    ],
)
def test_a_prefix_moves_into_its_owners_folder(prefix: str, own: str) -> None:
    assert own_prefix(prefix, OWN) == own


@pytest.mark.parametrize(
    "prefix", [BOB, f"{BOB}/x", f"./{BOB}/x", f"{BOB.upper()}/x", f"{BOB}./x", OWN.upper() + "/x"]
)
def test_a_prefix_into_anothers_folder_is_refused(prefix: str) -> None:
    with pytest.raises(OutsideError):
        own_prefix(prefix, OWN)


@given(PATHS)
@example(f"{OWN}/{OWN}/{OWN}")
@example(f"{OWN}/a:b/c")
def test_any_prefix_ends_up_in_the_namespace_once_and_for_all(prefix: str) -> None:
    try:
        own = own_prefix(prefix, OWN)
    except OutsideError:
        return
    assert own_prefix(own, OWN) == own
    # As ComfyUI normalises it, on either kind of system.
    assert posixpath.normpath(own) == own
    assert ntpath.normpath(own).split("\\")[0] == OWN
    assert own.split("/")[0] == OWN
    assert len(own) > len(OWN) + 1


@given(PATHS)
def test_any_mention_of_a_folder_in_a_path_is_seen(text: str) -> None:
    assert mentions_foreign(f"{text}/{BOB}/x.png", OWN)
    assert mentions_foreign(f"{BOB}/{text}", OWN)
