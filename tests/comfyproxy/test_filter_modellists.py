"""Lists of models anywhere in ComfyUI's JSON, cut down to what the caller may know of."""

from copy import deepcopy
from typing import Any

import pytest

from comfyproxy.filters.modellists import Marker, hidden_among, without_models
from comfyproxy.filters.models import Allowed, KnownModels, everything, nothing
from comfyproxy.prompts.specs import node_spec
from comfyproxy.prompts.uses import hidden_models
from tests.comfyproxy.graphs import CHECKPOINTS, KNOWN


def given(*models: tuple[str, str]) -> Allowed:
    return lambda folder, name: (folder, name) in models


granted = given(("checkpoints", "base.safetensors"))

INFO: dict[str, Any] = {
    "input": {
        "required": {
            "ckpt_name": [CHECKPOINTS, {"tooltip": "base", "default": CHECKPOINTS[1]}],
            "vae_name": [["pixel_space", "vae.pt", "Baked VAE", "taesd"]],
            "lora": ["COMBO", {"options": ["None", "style.safetensors"], "default": "None"}],
            "loras": [
                "COMBO",
                {
                    "multiselect": True,
                    "options": ["[None]", "style.safetensors"],
                    "default": ["style.safetensors"],
                },
            ],
            "sampler": [["euler", "ddim"], {"default": "euler"}],
            "text": ["STRING", {"default": "embedding:easy", "tooltip": "base.safetensors"}],
            "remote": ["COMBO", {"remote": {"route": "/models/vae"}, "default": "vae.pt"}],
        },
        "optional": {"nested": ["X", {"deep": [{"options": [["vae.pt"], "a"]}]}]},
    },
    "input_order": {"required": ["ckpt_name", "vae_name"]},
    "output": [CHECKPOINTS, "MODEL"],
    "name": "Loader",
    "output_node": False,
}


def test_a_caller_without_grants_sees_no_model_in_either_style_and_all_else() -> None:
    expected = deepcopy(INFO)
    required = expected["input"]["required"]
    required["ckpt_name"] = [[], {"tooltip": "base", "default": ""}]
    required["vae_name"] = [["pixel_space", "Baked VAE", "taesd"]]
    required["lora"] = ["COMBO", {"options": ["None"], "default": "None"}]
    required["loras"][1] |= {"options": ["[None]"], "default": []}
    required["text"] = ["STRING", {"default": "embedding:easy", "tooltip": ""}]
    required["remote"][1]["default"] = ""
    expected["input"]["optional"]["nested"] = ["X", {"deep": [{"options": [[], "a"]}]}]
    expected["output"] = [[], "MODEL"]
    before = deepcopy(INFO)
    assert without_models(INFO, KNOWN, nothing) == expected
    assert before == INFO, "what came in was changed"


def test_a_caller_with_a_grant_sees_that_model_and_one_with_all_the_whole() -> None:
    seen = without_models(INFO, KNOWN, granted)
    assert seen["input"]["required"]["ckpt_name"] == [
        ["base.safetensors"],
        {"tooltip": "base", "default": ""},
    ]
    assert seen["input"]["required"]["text"] == INFO["input"]["required"]["text"]
    assert seen["input"]["required"]["vae_name"] == [["pixel_space", "Baked VAE", "taesd"]]
    assert seen["output"] == [["base.safetensors"], "MODEL"]
    assert without_models(INFO, KNOWN, everything) == INFO
    every = given(*((f, name) for f, names in KNOWN.folders.items() for name in names))
    assert without_models(INFO, KNOWN, every) == INFO


@pytest.mark.parametrize(
    "spelt",
    [
        "base.safetensors",
        "./base.safetensors",
        "BASE.safetensors",
        "sub\\..\\base.safetensors",
        "checkpoints/base.safetensors",
        "/srv/models/checkpoints/base.safetensors",
    ],
)
def test_a_list_of_a_custom_nodes_own_spelling_is_a_list_of_models_too(spelt: str) -> None:
    assert without_models([spelt, "a"], KNOWN, nothing) == ["a"]
    assert without_models([spelt, "a"], KNOWN, granted) == [spelt, "a"]


