"""Inputs that hold further ones, as newer ComfyUI has them, in definitions and in prompts.

Their shape: ComfyUI's comfy_api/latest/_io.py, DynamicCombo, DynamicSlot and Autogrow.
"""

from copy import deepcopy
from typing import Any

import pytest

from comfyproxy.files import FileRef
from comfyproxy.filters.definitions import definitions
from comfyproxy.filters.inputs import file_lists, with_own
from comfyproxy.filters.modellists import without_models
from comfyproxy.filters.models import Allowed, Model, nothing
from comfyproxy.prompts.mapping import FileUse, Refused, file_uses, foreign_mentions, rewritten
from comfyproxy.prompts.shape import Graph
from comfyproxy.prompts.specs import InputSpec, Kind, node_spec
from comfyproxy.prompts.uses import HiddenModel, hidden_models
from tests.comfyproxy.graphs import CHECKPOINTS, KNOWN, SPECS, at, node, one
from tests.comfyproxy.names import BOB, OWN

TOP = frozenset({"top.png"})
UPLOAD = [["top.png"], {"image_upload": True}]
PREFIX = ["STRING", {"default": "video/x"}]
INFO: dict[str, Any] = {
    "input": {
        "required": {
            "format": [
                "COMFY_DYNAMICCOMBO_V3",
                {
                    "options": [
                        {
                            "key": "model",
                            "inputs": {
                                "required": {"ckpt": [CHECKPOINTS, {"default": CHECKPOINTS[0]}]},
                                "optional": {
                                    "inner": [
                                        "COMFY_DYNAMICCOMBO_V3",
                                        {
                                            "options": [
                                                {
                                                    "key": "file",
                                                    "inputs": {"required": {"f": UPLOAD}},
                                                }
                                            ]
                                        },
                                    ]
                                },
                            },
                        },
                        {"key": "file", "inputs": {"required": {"image": UPLOAD}}},
                        {
                            "key": "save",
                            "inputs": {
                                "required": {"n": ["INT", {}]},
                                "optional": {"filename_prefix": PREFIX},
                            },
                        },
                        {"key": "none", "inputs": {}},
                    ]
                },
            ],
            "images": [
                "COMFY_AUTOGROW_V3",
                {
                    "template": {
                        "input": {"required": {"image": UPLOAD}},
                        "prefix": "image",
                        "max": 3,
                    }
                },
            ],
        },
        "optional": {
            "loras": [
                "COMFY_AUTOGROW_V3",
                {
                    "template": {
                        "input": {"optional": {"l": ["COMBO", {"options": ["style.safetensors"]}]}},
                        "names": ["first", "second"],
                        "min": 0,
                    }
                },
            ],
            "slot": [
                "COMFY_DYNAMICSLOT_V3",
                {"slotType": "IMAGE", "inputs": {"required": {"vae": [["vae.pt", "pixel_space"]]}}},
            ],
            "plain": ["COMBO,STRING", {"options": ["vae.pt"]}],
        },
    },
    "output_node": True,
}
NODE = node_spec(INFO, KNOWN, TOP)
ALL = {**SPECS, "Dynamic": NODE}
BASE = Model("checkpoints", "base.safetensors")


def test_nested_inputs_are_known_by_the_names_that_prompts_give_them() -> None:
    kinds = {name: (spec.kind, sorted(spec.folders)) for name, spec in NODE.inputs.items()}
    assert kinds == {
        "format": (Kind.LIST, []),
        "format.ckpt": (Kind.MODEL, ["checkpoints"]),
        "format.inner": (Kind.LIST, []),
        "format.inner.f": (Kind.FILE, []),
        "format.image": (Kind.FILE, []),
        "format.n": (Kind.NUMBER, []),
        "format.filename_prefix": (Kind.PREFIX, []),
        "images": (Kind.TEXT, []),
        "images.image0": (Kind.FILE, []),
        "images.image1": (Kind.FILE, []),
        "images.image2": (Kind.FILE, []),
        "loras": (Kind.TEXT, []),
        "loras.first": (Kind.MODEL, ["loras"]),
        "loras.second": (Kind.MODEL, ["loras"]),
        "slot": (Kind.TEXT, []),
        "slot.vae": (Kind.MODEL, ["vae"]),
        "plain": (Kind.MODEL, ["vae"]),
    }
    assert NODE.inputs["format.filename_prefix"] == InputSpec(
        Kind.PREFIX, optional=True, default="video/x"
    )
    for found in definitions(INFO):
        value: Any = INFO["input"]
        for step in found.path:
            if isinstance(value, list) and not isinstance(step, int):
                (value,) = (option for option in value if option["key"] == step.key)  # type: ignore[union-attr]
            else:
                value = value[step]
        assert value[0] == found.definition.type


