"""Where a prompt writes: prefixes move into their owner's folder; the cache key beside them."""

from typing import Any

import pytest

from comfyproxy.cachekey import INPUT, without_cache_key, without_input
from comfyproxy.prompts.mapping import Refused, rewritten
from comfyproxy.prompts.shape import Graph
from tests.comfyproxy.graphs import SPECS, at, node, one
from tests.comfyproxy.names import BOB, OWN


def written(graph: Graph) -> tuple[Graph, list[Refused]]:
    return rewritten(graph, SPECS, OWN, {}, sees_all=False)


def prefix_of(value: Any, class_type: str = "SaveImage", name: str = "filename_prefix") -> Any:
    result, refused = written(one(class_type, **{name: value}))
    assert refused == []
    return result["1"]["inputs"][name]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("ComfyUI", f"{OWN}/ComfyUI"),
        ("a/b", f"{OWN}/a/b"),
        ("", f"{OWN}/ComfyUI"),
        (f"{OWN}/a", f"{OWN}/a"),
        ({"__value__": "a"}, {"__value__": f"{OWN}/a"}),
        (7, f"{OWN}/7"),
        (1.5, f"{OWN}/1.5"),
        (True, f"{OWN}/True"),
    ],
    ids=str,
)
def test_a_prefix_moves_into_its_owners_folder_once(value: Any, sent: Any) -> None:
    assert prefix_of(value) == sent
    assert prefix_of(sent) == sent
    assert prefix_of(value, "SaveLoRANode", "prefix") == sent
    # Whatever node it is, known or not.
    assert prefix_of(value, "AnyCustomNode") == sent


@pytest.mark.parametrize(
    "value",
    [
        "../x",
        "/tmp/x",
        "a/../../x",
        "a\\b",
        "C:/x",
        f"{BOB}/x",
        BOB,
        f"{BOB.upper()}/x",
        f"{OWN}/../{BOB}/x",
        {"__value__": f"{BOB}/x"},
        {"__value__": "../x", "other": 1},
        # ComfyUI unwraps once; the rest becomes text, and its folder is nobody's.
        {"__value__": {"__value__": "a"}},
        {"other": "x"},
        ["x"],
        ["404", 0],
        None,
    ],
    ids=str,
)
def test_a_prefix_outside_or_no_text_is_refused_with_its_place(value: Any) -> None:
    for class_type in ("SaveImage", "AnyCustomNode"):
        _, refused = written(one(class_type, filename_prefix=value))
        assert [use.place for use in refused] == [at("filename_prefix")]


def test_a_linked_prefix_that_can_be_read_is_replaced_and_moved() -> None:
    primitive = {"2": node("PrimitiveString", value="a/b")}
    for link in (["2", 0], {"__value__": ["2", 0]}):
        result, refused = written(one("SaveImage", filename_prefix=link) | primitive)
        assert (result["1"]["inputs"]["filename_prefix"], refused) == (f"{OWN}/a/b", [])
        assert result["2"] == primitive["2"]


@pytest.mark.parametrize(
    "source",
    [
        node("StringConcatenate", string_a="..", string_b="/x"),
        node("AnyCustomNode", text="a"),
        node("PrimitiveString", value="../x"),
        node("PrimitiveString", value=f"{BOB}/x"),
        node("PrimitiveString", value=["2", 0]),
    ],
    ids=str,
)
def test_a_linked_prefix_that_cannot_be_read_or_leads_outside_is_refused(
    source: dict[str, Any],
) -> None:
    _, refused = written(one("SaveImage", filename_prefix=["2", 0]) | {"2": source})
    assert [use.place for use in refused] == [at("filename_prefix")]


def test_an_optional_prefix_that_was_left_out_is_filled_in_with_its_default() -> None:
    result, _ = written(one("SaveOptional"))
    assert result["1"]["inputs"] == {"filename_prefix": f"{OWN}/video/clip", INPUT: OWN}
    # Its default would write somewhere else.
    result, _ = written(one("SaveAbsolute"))
    assert result["1"]["inputs"] == {"filename_prefix": f"{OWN}/ComfyUI", INPUT: OWN}
    # A required one that is missing is ComfyUI's to refuse.
    result, _ = written(one("SaveImage"))
    assert result["1"]["inputs"] == {INPUT: OWN}


def test_output_nodes_alone_get_the_cache_key_and_nobody_chooses_it() -> None:
    graph = {
        "1": node("SaveImage", filename_prefix="a", **{INPUT: BOB}),
        "2": node("KSampler", cfg=1, **{INPUT: BOB}),
        "3": node("AnyCustomNode", **{INPUT: BOB}),
    }
    result, _ = written(graph)
    assert {node_id: inner["inputs"].get(INPUT) for node_id, inner in result.items()} == {
        "1": OWN,
        "2": None,
        "3": None,
    }
    assert graph["1"]["inputs"][INPUT] == BOB, "the client's own graph was changed"


def test_the_cache_key_is_taken_out_of_what_comes_back() -> None:
    sent, _ = written({"1": node("PreviewImage", images=["2", 0]), "2": node("EmptyImage")})
    assert sent["1"]["inputs"][INPUT] == OWN
    shown = without_cache_key(sent)
    assert shown == {"1": node("PreviewImage", images=["2", 0]), "2": node("EmptyImage")}
    assert shown["2"] is sent["2"]
    assert sent["1"]["inputs"][INPUT] == OWN, "what came in was changed"
    assert without_input({"a": 1, INPUT: "x"}) == {"a": 1}


@pytest.mark.parametrize(
    "graph", [None, [], "x", 7, {"1": None}, {"1": []}, {"1": {}}, {"1": {"inputs": [INPUT]}}]
)
def test_a_graph_of_another_shape_comes_back_as_it_is(graph: Any) -> None:
    assert without_cache_key(graph) == graph


def test_a_prefix_wrapped_twice_is_refused() -> None:
    # ComfyUI unwraps once and would make a folder of the rest, braces and all.
    value = {"__value__": {"__value__": "a/b"}}
    _, refused = written(one("SaveImage", filename_prefix=value))
    assert [item.place for item in refused] == [at("filename_prefix")]