TWINS = KnownModels(
    {
        "checkpoints": ("a.pt", "b.pt", "sub/c.pt"),
        "loras": ("a.pt", "b.pt", "l.pt"),
        "vae": ("v.pt",),
    }
)
LORA_A = given(("loras", "a.pt"))
LISTS: list[tuple[list[Any], Allowed, list[Any]]] = [
    # Another folder's model of that name lets nothing through.
    (["a.pt", "sub/c.pt"], LORA_A, []),
    (["a.pt", "l.pt"], LORA_A, ["a.pt"]),
    (["None", "sub/c.pt", "a.pt", "Baked VAE"], LORA_A, ["None", "Baked VAE"]),
    (["a.pt", "sub/c.pt"], given(("checkpoints", "a.pt"), ("loras", "l.pt")), ["a.pt"]),
    # A list that may be either folder's, and one of parts of both.
    (["a.pt", "b.pt"], LORA_A, ["a.pt"]),
    (["b.pt", "a.pt"], given(("checkpoints", "b.pt"), ("loras", "a.pt")), ["b.pt", "a.pt"]),
    (["a.pt", "v.pt"], LORA_A, ["a.pt"]),
    (["sub/c.pt", "l.pt", "a.pt"], LORA_A, ["a.pt"]),
    # Two folders as a whole.
    (["sub/c.pt", "b.pt", "a.pt", "v.pt"], LORA_A, []),
    (["sub/c.pt", "b.pt", "a.pt", "v.pt"], given(("vae", "v.pt")), ["v.pt"]),
    # Spelt otherwise it may be any folder's.
    (["./a.pt", "sub/c.pt"], LORA_A, ["./a.pt"]),
    (["C.PT"], LORA_A, []),
    (["C.PT"], given(("checkpoints", "sub/c.pt")), ["C.PT"]),
]


@pytest.mark.parametrize(("listed", "allowed", "shown"), LISTS, ids=range(len(LISTS)))
def test_a_list_is_judged_by_the_folders_that_it_is_a_list_of(
    listed: list[Any], allowed: Allowed, shown: list[Any]
) -> None:
    assert without_models(listed, TWINS, allowed) == shown
    assert without_models(["COMBO", {"options": listed}], TWINS, allowed)[1]["options"] == shown
    assert without_models([[listed]], TWINS, nothing) == [
        [[name for name in listed if name in ("None", "Baked VAE")]]
    ]
    # As ComfyUI's sentences quote it, after what a client wrote.
    hidden = [name for name in listed if name not in shown]
    for before in ("x", "l.pt", "./a.pt"):
        assert set(hidden) <= hidden_among([before, *listed], TWINS, allowed)
    assert set(hidden) <= hidden_among(listed, TWINS, allowed) <= set(listed)


@pytest.mark.parametrize("style", ["old", "new"])
def test_a_default_is_judged_as_the_list_that_it_belongs_to(style: str) -> None:
    def default(allowed: Allowed, default: Any) -> Any:
        listed, options = ["a.pt", "sub/c.pt"], {"default": default}
        old: list[Any] = [listed, options]
        new = ["COMBO", {**options, "options": listed}]
        return without_models(old if style == "old" else new, TWINS, allowed)[1]["default"]

    assert default(LORA_A, "a.pt") == ""
    assert default(given(("checkpoints", "a.pt")), "a.pt") == "a.pt"
    assert default(LORA_A, "None") == "None"
    # One that is not in the list.
    assert default(LORA_A, "l.pt") == ""
    assert default(given(("loras", "l.pt")), "l.pt") == "l.pt"


@pytest.mark.parametrize("style", ["old", "new"])
def test_several_defaults_are_judged_as_the_list_that_they_belong_to(style: str) -> None:
    def default(allowed: Allowed, default: Any) -> Any:
        listed, options = ["a.pt", "sub/c.pt"], {"multiselect": True, "default": default}
        old: list[Any] = [listed, options]
        new = ["COMBO", {**options, "options": listed}]
        return without_models(old if style == "old" else new, TWINS, allowed)[1]["default"]

    of_list, other = given(("checkpoints", "a.pt")), LORA_A
    assert default(of_list, ["a.pt"]) == ["a.pt"]
    assert default(other, ["a.pt"]) == []
    assert default(of_list, ["a.pt", "sub/c.pt", "None", 7]) == ["a.pt", "None", 7]