def grown(template: Any) -> list[str]:
    info = {"input": {"required": {"x": ["COMFY_AUTOGROW_V3", {"template": template}]}}}
    return [name for found in definitions(info) for name in found.names if name != "x"]


@pytest.mark.parametrize(
    ("template", "count"),
    [
        ({"prefix": "a", "max": 3}, 3),
        ({"prefix": "a", "max": 3000}, 100),
        ({"prefix": "a"}, 100),
        ({"prefix": "a", "max": "7"}, 100),
        ({"names": ["a", "b"]}, 2),
        ({"names": ["a", 7, None]}, 1),
        ({"names": [f"n{number}" for number in range(500)]}, 100),
        ({"names": "ab"}, 0),
        ({"prefix": 7}, 0),
        ({}, 0),
    ],
    ids=str,
)
def test_repeated_inputs_have_as_many_names_as_comfyui_allows(
    template: dict[str, Any], count: int
) -> None:
    names = grown({**template, "input": {"required": {"i": ["IMAGE"]}}})
    assert len(names) == len(set(names)) == count
    assert all(name.startswith("x.") for name in names)
    assert grown(template) == grown(None) == []


@pytest.mark.parametrize(
    "options",
    [
        {"options": [{"key": "a"}, {"key": "b", "inputs": []}, None, 7, "x", {}]},
        {"options": {"key": "a"}},
        {"inputs": [["IMAGE"]]},
        {"inputs": {"required": ["a"]}},
        {"template": {"input": "x", "prefix": "a"}},
    ],
    ids=str,
)
def test_what_is_shaped_like_nothing_holds_nothing(options: Any) -> None:
    info = {"input": {"required": {"x": ["COMFY_DYNAMICCOMBO_V3", options]}}}
    assert [found.names for found in definitions(info)] == [("x",)]


def test_of_two_inputs_of_one_name_the_one_that_asks_for_more_care_counts() -> None:
    def spec(*definitions: Any) -> InputSpec:
        options = [
            {"key": str(index), "inputs": {"required": {"x": raw}}}
            for index, raw in enumerate(definitions)
        ]
        info = {"input": {"required": {"c": ["COMFY_DYNAMICCOMBO_V3", {"options": options}]}}}
        return node_spec(info, KNOWN, TOP).inputs["c.x"]

    checkpoints, loras = [CHECKPOINTS], [["style.safetensors"]]
    assert spec(["STRING"], UPLOAD).kind is spec(UPLOAD, ["STRING"]).kind is Kind.FILE
    assert spec(checkpoints, UPLOAD).kind is Kind.FILE
    assert spec(checkpoints, checkpoints).folders == {"checkpoints"}
    for pair in ((checkpoints, loras), (loras, checkpoints), (checkpoints, ["STRING"])):
        found = spec(*pair)
        assert (found.kind, found.folders) == (Kind.MODEL, frozenset())


def hidden(allowed: Allowed = nothing, **inputs: Any) -> list[HiddenModel]:
    graph = {"1": {"class_type": "Dynamic", "inputs": inputs}, "2": node("Custom", value="v")}
    return list(hidden_models(graph, ALL, KNOWN, allowed))


@pytest.mark.parametrize("name", ["format.ckpt", "loras.second", "slot.vae", "plain"])
def test_a_link_into_a_nested_list_of_models_is_refused(name: str) -> None:
    for link in (["2", 0], {"__value__": ["2", 0]}):
        assert hidden(**{name: link}) == [HiddenModel(at(name), None)]
    assert hidden(**{"format.n": ["2", 0], "images.image0": ["2", 0], "other.x": ["2", 0]}) == []


def test_a_model_chosen_in_a_nested_list_is_judged_by_its_folder() -> None:
    def granted(folder: str, name: str) -> bool:
        return Model(folder, name) == BASE

    assert hidden(granted, **{"format.ckpt": "base.safetensors"}) == []
    assert hidden(**{"format.ckpt": "base.safetensors"}) == [HiddenModel(at("format.ckpt"), BASE)]
    assert hidden(**{"format": {"ckpt": "base.safetensors"}}) == [HiddenModel(at("format"), BASE)]


