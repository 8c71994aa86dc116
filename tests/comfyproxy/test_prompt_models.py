"""Models in prompts: every spelling that ComfyUI opens is found wherever it stands."""

from typing import Any

import pytest

from accounts.errors import BadRequest
from comfyproxy.filters.models import Allowed, KnownModels, Model, everything, nothing
from comfyproxy.prompts.shape import Graph
from comfyproxy.prompts.specs import node_spec
from comfyproxy.prompts.uses import HiddenModel, hidden_models, literal, names_unknown_model, texts
from tests.comfyproxy.graphs import KNOWN, SPECS, at, node, one

BASE = Model("checkpoints", "base.safetensors")
BIG = Model("checkpoints", "sdxl/Big Model.safetensors")
EASY = Model("embeddings", "easy.pt")
EMB2 = Model("embeddings", "deep/emb2.safetensors")
HAND = Model("embeddings", "hand(v4).pt")
BRACKET = Model("embeddings", "b[1].pt")
COMMA = Model("embeddings", "x,y.bin")
BOB = Model("loras", "people/bob.safetensors")


def hidden(graph: Graph, allowed: Allowed = nothing) -> list[HiddenModel]:
    return list(hidden_models(graph, SPECS, KNOWN, allowed))


def only(*models: Model) -> Allowed:
    """Allowed are these and no others."""
    return lambda folder, name: Model(folder, name) in models


def all_but(model: Model) -> Allowed:
    return lambda folder, name: Model(folder, name) != model


WHOLE = [
    ("base.safetensors", BASE),
    ("./base.safetensors", BASE),
    ("/base.safetensors", BASE),
    ("//base.safetensors", BASE),
    ("x/../base.safetensors", BASE),
    ("../base.safetensors", BASE),
    ("../../x/./../base.safetensors", BASE),
    (".//./base.safetensors", BASE),
    ("\\base.safetensors", BASE),
    ("x\\..\\base.safetensors", BASE),
    ("BASE.SafeTensors", BASE),
    ("base.safetensors/", BASE),
    ("base.safetensors/.", BASE),
    ("base.safetensors/x/..", BASE),
    (" base.safetensors\n", BASE),
    ("base.safetensors.", BASE),
    ("base.safetensors .", BASE),
    ("checkpoints/base.safetensors", BASE),
    ("/srv/comfy/models/checkpoints/base.safetensors", BASE),
    ("C:\\comfy\\models\\checkpoints\\base.safetensors", BASE),
    ("./" * 3000 + "base.safetensors", BASE),
    ("sdxl/Big Model.safetensors", BIG),
    ("sdxl\\Big Model.safetensors", BIG),
    ("sdxl//big model.safetensors", BIG),
    ("a/../sdxl/./Big Model.safetensors", BIG),
    ("Big Model.safetensors", BIG),
    ("base.safetensors/x\\../..", BASE),
    ("base.safetensors::$DATA", BASE),
    ("models/sdxl/Big Model.safetensors", BIG),
]
MENTIONS = [
    ("embedding:easy", EASY),
    ("embedding:easy.pt", EASY),
    ("embedding: easy", EASY),
    ("embedding:\n easy", EASY),
    ("a cat embedding:easy, a dog", EASY),
    ("a cat\nembedding:easy\na dog", EASY),
    ("(embedding:easy:1.2)", EASY),
    ("((embedding:easy:1.2):0.5)", EASY),
    ("(embedding:easy)", EASY),
    ("[embedding:easy]", EASY),
    ("embedding:,easy,,", EASY),
    ("EMBEDDING:EASY", EASY),
    ("xembedding:easy", EASY),
    ("embedding:x embedding:easy", EASY),
    ("embedding:embedding:easy", EASY),
    ("embedding:x,embedding:easy", EASY),
    ("embedding:easy|other", EASY),
    ("{embedding:easy|embedding:x}", EASY),
    ("embedding:./easy", EASY),
    ("embedding:/easy", EASY),
    ("embedding:a/../easy", EASY),
    ("embedding:a\\..\\easy", EASY),
    ("embedding:easy/.", EASY),
    ("embedding:x:y/../easy", EASY),
    ("embedding:embedding:/../easy", EASY),
    ("embedding:" + "./" * 3000 + "easy", EASY),
    ("embedding:/srv/comfy/models/embeddings/easy.pt", EASY),
    ("embedding:emb2", EMB2),
    ("embedding:deep/emb2", EMB2),
    ("embedding:emb2.safetensors", EMB2),
    ("embedding:x/deep/emb2", EMB2),
    ("embedding:hand\\(v4\\)", HAND),
    ("(embedding:hand\\(v4\\):1.1)", HAND),
    ("embedding:hand\\(v4\\).pt,", HAND),
    ("embedding:b[1]", BRACKET),
    ("(embedding:b[1]:0.9)", BRACKET),
    ("embedding:x,y", COMMA),
    # With `..` whatever is left of it: what is a separator or a mark is for upstream to say.
    ("embedding:easy/x\\../..", EASY),
    ("embedding:easy/a\\b/..", EASY),
    ("embedding:easy/cembedding:d/..", EASY),
    (") embedding:easy/a(b/..(c)", EASY),
    ("embedding:hand\\(v4\\)/a\\b/..", HAND),
    ("embedding:hand\0\2v4\0\1", HAND),
    ("<lora:people/bob:0.8>", BOB),
    ("<lora:bo:1>", BOB),
    ("<lora:bob peop:1>", BOB),
    ("<lora:people_bob:1>", BOB),
    ("<lora:bob>", BOB),
    ("a <lora:bob.safetensors:1:0.5> cat", BOB),
    ("< LoRA: people\\bob :1>", BOB),
    ("<lora:./people/../bob:1>", BOB),
]
FREE = [
    "a cat",
    "base",
    "my base.safetensors is good",
    "base.safetensors.txt",
    "base.safetensors2",
    "xbase.safetensors",
    "euler",
    "None",
    "",
    ".",
    "/",
    "embedding:",
    "embedding: ",
    "embedding:unknown",
    "embedding:easy2",
    "embedding:my-easy",
    "embedding easy",
    "an embedding: a\neasy thing",
    "<lora:unknown:1>",
    "<lora:>",
    "lora:bob",
    "my_pack/node.py",
    "v1.yaml",
]


