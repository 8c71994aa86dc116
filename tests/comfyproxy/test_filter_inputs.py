"""The caller's own files in lists of input files: which lists, which files, in which order."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.filters.inputs import file_lists, with_own
from comfyproxy.prompts.specs import Kind, node_spec
from tests.comfyproxy.graphs import CHECKPOINTS, KNOWN
from tests.comfyproxy.names import BOB, OWN

TOP = frozenset({"top.png", "song.flac", "x.latent", "README", "base.safetensors", "euler"})
FILES = ("a.png", "b.JPEG", "c.webp", "d.svg", "e.flac", "f.ogg", "g.mp3", "h.mp4", "i.mkv")
FILES += ("j.glb", "k.obj", "l.latent", "m.txt", "n", ".png", "o.png.zip", "p.tar.gz", "v1.2/q")
OWN_FILES = tuple(f"{OWN}/{name}" for name in FILES)
IMAGES, VIDEO, AUDIO = ("a.png", "b.JPEG", "c.webp", "d.svg"), ("h.mp4", "i.mkv"), FILES[4:7]
# (definition, own files that it takes, values that stay before them).
LISTS: list[tuple[list[Any], tuple[str, ...], int]] = [
    ([["top.png"], {"image_upload": True}], IMAGES, 0),
    ([[], {"image_upload": True}], IMAGES, 0),
    ([["a.png [output]"], {"image_upload": True, "image_folder": "input"}], IMAGES, 0),
    (["COMBO", {"options": ["film.mp4"], "video_upload": True}], VIDEO, 0),
    (["COMBO", {"options": [], "audio_upload": True}, "more"], (*AUDIO, *VIDEO), 0),
    ([[], {"image_upload": True, "video_upload": True}], (*IMAGES, *VIDEO), 0),
    ([["3d/shape.glb"], {"file_upload": True}], ("j.glb", "k.obj"), 0),
    # By what lies at the top: nothing else, whatever else is in the list.
    ([["x.latent"]], ("l.latent",), 0),
    ([["other.txt", "song.flac", "top.png"]], ("a.png", "e.flac"), 0),
    (["COMBO", {"options": ["None", "", None, 7, "top.png", "None"]}], ("a.png",), 4),
    ([["None"], {"image_upload": True}], IMAGES, 1),
    # Names without an extension tell no kind: a file may be called like a sampler.
    ([["euler", "ddim"]], (), 0),
    ([["README", "top.png"]], ("a.png",), 1),
]
OTHERS: list[Any] = [
    [CHECKPOINTS],
    # A model of the same name makes it a list of models.
    [["base.safetensors", "top.png"]],
    [["euler2"]],
    [[]],
    [["plain", "plain/a", OWN, f"{OWN}/a"], {}],
    ["COMBO", {"image_upload": True}],
    ["COMBO", {"options": ["top.png"], "image_upload": True, "image_folder": "output"}],
    ["COMBO", {"options": ["top.png"], "image_upload": True, "image_folder": "temp"}],
    ["COMBO", {"options": ["top.png"], "remote": {"route": "/internal/files/input"}}],
    ["COMBO", {"options": ["top.png"], "remote": {"route": "https://example.com/list"}}],
    ["STRING", {"default": "top.png"}],
    ["WEBCAM", {}],
    ["IMAGE"],
    "IMAGE",
    [],
    None,
]


def node(**members: Any) -> dict[str, Any]:
    return {"input": {"required": members}, "name": "N", "output": ["top.png"]}


def offered(info: Any, own: Any = OWN_FILES) -> Any:
    return with_own(info, file_lists(info, KNOWN, TOP), own)


def values(definition: Any) -> list[Any]:
    return list(definition[0] if isinstance(definition[0], list) else definition[1]["options"])


@pytest.mark.parametrize(("definition", "taken", "before"), LISTS, ids=str)
def test_a_list_of_input_files_takes_alices_files_of_its_kind(
    definition: list[Any], taken: tuple[str, ...], before: int
) -> None:
    info = {"input": {"required": {"x": definition}, "optional": {"y": definition, "z": ["INT"]}}}
    unchanged = deepcopy(info)
    shown = offered(info)
    assert info == unchanged, "what came in was changed"
    own = [f"{OWN}/{name}" for name in FILES if name in taken]
    assert len(own) == len(taken)
    listed = values(definition)
    for group, name in (("required", "x"), ("optional", "y")):
        found = shown["input"][group][name]
        assert values(found) == [*listed[:before], *own, *listed[before:]]
        # Nothing but the list is different.
        values_of = found[0] if isinstance(found[0], list) else found[1]["options"]
        values_of[:] = listed
        assert found == definition
    assert shown["input"]["optional"]["z"] == ["INT"]


@pytest.mark.parametrize("definition", OTHERS, ids=str)
def test_any_other_input_stays_as_it_is(definition: Any) -> None:
    info = node(x=definition)
    assert file_lists(info, KNOWN, TOP) == ()
    assert offered(info) == info


@pytest.mark.parametrize("info", [None, [], "x", {"input": None}, {"input": {"required": []}}])
def test_a_definition_shaped_like_nothing_lists_nothing(info: Any) -> None:
    assert file_lists(info, KNOWN, TOP) == ()


def test_names_that_are_listed_already_are_listed_once() -> None:
    listed = [f"{OWN}/b.png", f"{BOB}/b.png", "top.png", f"{OWN}/a.png"]
    shown = offered(node(x=[listed]), [f"{OWN}/a.png", f"{OWN}/b.png"])
    assert shown["input"]["required"]["x"] == [
        [f"{OWN}/a.png", f"{OWN}/b.png", f"{BOB}/b.png", "top.png"]
    ]


_STEMS = st.sampled_from(["top", "song", "None", "a", OWN, f"{OWN}/a", f"{BOB}/a"])
_NAMES = st.builds(
    str.__add__, _STEMS, st.sampled_from(["", ".png", ".flac", ".latent", ".mp4", " "])
)
_VALUES = st.lists(st.one_of(_NAMES, st.none(), st.integers()), max_size=8, unique_by=repr)
_FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "image_upload": st.booleans(),
        "audio_upload": st.just(True),
        "file_upload": st.just(True),
        "image_folder": st.sampled_from(["input", "output", "temp"]),
        "remote": st.sampled_from([{"route": "/internal/files/input"}, None]),
        "default": _NAMES,
    },
)
_DEFINITIONS = st.one_of(
    st.builds(lambda names, options: [names, options], _VALUES, _FLAGS),
    st.builds(lambda names, options: ["COMBO", {**options, "options": names}], _VALUES, _FLAGS),
    st.builds(lambda options: ["COMBO", options], _FLAGS),
    st.just(["STRING", {"default": "top.png"}]),
)
_OWN = st.lists(st.sampled_from([*OWN_FILES, f"{OWN}/top.png"]), max_size=6, unique=True)


@given(st.dictionaries(st.sampled_from("xyz"), _DEFINITIONS), _OWN)
def test_own_files_are_added_together_in_their_order_and_all_else_stays(
    members: dict[str, Any], own: list[str]
) -> None:
    info = node(**members)
    unchanged = deepcopy(info)
    lists = {str(entry.path[-1]): entry for entry in file_lists(info, KNOWN, TOP)}
    shown = offered(info, own)
    assert info == unchanged
    for name, definition in members.items():
        found = shown["input"]["required"][name]
        if name not in lists:
            assert found == definition
            continue
        taken = [file for file in own if lists[name].takes(file)]
        names = values(found)
        if taken:
            start = names.index(taken[0])
            assert names[start : start + len(taken)] == taken
        assert [value for value in names if value not in taken] == [
            value for value in values(definition) if value not in taken
        ]
    assert offered(shown, own) == shown, "adding twice is adding once"


@given(_DEFINITIONS)
def test_such_a_list_is_an_input_for_files_in_prompts_too(definition: Any) -> None:
    info = node(x=definition)
    spec = node_spec(info, KNOWN, TOP).inputs["x"]
    if file_lists(info, KNOWN, TOP):
        assert (spec.kind, spec.file_type) == (Kind.FILE, "input")
