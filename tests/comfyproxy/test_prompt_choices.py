"""Names that prompts choose from lists of models: they mean models of those lists' folders."""

from typing import Any

import pytest

from comfyproxy.filters.models import Allowed, KnownModels, Model
from comfyproxy.prompts.specs import NodeSpec, node_spec
from comfyproxy.prompts.uses import HiddenModel, hidden_models, names_unknown_model
from tests.comfyproxy.graphs import at, node, one


def only(*models: Model) -> Allowed:
    """Allowed are these and no others."""
    return lambda folder, name: Model(folder, name) in models


A, LORA_A, SUB_A, VAE_A = (
    Model("checkpoints", "a.pt"),
    Model("loras", "a.pt"),
    Model("loras", "sub/a.pt"),
    Model("vae", "a.pt"),
)
TWINS = KnownModels(
    {
        "checkpoints": ("a.pt", "c.pt"),
        "loras": ("a.pt", "sub/a.pt", "l.pt"),
        "vae": ("a.pt",),
        "clip": (),
    }
)
CHOICES = {
    "old": [["a.pt", "c.pt"]],
    "new": ["COMBO", {"options": ["None", "a.pt", "c.pt"]}],
    "multi": ["COMBO", {"options": ["a.pt", "c.pt"], "multiselect": True}],
    "remote": ["COMBO", {"remote": {"route": "/models/checkpoints"}}],
    "lora": [["a.pt", "sub/a.pt", "l.pt", "None"]],
    "either": [["a.pt", "x"], {}],
    "both": [["a.pt", "c.pt", "l.pt", "sub/a.pt"]],
    "odd": [["./a.pt", "c.pt"]],
    "stems": ["COMBO", {"remote": {"route": "/embeddings"}}],
    "text": ["STRING", {}],
}
TWIN_SPECS = {
    name: node_spec({"input": {"required": {"x": raw}}}, TWINS, frozenset())
    for name, raw in CHOICES.items()
}
TWIN_SPECS["FilesOf"] = NodeSpec()


def refused(node_class: str, value: Any, *allowed: Model) -> list[Model | None]:
    found = hidden_models(one(node_class, x=value), TWIN_SPECS, TWINS, only(*allowed))
    return [use.model for use in found]


@pytest.mark.parametrize("node_class", ["old", "new", "multi", "remote"])
@pytest.mark.parametrize(
    "value", ["a.pt", {"__value__": "a.pt"}, ["a.pt"], {"__value__": ["a.pt"]}]
)
def test_a_name_chosen_from_a_list_means_a_model_of_its_folder(node_class: str, value: Any) -> None:
    assert refused(node_class, value, A) == []
    assert refused(node_class, value, LORA_A, SUB_A, VAE_A) == [A]
    # The same name anywhere else may mean any of them.
    for other in ("text", "FilesOf", "Unknown"):
        assert refused(other, value, A) == [LORA_A]
        assert refused(other, value, A, LORA_A, SUB_A, VAE_A) == []


@pytest.mark.parametrize(
    "value",
    ["./a.pt", "A.pt", " a.pt", "x/../a.pt", "checkpoints/a.pt", {"a": "a.pt"}, ["a.pt", 1]],
)
def test_a_name_that_was_not_chosen_from_the_list_may_mean_anything(value: Any) -> None:
    for node_class in ("old", "new", "remote"):
        assert refused(node_class, value, A) == [LORA_A]
        assert refused(node_class, value, LORA_A, SUB_A, VAE_A) == [A]
        assert refused(node_class, value, A, LORA_A, SUB_A, VAE_A) == []


def test_several_chosen_names_are_judged_each() -> None:
    c = Model("checkpoints", "c.pt")
    assert refused("multi", ["a.pt", "c.pt"], A, c) == []
    assert refused("multi", ["c.pt", "a.pt"], c, LORA_A) == [A]
    # One that the list does not have makes none of the others doubtful.
    assert refused("multi", ["a.pt", "l.pt"], A, c) == [Model("loras", "l.pt")]
    # Not all of them names: then nothing was chosen.
    assert refused("multi", ["a.pt", {"b": "c.pt"}], A, c) == [LORA_A]


def test_a_name_in_sub_folders_too_is_judged_as_the_list_has_it() -> None:
    assert refused("lora", "a.pt", LORA_A) == []
    assert refused("lora", "sub/a.pt", SUB_A) == []
    assert refused("lora", "sub/a.pt", LORA_A) == [SUB_A]
    # As a bare name elsewhere it may mean the one in the sub folder.
    assert refused("text", "a.pt", A, LORA_A, VAE_A) == [SUB_A]


def test_a_list_that_may_be_several_folders_asks_for_all_of_them() -> None:
    # The only name of `vae`, so that folder's.
    assert refused("either", "a.pt", VAE_A) == []
    assert refused("either", "a.pt", A, LORA_A, SUB_A) == [VAE_A]
    # Two folders as a whole, and the third within them.
    for missing in (A, LORA_A, VAE_A):
        allowed = {A, LORA_A, VAE_A} - {missing}
        assert refused("both", "a.pt", *allowed) == [missing]
    assert refused("both", "a.pt", A, LORA_A, VAE_A) == []
    # Spelt in its own way, or without extensions: nothing can be told.
    assert refused("odd", "./a.pt", A) == [LORA_A]
    assert refused("stems", "a.pt", A) == [LORA_A]


@pytest.mark.parametrize("node_class", sorted(set(CHOICES) - {"text"}))
def test_a_link_into_any_list_of_models_must_be_readable(node_class: str) -> None:
    known = KnownModels({**TWINS.folders, "embeddings": ("e.pt",)})
    spec = node_spec({"input": {"required": {"x": CHOICES[node_class]}}}, known, frozenset())
    graph = one("n", x=["2", 0]) | {"2": node("Custom", value="v")}
    everything_known = [Model(f, n) for f, names in known.folders.items() for n in names]
    found = list(hidden_models(graph, {"n": spec}, known, only(*everything_known)))
    assert found == [HiddenModel(at("x"), None)]
    graph["2"] = node("PrimitiveString", value="a.pt")
    assert not list(hidden_models(graph, {"n": spec}, known, only(*everything_known)))


@pytest.mark.parametrize(
    ("node_class", "value", "unknown"),
    [
        ("text", "a.pt", False),
        ("text", "new.pt", True),
        ("text", "sub/new.pt here", False),
        ("old", "a.pt", False),
        ("old", {"__value__": "c.pt"}, False),
        # Another folder has it: it may have come to this one as well.
        ("old", "l.pt", True),
        ("old", "./a.pt", True),
        ("new", "None", False),
        ("lora", "l.pt", False),
        ("lora", ["c.pt"], True),
        ("Unknown", {"a": ["new.PT"]}, True),
    ],
)
def test_a_name_that_its_folder_does_not_have_may_be_new(
    node_class: str, value: Any, unknown: bool
) -> None:
    assert names_unknown_model(one(node_class, x=value), TWIN_SPECS, TWINS) is unknown
