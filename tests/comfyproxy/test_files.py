"""Files: one resolved answer for every spelling that ComfyUI takes for a file's name."""

import ntpath
import posixpath
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.errors import BadRequest, NotFound
from comfyproxy.files import (
    FileRef,
    OutsideError,
    may_see,
    normal_path,
    own_prefix,
    parse_name,
    parse_view,
    split_annotation,
)
from tests.comfyproxy.names import BOB, OWN, PATHS

ESCAPES = [
    "/etc/passwd",
    "//etc/passwd",
    "..",
    "../x.png",
    "a/../../x.png",
    "a/..",
    "a/../b.png",
    "./../x.png",
    "a/./../b.png",
    f"{OWN}/../{BOB}/x.png",
    "\\x.png",
    "a\\..\\b.png",
    f"..\\{BOB}\\x.png",
    "\\\\server\\share\\x.png",
    "C:x.png",
    "C:/x.png",
    "c:\\x.png",
    "./C:x.png",
    "a\0b.png",
    # What Windows takes for `..`: it drops spaces and dots at the end of a name.
    ".. /x.png",
    "... /x.png",
    ".../x.png",
    "a/.. ./b.png",
]
ANNOTATIONS = [
    ("x.png", ("x.png", "input")),
    ("x.png [input]", ("x.png", "input")),
    ("x.png [output]", ("x.png", "output")),
    ("x.png [temp]", ("x.png", "temp")),
    ("a/x.png [temp]", ("a/x.png", "temp")),
    # One character before the bracket goes, whatever it is.
    ("x.png[output]", ("x.pn", "output")),
    ("x.png  [output]", ("x.png ", "output")),
    ("x [input] [output]", ("x [input]", "output")),
    (" [output]", ("", "output")),
    ("[output]", ("", "output")),
    ("x.png [OUTPUT]", ("x.png [OUTPUT]", "input")),
    ("x.png [output] ", ("x.png [output] ", "input")),
    ("x.png [other]", ("x.png [other]", "input")),
    ("[output] x.png", ("[output] x.png", "input")),
]


@pytest.mark.parametrize("path", ESCAPES)
def test_a_path_that_leaves_its_folder_or_reads_differently_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(OutsideError):
        normal_path(path)
    with pytest.raises(OutsideError):
        parse_name(path, "input")
    with pytest.raises(OutsideError):
        parse_name(f"{path} [output]", "input")
    with pytest.raises(OutsideError):
        own_prefix(path, OWN)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("", ""),
        (".", ""),
        ("./", ""),
        ("a", "a"),
        ("a//b/./c", "a/b/c"),
        ("a/b/", "a/b"),
        (" a /b ", " a /b "),
        ("a..b", "a..b"),
        ("..a", "..a"),
        ("a.", "a."),
        (".hidden", ".hidden"),
        ("~/x", "~/x"),
        ("ab:c", "ab:c"),
    ],
)
def test_a_path_inside_is_written_one_way(path: str, normal: str) -> None:
    assert normal_path(path) == normal


@pytest.mark.parametrize(("name", "parts"), ANNOTATIONS)
def test_an_annotation_is_cut_as_comfyui_cuts_it(name: str, parts: tuple[str, str]) -> None:
    assert split_annotation(name, "input") == parts


@pytest.mark.parametrize(
    ("name", "default", "ref", "annotated"),
    [
        ("x.png", "input", FileRef("input", "", "x.png"), "x.png"),
        ("x.png", "output", FileRef("output", "", "x.png"), "x.png [output]"),
        ("./a//x.png", "input", FileRef("input", "a", "x.png"), "a/x.png"),
        ("a/b/x.png [temp]", "input", FileRef("temp", "a/b", "x.png"), "a/b/x.png [temp]"),
        (
            "clipspace/x.png [input]",
            "output",
            FileRef("input", "clipspace", "x.png"),
            "clipspace/x.png",
        ),
        ("x.png/", "input", FileRef("input", "", "x.png"), "x.png"),
        ("", "input", FileRef("input", "", ""), ""),
    ],
)
def test_an_inputs_name_is_one_file_and_says_so_in_a_prompt(
    name: str, default: str, ref: FileRef, annotated: str
) -> None:
    assert parse_name(name, default) == ref
    assert ref.annotated() == annotated


@pytest.mark.parametrize("name", ["blake3:00ff", "BLAKE3:00ff", " blake3:00", f"{OWN}/blake3:00"])
def test_a_name_that_means_anyones_content_means_no_file(name: str) -> None:
    for annotated in (name, f"{name} [output]"):
        with pytest.raises(NotFound):
            parse_view({"filename": annotated, "subfolder": OWN})
        with pytest.raises(OutsideError):
            parse_name(annotated, "input")