@pytest.mark.parametrize(("text", "model"), WHOLE, ids=lambda value: str(value)[:60])
def test_a_whole_text_names_a_model_in_any_spelling(text: str, model: Model) -> None:
    for node_class in ("AnyCustomNode", "CheckpointLoaderSimple", "NoSuchNode"):
        graph = one(node_class, ckpt_name=text)
        for allowed in (nothing, all_but(model)):
            assert hidden(graph, allowed) == [HiddenModel(at("ckpt_name"), model)]
        assert hidden(graph, only(model)) == []


@pytest.mark.parametrize(("text", "model"), MENTIONS, ids=lambda value: str(value)[:60])
def test_a_free_text_mentions_a_model_in_any_spelling(text: str, model: Model) -> None:
    graph = one("CLIPTextEncode", text=text)
    for allowed in (nothing, all_but(model)):
        assert hidden(graph, allowed) == [HiddenModel(at("text"), model)]
    assert hidden(graph, only(model)) == []


@pytest.mark.parametrize("text", FREE)
def test_a_text_that_names_no_model_is_free(text: str) -> None:
    assert hidden(one("CLIPTextEncode", text=text)) == []


@pytest.mark.parametrize(
    "value",
    [
        {"__value__": "base.safetensors"},
        {"__value__": {"__value__": "base.safetensors"}},
        ["base.safetensors"],
        {"__value__": ["x", "base.safetensors"]},
        {"a": {"b": ["base.safetensors"]}},
        {"base.safetensors": 1},
        [{"base.safetensors": []}],
        ["base.safetensors", 0],
    ],
    ids=str,
)
def test_a_model_is_found_wherever_in_an_input_it_stands(value: Any) -> None:
    for node_class in ("AnyCustomNode", "CheckpointLoaderSimple"):
        graph = one(node_class, ckpt_name=value)
        assert hidden(graph) == [HiddenModel(at("ckpt_name"), BASE)]
        assert hidden(graph, only(BASE)) == []


@pytest.mark.parametrize(
    "value",
    [
        {"__value__": ["x embedding:a\u00a0/../easy y"]},
        {"k": "x embedding:a\t/../easy y"},
        ["x embedding:a\n/../easy"],
    ],
)
def test_what_comfyui_writes_out_as_python_does_is_read_so_too(value: Any) -> None:
    graph = {"1": {"class_type": "Custom", "inputs": {"x": value}}}
    found = list(hidden_models(graph, {}, KNOWN, nothing))
    assert [hidden.model for hidden in found] == [EASY]


def test_text_that_mentions_more_than_can_be_looked_for_is_refused() -> None:
    for words in ("<lora:x:1>" * 3000, "embedding:x " * 3000):
        graph = {"1": {"class_type": "Custom", "inputs": {"x": words}}}
        with pytest.raises(BadRequest):
            list(hidden_models(graph, {}, KNOWN, nothing))
        assert list(hidden_models(graph, {}, KNOWN, everything)) == []
    graph["1"]["inputs"]["x"] = "a: b " * 3000
    assert list(hidden_models(graph, {}, KNOWN, nothing)) == []