def test_options_that_are_objects_go_with_the_model_that_they_are_called_after() -> None:
    inner = {"required": {"clip": [["v.pt"], {}]}}
    options = [
        {"key": "a.pt", "inputs": inner},
        {"key": "none", "inputs": inner},
        {"content": "sub/c.pt", "image": "x.png"},
    ]
    info = ["COMFY_DYNAMICCOMBO_V3", {"options": options}]
    emptied = {"required": {"clip": [[], {}]}}
    assert without_models(info, TWINS, nothing)[1]["options"] == [
        {"key": "none", "inputs": emptied}
    ]
    assert without_models(info, TWINS, given(("checkpoints", "a.pt")))[1]["options"] == [
        {"key": "a.pt", "inputs": emptied},
        {"key": "none", "inputs": emptied},
    ]
    assert without_models(info, TWINS, given(("checkpoints", "sub/c.pt"), ("vae", "v.pt")))[1] == {
        "options": [{"key": "none", "inputs": inner}, options[2]]
    }


def test_keys_and_texts_that_are_a_models_name_go_with_it() -> None:
    value = {"previews": {"a.pt": "x", "b.txt": "sub/c.pt", "note": "see sub/c.pt here"}}
    assert without_models(value, TWINS, nothing) == {
        "previews": {"b.txt": "", "note": "see sub/c.pt here"}
    }
    assert without_models(value, TWINS, LORA_A) == {
        "previews": {"a.pt": "x", "b.txt": "", "note": "see sub/c.pt here"}
    }


WORDS = KnownModels(
    {
        "diffusers": ("sdxl", "deep/flux"),
        "datasets": ("bob/example.png",),
        "LLM": ("models--x/refs/main", "q.safetensors"),
        "fonts": ("Arial.ttf",),
    }
)


def test_ordinary_words_in_model_folders_name_models_in_their_own_lists_only() -> None:
    info = {
        "name": "sdxl",
        "input": {"sdxl": ["MODEL"], "type": [["sdxl", "sd3"], {"default": "sdxl"}]},
        "image": [["example.png", "b.png"], {"image_upload": True}],
        "font": [["Arial.ttf"]],
        "branch": [["main", "dev"]],
        "keys": ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "sdxl", "inputs": {}}]}],
    }
    assert without_models(info, WORDS, nothing) == info
    node = {"model_path": [["sdxl", "deep/flux"], {"default": "sdxl"}]}
    assert without_models(node, WORDS, nothing) == {"model_path": [[], {"default": ""}]}
    may = given(("diffusers", "sdxl"))
    assert without_models(node, WORDS, may) == {"model_path": [["sdxl"], {"default": "sdxl"}]}
    for more in ("None", "[None]"):
        assert without_models([[more, "sdxl"]], WORDS, nothing) == [[more]]


def test_what_names_no_model_is_passed_on_as_it_is_and_equal_lists_are_marked_once() -> None:
    marker = Marker(KNOWN)
    for plain in (["euler"], {"a": [1, None, {"default": "x"}]}, "base.safetensors", 7, None):
        assert marker.marked(plain) is plain
    marked = marker.marked({"a": [list(CHECKPOINTS)], "b": {"options": list(CHECKPOINTS)}})
    assert marked["a"][0] is marked["b"]["options"]


SHARED = KnownModels(
    {
        "checkpoints": ("a.pt", "b.pt"),
        "diffusion_models": ("a.pt", "b.pt"),
        "vae": ("diffusion_pytorch_model.pt",),
        "controlnet": ("diffusion_pytorch_model.pt",),
    }
)


@pytest.mark.parametrize(
    ("name", "listed", "folder", "other"),
    [
        ("ckpt_name", ["a.pt", "b.pt"], "checkpoints", "diffusion_models"),
        ("unet_name", ["a.pt", "b.pt"], "diffusion_models", "checkpoints"),
        ("vae_name", ["diffusion_pytorch_model.pt"], "vae", "controlnet"),
        ("control_net_name", ["diffusion_pytorch_model.pt"], "controlnet", "vae"),
    ],
)
@pytest.mark.parametrize("style", ["old", "new"])
def test_folders_of_the_same_names_are_told_apart_by_the_inputs_name(
    style: str, name: str, listed: list[str], folder: str, other: str
) -> None:
    raw: list[Any] = [listed] if style == "old" else ["COMBO", {"options": listed}]
    info = {"input": {"required": {"before": [listed], name: raw}}}
    specs = {"Node": node_spec(info, SHARED, frozenset())}
    graph = {"1": {"class_type": "Node", "inputs": {name: listed[0]}}}
    for holder in (folder, other):
        allowed = given((holder, listed[0]))
        shown = without_models(info, SHARED, allowed)["input"]["required"][name]
        names = shown[0] if style == "old" else shown[1]["options"]
        is_its_own = holder == folder
        assert names == (listed[:1] if is_its_own else [])
        assert (list(hidden_models(graph, specs, SHARED, allowed)) == []) is is_its_own