def mapped(graph: Graph) -> tuple[Graph, list[Any]]:
    uses = list(file_uses(graph, ALL))
    files = {
        (use.place, use.text): FileRef(use.ref.type, OWN, use.ref.filename)
        for use in uses
        if isinstance(use, FileUse)
    }
    refused = [use for use in uses if isinstance(use, Refused)]
    result, outside = rewritten(graph, ALL, OWN, files, sees_all=False)
    return result, [use.place.input_name for use in (*refused, *outside)]


def test_files_and_prefixes_in_nested_inputs_move_into_the_owners_folders() -> None:
    inputs = {
        "format": "save",
        "format.filename_prefix": "pics/a",
        "format.image": "b.png",
        "format.inner.f": "c.png [input]",
        "images.image1": {"__value__": "d.png"},
    }
    result, refused = mapped(one("Dynamic", **inputs))
    assert refused == []
    found = result["1"]["inputs"]
    assert {name: found[name] for name in inputs} == {
        "format": "save",
        "format.filename_prefix": f"{OWN}/pics/a",
        "format.image": f"{OWN}/b.png",
        "format.inner.f": f"{OWN}/c.png [input]",
        "images.image1": {"__value__": f"{OWN}/d.png"},
    }
    # Left out, it would be written to wherever the node pleases.
    result, _ = mapped(one("Dynamic", format="save"))
    assert result["1"]["inputs"]["format.filename_prefix"] == f"{OWN}/video/x"
    # Undeclared ones of that name as well.
    result, _ = mapped(one("AnyCustomNode", **{"x.filename_prefix": "a"}))
    assert result["1"]["inputs"]["x.filename_prefix"] == f"{OWN}/a"


@pytest.mark.parametrize("name", ["format.image", "format.inner.f", "images.image2"])
def test_links_and_others_files_in_nested_inputs_are_refused(name: str) -> None:
    graph = one("Dynamic", **{name: ["2", 0]}) | {"2": node("Custom", value="v")}
    assert mapped(graph)[1] == [name]
    graph["2"] = node("PrimitiveString", value="x.png")
    result, refused = mapped(graph)
    assert refused == []
    assert result["1"]["inputs"][name] == f"{OWN}/x.png"
    foreign = foreign_mentions(one("Dynamic", **{name: f"{BOB}/x.png"}), ALL, OWN, sees_all=False)
    assert [use.place for use in foreign] == [at(name)]
    assert mapped(one("Dynamic", **{"format.filename_prefix": "../x"}))[1] == [
        "format.filename_prefix"
    ]


def test_own_files_are_offered_in_nested_lists() -> None:
    before = deepcopy(INFO)
    shown = with_own(INFO, file_lists(INFO, KNOWN, TOP), [f"{OWN}/a.png", f"{OWN}/b.txt"])
    assert before == INFO, "what came in was changed"
    offered = [[f"{OWN}/a.png", "top.png"], {"image_upload": True}]
    options = before["input"]["required"]["format"][1]["options"]
    options[0]["inputs"]["optional"]["inner"][1]["options"][0]["inputs"]["required"]["f"] = offered
    options[1]["inputs"]["required"]["image"] = offered
    template = before["input"]["required"]["images"][1]["template"]
    template["input"]["required"]["image"] = offered
    assert shown == before


def test_an_option_that_is_hidden_takes_no_files() -> None:
    option = {"key": "base.safetensors", "inputs": {"required": {"image": UPLOAD}}}
    plain = {"key": "none", "inputs": {"required": {"image": UPLOAD}}}
    info = {"input": {"required": {"x": ["COMFY_DYNAMICCOMBO_V3", {"options": [option, plain]}]}}}
    lists = file_lists(info, KNOWN, TOP)
    assert len(lists) == 2
    shown = with_own(without_models(info, KNOWN, nothing), lists, [f"{OWN}/a.png"])
    assert shown["input"]["required"]["x"][1]["options"] == [
        {
            "key": "none",
            "inputs": {
                "required": {"image": [[f"{OWN}/a.png", "top.png"], {"image_upload": True}]}
            },
        }
    ]
