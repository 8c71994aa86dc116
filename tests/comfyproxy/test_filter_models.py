"""Lists of models anywhere in ComfyUI's JSON, cut down to what the caller may know of."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.filters.models import (
    KnownModels,
    Model,
    allowed_names,
    everything,
    is_hidden,
    looks_like_model,
    names_models,
    normal_name,
    nothing,
    without_models,
)
from tests.comfyproxy.graphs import CHECKPOINTS, KNOWN


def granted(folder: str, name: str) -> bool:
    return (folder, name) == ("checkpoints", "base.safetensors")


INFO = {
    "input": {
        "required": {
            "ckpt_name": [CHECKPOINTS, {"tooltip": "base.safetensors", "default": CHECKPOINTS[1]}],
            "vae_name": [["pixel_space", "vae.pt", "taesd"]],
            "lora": ["COMBO", {"options": ["None", "style.safetensors"], "default": "None"}],
            "sampler": [["euler", "ddim"], {"default": "euler"}],
            "text": ["STRING", {"default": "embedding:easy"}],
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
    required: Any = expected["input"]["required"]  # type: ignore[index]
    required["ckpt_name"] = [[], {"tooltip": "base.safetensors", "default": ""}]
    required["vae_name"] = [["pixel_space", "taesd"]]
    required["lora"] = ["COMBO", {"options": ["None"], "default": "None"}]
    expected["input"]["optional"]["nested"] = ["X", {"deep": [{"options": [[], "a"]}]}]  # type: ignore[index]
    expected["output"] = [[], "MODEL"]
    before = deepcopy(INFO)
    assert without_models(INFO, KNOWN, nothing) == expected
    assert before == INFO, "what came in was changed"


def test_a_caller_with_a_grant_sees_that_model_and_one_with_all_the_whole() -> None:
    seen = without_models(INFO, KNOWN, granted)
    assert seen["input"]["required"]["ckpt_name"][0] == ["base.safetensors"]
    assert seen["input"]["required"]["vae_name"] == [["pixel_space", "taesd"]]
    assert without_models(INFO, KNOWN, everything) == INFO


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


def test_a_base_name_that_two_models_share_is_shown_to_who_may_use_one_of_them() -> None:
    known = KnownModels({"checkpoints": ("a/x.pt",), "loras": ("x.pt",)})
    assert known.find("x.pt") == (Model("checkpoints", "a/x.pt"), Model("loras", "x.pt"))
    assert known.find("a/x.pt") == (Model("checkpoints", "a/x.pt"),)
    assert not is_hidden("x.pt", known, lambda folder, name: folder == "loras")
    assert is_hidden("a/x.pt", known, lambda folder, name: folder == "loras")


def test_names_of_a_folder_are_kept_by_grant_except_where_there_are_no_models() -> None:
    assert allowed_names("checkpoints", CHECKPOINTS, granted) == ["base.safetensors"]
    assert allowed_names("checkpoints", CHECKPOINTS, nothing) == []
    assert allowed_names("loras", ["base.safetensors"], granted) == []
    assert allowed_names("configs", ["v1.yaml"], nothing) == ["v1.yaml"]
    assert KNOWN.find("v1.yaml") == () and KNOWN.find("my_pack/node.py") == ()


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("a", "a"),
        ("./a", "a"),
        ("//a", "a"),
        ("///a//b/", "a/b"),
        ("../../a", "a"),
        ("x/../a", "a"),
        ("x/..", ""),
        ("a\\b", "a/b"),
        (" a \n", "a"),
        ("a . ", "a"),
        ("a/..b", "a/..b"),
        ("", ""),
        ("..", ""),
    ],
)
def test_a_models_name_has_one_spelling(name: str, normal: str) -> None:
    assert normal_name(name) == normal


@given(st.text(alphabet="ab./\\ X", max_size=12))
def test_any_name_becomes_plain_segments_below_a_root(name: str) -> None:
    normal = normal_name(name)
    assert normal_name(f"x/../{normal}") == normal
    assert normal == "" or not {"", ".", ".."} & set(normal.split("/"))


def test_a_text_looks_like_a_model_by_its_extension() -> None:
    for text in ("x.safetensors", "X.CKPT", "a/b.gguf", "x.pt"):
        assert looks_like_model(text)
    for text in ("x", "x.png", "safetensors", "x" * 500 + ".pt"):
        assert not looks_like_model(text)


JSON: Any = st.recursive(
    st.none() | st.integers() | st.sampled_from(["base.safetensors", "vae.pt", "x", "default"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["default", "options", "a"]), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_keeps_its_shape_and_no_list_in_it_a_hidden_model(value: Any) -> None:
    shown = without_models(value, KNOWN, nothing)
    assert without_models(shown, KNOWN, nothing) == shown
    assert without_models(value, KNOWN, everything) == value
    assert type(shown) is type(value)
    for part in _lists(shown):
        assert "base.safetensors" not in part and "vae.pt" not in part


def _lists(value: Any) -> list[list[Any]]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, list) else []
    return own + [found for item in inner for found in _lists(item)]


@given(st.sampled_from(sorted(name for names in KNOWN.folders.values() for name in names)))
def test_a_name_as_it_is_listed_means_the_same_as_in_any_other_spelling(name: str) -> None:
    assert KNOWN.find(name) == KNOWN.find(f"./{name}") == KNOWN.find(name.upper())


@given(st.text(max_size=20))
def test_a_plain_word_is_its_own_normal_name(word: str) -> None:
    assert not word.isidentifier() or normal_name(word) == word


@given(JSON)
def test_what_names_a_model_is_what_somebody_without_any_sees_changed(value: Any) -> None:
    assert names_models(value, KNOWN) == (without_models(value, KNOWN, nothing) != value)