def test_ordinary_word_is_a_model_where_models_of_its_folder_belong() -> None:
    known = KnownModels({"diffusers": ("sdxl", "deep/flux"), "loras": ("flux.pt",)})
    node = {"input": {"required": {"model_path": [["sdxl", "deep/flux"]], "type": [["flux"]]}}}
    specs = {"Node": node_spec(node, known, frozenset())}

    def hidden(name: str, text: str) -> list[Model | None]:
        graph = {"1": {"class_type": "Node", "inputs": {name: text}}}
        return [found.model for found in hidden_models(graph, specs, known, nothing)]

    for spelling in ("sdxl", "./sdxl", "SDXL", "x/../sdxl"):
        assert hidden("model_path", spelling) == [Model("diffusers", "sdxl")]
    assert hidden("model_path", "deep/flux") == [Model("diffusers", "deep/flux")]
    for name, text in (("type", "flux"), ("type", "sdxl"), ("words", "sdxl")):
        assert hidden(name, text) == []


def test_who_may_use_every_model_may_use_links_too() -> None:
    graph = one("CheckpointLoaderSimple", ckpt_name=["2", 0]) | {"2": node("AnyCustomNode", x="y")}
    assert hidden(graph, everything) == []
    assert hidden(one("AnyCustomNode", x="base.safetensors"), everything) == []


def test_who_was_given_some_models_may_use_those_only() -> None:
    graph = {"1": node("A", x="./base.safetensors"), "2": node("A", x="style.safetensors")}
    found = hidden(graph, only(BASE))
    assert [(use.place.node_id, use.model) for use in found] == [
        ("2", Model("loras", "style.safetensors"))
    ]


PRIMITIVE = node("PrimitiveString", value="base.safetensors")
UNREADABLE = {
    "a custom node": {"2": node("AnyCustomNode", x="y")},
    "two texts put together": {"2": node("StringConcatenate", string_a="a", string_b="b")},
    "a primitive with more inputs": {"2": node("PrimitiveString", value="a", other="b")},
    "a primitive without inputs": {"2": node("PrimitiveString")},
    "a primitive holding no text": {"2": node("PrimitiveString", value=7)},
    "a primitive fed by a custom node": {
        "2": node("PrimitiveString", value=["3", 0]),
        "3": node("AnyCustomNode"),
    },
    "a circle of primitives": {
        "2": node("PrimitiveString", value=["3", 0]),
        "3": node("PrimitiveString", value=["2", 0]),
    },
    "a primitive fed by itself": {"2": node("PrimitiveString", value=["2", 0])},
}


@pytest.mark.parametrize("sources", UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_link_into_a_model_input_that_cannot_be_read_is_hidden(
    sources: Graph, wrapped: bool
) -> None:
    link: Any = {"__value__": ["2", 0]} if wrapped else ["2", 0]
    graph = one("CheckpointLoaderSimple", ckpt_name=link) | sources
    for allowed in (nothing, only(BASE)):
        assert hidden(graph, allowed) == [HiddenModel(at("ckpt_name"), None)]
    # Any other input may be linked to anything.
    assert hidden(one("CLIPTextEncode", text=link) | sources) == []


def test_a_link_into_a_model_input_that_can_be_read_is_judged_by_its_text() -> None:
    graph = one("LoraLoader", lora_name=["2", 0]) | {
        "2": node("PrimitiveStringMultiline", value={"__value__": ["3", 0]}),
        "3": node("PrimitiveString", value={"__value__": "x"}),
    }
    assert hidden(graph) == []
    assert literal(["2", 0], graph) == "x"
    graph["3"] = PRIMITIVE
    (found,) = hidden(graph)
    assert (found.place.node_id, found.model) == ("3", BASE)
    assert hidden(graph, only(BASE)) == []


@pytest.mark.parametrize(
    "words",
    [
        "new.pt",
        "new.pt/",
        "new.pt/.",
        "./" * 300 + "new.pt",
        "new.pt::$DATA",
        "embedding:new",
        "a cat, (embedding:new.pt:1.2)",
        "<lora:new:1>",
    ],
)
def test_a_text_that_may_name_a_model_that_is_not_known_is_told(words: str) -> None:
    for value in (words, [words], {"a": words}, {"__value__": words}):
        graph = {"1": {"class_type": "Custom", "inputs": {"x": value}}}
        assert names_unknown_model(graph, {}, KNOWN)


@pytest.mark.parametrize("words", ["a cat", "embedding:", "<lora:>", "embedding:easy, a.png", BIG])
def test_a_text_that_names_what_is_known_or_nothing_needs_no_look(words: Any) -> None:
    words = words if isinstance(words, str) else words.name
    graph = {"1": {"class_type": "Custom", "inputs": {"x": words}}}
    assert not names_unknown_model(graph, {}, KNOWN)


def test_a_link_to_a_node_that_is_not_there_is_no_link() -> None:
    assert hidden(one("CheckpointLoaderSimple", ckpt_name=["404", 0])) == []
    assert literal(["404", 0], one("A")) is None


def test_texts_are_found_at_any_depth_keys_included() -> None:
    value = {"a": ["b", {"c": ["d", 1, None, True]}]}
    assert sorted(texts(value)) == ["a", "b", "c", "d"]
    assert list(texts("x")) == ["x"]
