"""What a node's definition says about its inputs, in both styles of ComfyUI's lists."""

from typing import Any

import pytest

from comfyproxy.prompts.specs import UNKNOWN_NODE, InputSpec, Kind, NodeSpec, node_spec
from tests.comfyproxy.graphs import CHECKPOINTS, KNOWN

FILES = frozenset({"top.png", "song.flac"})


def spec(definition: Any, name: str = "x", is_output: bool = False) -> InputSpec:
    info = {"input": {"required": {name: definition}}, "output_node": is_output}
    return node_spec(info, KNOWN, FILES).inputs[name]


MODEL_LISTS = [
    [CHECKPOINTS],
    [["None", *CHECKPOINTS]],
    [["pixel_space", "vae.pt"], {"default": "vae.pt"}],
    ["COMBO", {"options": CHECKPOINTS}],
    ["COMBO", {"options": ["[None]", "style.safetensors"]}],
    # As other nodes may spell it.
    [["checkpoints/base.safetensors"]],
    [["/models/checkpoints/base.safetensors"]],
    [["sdxl\\Big Model.safetensors"]],
]
FILE_INPUTS = [
    ([["top.png", "other.png"], {"image_upload": True}], "input"),
    ([[], {"image_upload": True}], "input"),
    ([[], {"audio_upload": True}], "input"),
    ([[], {"video_upload": True}], "input"),
    ([[], {"file_upload": True}], "input"),
    (["COMBO", {"options": [], "image_upload": True}], "input"),
    (["COMBO", {"image_upload": True, "image_folder": "output"}], "output"),
    (["COMBO", {"image_upload": True, "image_folder": "temp"}], "temp"),
    (["COMBO", {"image_upload": True, "image_folder": "elsewhere"}], "input"),
    (["COMBO", {"image_upload": True, "image_folder": ["output"]}], "input"),
    (["COMBO", {"remote": {"route": "/internal/files/output"}}], "output"),
    (["COMBO", {"remote": {"route": "/internal/files/input"}}], "input"),
    # Unflagged, but it lists input files.
    ([["other.txt", "song.flac"]], "input"),
    (["COMBO", {"options": ["top.png"]}], "input"),
    # What a widget records, it uploads; the value names the file.
    (["WEBCAM", {}], "input"),
    (["AUDIO_RECORD", {}], "input"),
    (["LOAD_3D", {}], "input"),
    (["LOAD_3D_ANIMATION", {}], "input"),
]
OTHERS = [
    ([["euler", "ddim"]], Kind.LIST),
    (["COMBO", {"options": ["a", 1, None]}], Kind.LIST),
    (["COMBO", {}], Kind.LIST),
    (["COMBO"], Kind.LIST),
    (["COMBO", {"remote": {"route": "https://example.com/list"}}], Kind.LIST),
    (["STRING", {"multiline": True}], Kind.TEXT),
    (["STRING"], Kind.TEXT),
    (["FLOAT", {"default": 1.0}], Kind.NUMBER),
    (["INT", {}], Kind.NUMBER),
    (["BOOLEAN", {}], Kind.TEXT),
    (["IMAGE"], Kind.TEXT),
    (["*", {}], Kind.TEXT),
    ("IMAGE", Kind.TEXT),
    ([], Kind.TEXT),
    (None, Kind.TEXT),
    ([None, None], Kind.TEXT),
    ([{"a": 1}, []], Kind.TEXT),
    (7, Kind.TEXT),
]


@pytest.mark.parametrize("definition", MODEL_LISTS, ids=str)
def test_a_list_that_holds_a_model_is_a_list_of_models(definition: Any) -> None:
    assert spec(definition).kind is Kind.MODEL


@pytest.mark.parametrize(("definition", "folder"), FILE_INPUTS, ids=str)
def test_an_input_for_files_is_known_by_its_flags_its_list_or_its_widget(
    definition: Any, folder: str
) -> None:
    found = spec(definition)
    assert (found.kind, found.file_type) == (Kind.FILE, folder)


@pytest.mark.parametrize(("definition", "kind"), OTHERS, ids=str)
def test_any_other_input_is_what_its_type_says(definition: Any, kind: Kind) -> None:
    assert spec(definition).kind is kind


def test_an_empty_list_may_be_one_of_files() -> None:
    for definition in ([[]], ["COMBO", {"options": []}]):
        assert spec(definition).kind is Kind.FILE


@pytest.mark.parametrize(
    ("name", "values", "is_place"),
    [
        ("folder", ["a"], True),
        ("input_dir", ["a"], True),
        ("x", ["a", "u-alice00000"], True),
        ("x", ["U-ALICE00000\\b"], True),
        ("sampler_name", ["euler"], False),
        ("profile", ["fast"], False),
    ],
)
def test_a_list_of_places_is_known_by_its_name_or_its_values(
    name: str, values: list[str], is_place: bool
) -> None:
    assert spec([values], name) == InputSpec(Kind.LIST, is_place=is_place)


def test_a_node_that_is_told_the_prompt_is_personal() -> None:
    for hidden in ({"p": "PROMPT"}, {"e": ["EXTRA_PNGINFO", {}]}, {"d": "DYNPROMPT"}):
        assert node_spec({"input": {"hidden": hidden}}, KNOWN, FILES).is_personal
    for other in ({"id": "UNIQUE_ID"}, {"x": {}}, {"x": []}, {}):
        assert not node_spec({"input": {"hidden": other}}, KNOWN, FILES).is_personal


def test_a_prefix_is_known_by_its_name() -> None:
    text = ["STRING", {"default": "video/ComfyUI"}]
    assert spec(text, "filename_prefix") == InputSpec(Kind.PREFIX, default="video/ComfyUI")
    assert spec(["*"], "filename_prefix").kind is Kind.PREFIX
    # `prefix` alone may mean anything, unless the node saves something.
    assert spec(text, "prefix", is_output=True).kind is Kind.PREFIX
    assert spec(text, "prefix").kind is Kind.TEXT
    assert spec([["a"]], "prefix", is_output=True).kind is Kind.LIST


def test_optional_inputs_are_marked_and_hidden_ones_left_out() -> None:
    info = {
        "input": {
            "required": {"a": ["STRING"]},
            "optional": {"b": ["STRING", {"default": "x"}]},
            "hidden": {"prompt": "PROMPT"},
        },
        "output_node": True,
    }
    assert node_spec(info, KNOWN, FILES) == NodeSpec(
        {"a": InputSpec(Kind.TEXT), "b": InputSpec(Kind.TEXT, optional=True, default="x")},
        is_personal=True,
    )


@pytest.mark.parametrize(
    "info",
    [None, [], "x", {}, {"input": None}, {"input": []}, {"input": {"required": ["a"]}}],
    ids=str,
)
def test_a_definition_shaped_like_nothing_declares_nothing(info: Any) -> None:
    assert node_spec(info, KNOWN, FILES) == UNKNOWN_NODE
    assert node_spec({"output_node": "yes"}, KNOWN, FILES).is_personal is False