@pytest.mark.parametrize(
    ("query", "ref"),
    [
        ({"filename": "x.png"}, FileRef("output", "", "x.png")),
        ({"filename": "x.png", "type": "temp"}, FileRef("temp", "", "x.png")),
        ({"filename": "x.png [input]", "type": "temp"}, FileRef("input", "", "x.png")),
        ({"filename": "x.png [input]", "type": "nonsense"}, FileRef("input", "", "x.png")),
        ({"filename": f"{BOB}/x.png"}, FileRef("output", "", "x.png")),
        ({"filename": f"{BOB}/x.png", "subfolder": OWN}, FileRef("output", OWN, "x.png")),
        ({"filename": "x", "subfolder": f"./{OWN}//a/."}, FileRef("output", f"{OWN}/a", "x")),
        ({"filename": "x.png", "subfolder": ""}, FileRef("output", "", "x.png")),
        ({"filename": " x.png "}, FileRef("output", "", " x.png ")),
        ({"filename": "."}, FileRef("output", "", ".")),
    ],
)  # fmt: skip
def test_view_means_the_file_that_comfyui_would_open(query: dict[str, str], ref: FileRef) -> None:
    assert parse_view(query) == ref


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"filename": ""}, "filename"),
        ({"filename": " [output]"}, "filename"),
        ({"filename": "/x.png"}, "filename"),
        ({"filename": "../x.png"}, "filename"),
        ({"filename": "a..b.png"}, "filename"),
        ({"filename": "..\\x.png"}, "filename"),
        ({"filename": "a\\x.png"}, "filename"),
        ({"filename": "x.png\0"}, "filename"),
        ({"filename": "x.png", "type": "models"}, "type"),
        ({"filename": "x.png", "type": ""}, "type"),
        ({"filename": "x.png", "type": "Output"}, "type"),
    ],
)
def test_view_of_a_malformed_name_is_400_naming_the_field(
    query: dict[str, str], field: str
) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse_view(query)
    assert refusal.value.fields == {"field": field}


@pytest.mark.parametrize("subfolder", ESCAPES)
def test_view_of_a_folder_outside_is_404_like_any_other_missing_file(subfolder: str) -> None:
    with pytest.raises(NotFound):
        parse_view({"filename": "x.png", "subfolder": subfolder})


@pytest.mark.parametrize("query", [{}, {"subfolder": OWN}, {"filename": "a/", "subfolder": OWN}])
def test_view_of_nothing_is_404(query: dict[str, str]) -> None:
    with pytest.raises(NotFound):
        parse_view(query)


@given(PATHS, st.sampled_from(["input", "output", "temp"]))
@example("./C:x.png", "input")
def test_any_name_stays_inside_its_folder(name: str, default: str) -> None:
    try:
        ref = parse_name(name, default)
    except OutsideError:
        return
    # Python takes any character before a colon for a drive; Windows has them from A to Z.
    is_odd_drive = ref.path[1:2] == ":" and re.match("[A-Za-z]", ref.path) is None
    for system in (posixpath,) if is_odd_drive else (posixpath, ntpath):
        joined = system.normpath(system.join("/base", ref.path)).replace("\\", "/")
        assert joined == "/base" or joined.startswith("/base/")
        relative = system.normpath(ref.path).replace("\\", "/")
        assert not f"{relative}/".startswith(("/", "../"))
    # What a prompt is given reads as the same file again.
    if ref.filename and split_annotation(ref.path, "none")[1] == "none":
        assert parse_name(ref.annotated(), "input") == ref


@given(PATHS, PATHS, st.sampled_from(["input", "output", "temp", ""]))
def test_any_view_that_alice_may_see_is_hers_or_at_the_top_of_input(
    filename: str, subfolder: str, kind: str
) -> None:
    try:
        ref = parse_view({"filename": filename, "subfolder": subfolder, "type": kind})
    except (BadRequest, NotFound):
        return
    if may_see(ref, namespace=OWN, sees_all=False):
        path = posixpath.normpath(posixpath.join("/base", ref.subfolder))
        path = posixpath.join(path, posixpath.basename(ref.filename))
        in_own = posixpath.normpath(path).startswith(f"/base/{OWN}")
        at_top = ref.type == "input" and posixpath.dirname(path) == "/base"
        assert in_own or at_top
