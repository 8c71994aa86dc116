"""The shape of `POST /prompt`: nothing that kills ComfyUI gets through, the rest does.

`prompt_bodies.json`: bodies sent to a real ComfyUI 0.3.64, and whether that was its end.
"""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import BadRequest, GatewayError, InvalidJson, TooLarge
from comfyproxy.prompts.shape import (
    MAX_BODY_BYTES,
    Submission,
    longest_link_path,
    parse_submission,
    signature_values,
)
from tests.comfyproxy.graphs import chain, node, one

CASES = json.loads((Path(__file__).parent / "prompt_bodies.json").read_text())
UUID = "0b7c1f0e-55aa-4c3e-9c5e-0123456789ab"
GRAPH = one("EmptyImage", width=8)


def submit(body: Any, max_nodes: int = 1000) -> Submission:
    return parse_submission(orjson.dumps(body), max_nodes=max_nodes)


def refused_field(body: Any, max_nodes: int = 1000) -> str | None:
    with pytest.raises(BadRequest) as refusal:
        submit(body, max_nodes)
    assert (refusal.value.status, refusal.value.wire_code) == (400, "BAD_REQUEST")
    assert set(refusal.value.fields) <= {"field"}
    return refusal.value.fields.get("field")


def test_the_recorded_bodies_hold_every_way_to_end_comfyui() -> None:
    assert sum(case["fatal"] for case in CASES) == 7
    assert all(case["field"] for case in CASES if case["fatal"])


@pytest.mark.parametrize("case", [c for c in CASES if c["field"]], ids=lambda c: c["name"])
def test_client_sends_a_dangerous_body_gets_400_naming_the_field(case: dict[str, Any]) -> None:
    assert refused_field(case["body"]) == case["field"]


@pytest.mark.parametrize("case", [c for c in CASES if not c["field"]], ids=lambda c: c["name"])
def test_client_sends_an_odd_but_harmless_body_it_passes(case: dict[str, Any]) -> None:
    assert submit(case["body"]).graph == case["body"]["prompt"]


def test_client_sends_all_that_comfyui_knows_it_is_read() -> None:
    body = {
        "prompt": GRAPH,
        "client_id": "tab",
        "extra_data": {"client_id": "other", "extra_pnginfo": {"workflow": {}}, "key": 1},
        "prompt_id": UUID.upper(),
        "number": -3,
        "front": True,
        "partial_execution_targets": ["1"],
        "unknown": {"dropped": True},
    }
    assert submit(body) == Submission(
        graph=GRAPH,
        client_id="tab",
        extra_data={"extra_pnginfo": {"workflow": {}}, "key": 1},
        prompt_id=UUID,
        number=-3.0,
        front=True,
        targets=["1"],
    )


def test_client_sends_only_a_prompt_the_rest_is_absent() -> None:
    assert submit({"prompt": GRAPH}) == Submission(GRAPH, None, {}, None, None, False, None)
    nulls = {"client_id": None, "prompt_id": None, "number": None, "front": None}
    assert submit({"prompt": GRAPH, "partial_execution_targets": None, **nulls}) == submit(
        {"prompt": GRAPH}
    )


@pytest.mark.parametrize("outer", [None, ""])
def test_client_names_itself_only_inside_extra_data_that_counts(outer: str | None) -> None:
    body = {"prompt": GRAPH, "client_id": outer, "extra_data": {"client_id": "inner"}}
    submission = submit(body)
    assert (submission.client_id, submission.extra_data) == ("inner", {})


DEEP: Any = "x"
for _ in range(200):
    DEEP = [DEEP]

WRONG = [
    ({"prompt": None}, "prompt"),
    ({}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": "1"}, "prompt"),
    ({"prompt": {"1": None}}, "prompt.1"),
    ({"prompt": {"1": []}}, "prompt.1"),
    ({"prompt": {"1": {}}}, "prompt.1.class_type"),
    ({"prompt": {"1": {"class_type": None, "inputs": {}}}}, "prompt.1.class_type"),
    ({"prompt": {"1": {"class_type": {}, "inputs": {}}}}, "prompt.1.class_type"),
    ({"prompt": {"1": {"class_type": "A"}}}, "prompt.1.inputs"),
    ({"prompt": {"1": {"class_type": "A", "inputs": None}}}, "prompt.1.inputs"),
    ({"prompt": {"1": {"class_type": "A", "inputs": "x"}}}, "prompt.1.inputs"),
    ({"prompt": one("A", x=DEEP)}, "prompt.1"),
    ({"prompt": {"1": {**node("A"), "_meta": DEEP}}}, "prompt.1"),
    ({"prompt": {"x" * 300: node("A")}}, f"prompt.{'x' * 80}"),
    ({"prompt": {"a\0": node("A")}}, "prompt"),
    ({"prompt": GRAPH, "extra_data": []}, "extra_data"),
    ({"prompt": GRAPH, "extra_data": True}, "extra_data"),
    ({"prompt": GRAPH, "extra_data": {"x": DEEP}}, "extra_data"),
    ({"prompt": GRAPH, "extra_data": {"extra_pnginfo": []}}, "extra_data.extra_pnginfo"),
    ({"prompt": GRAPH, "extra_data": {"client_id": []}}, "extra_data.client_id"),
    ({"prompt": GRAPH, "extra_data": {"client_id": {}}}, "extra_data.client_id"),
    ({"prompt": GRAPH, "client_id": "a", "extra_data": {"client_id": 1}}, "extra_data.client_id"),
    ({"prompt": GRAPH, "client_id": {}}, "client_id"),
    ({"prompt": GRAPH, "client_id": 0}, "client_id"),
    ({"prompt": GRAPH, "client_id": False}, "client_id"),
    ({"prompt": GRAPH, "client_id": "x" * 257}, "client_id"),
    ({"prompt": GRAPH, "client_id": "a\0b"}, "client_id"),
    ({"prompt": GRAPH, "prompt_id": "same"}, "prompt_id"),
    ({"prompt": GRAPH, "prompt_id": ""}, "prompt_id"),
    ({"prompt": GRAPH, "prompt_id": 7}, "prompt_id"),
    ({"prompt": GRAPH, "prompt_id": [UUID]}, "prompt_id"),
    ({"prompt": GRAPH, "number": "1"}, "number"),
    ({"prompt": GRAPH, "number": True}, "number"),
    ({"prompt": GRAPH, "number": 1e300}, "number"),
    ({"prompt": GRAPH, "number": []}, "number"),
    ({"prompt": GRAPH, "partial_execution_targets": "1"}, "partial_execution_targets"),
    ({"prompt": GRAPH, "partial_execution_targets": [1]}, "partial_execution_targets"),
    ({"prompt": GRAPH, "partial_execution_targets": {}}, "partial_execution_targets"),
    ([], None),
    ("x", None),
    (None, None),
    (7, None),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=lambda value: str(value)[:70])
def test_client_sends_a_wrong_type_gets_400_naming_the_field(body: Any, field: str | None) -> None:
    assert refused_field(body) == field


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"prompt": NaN}', b'{"number": Infinity}', b'"\\ud800"', b"[" * 5000],
)
def test_client_sends_no_json_gets_400(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse_submission(body, max_nodes=1000)


def test_client_sends_more_than_10_mb_is_refused_before_it_is_parsed() -> None:
    body = b'{"prompt": "' + b"x" * MAX_BODY_BYTES
    with pytest.raises(TooLarge):
        parse_submission(body, max_nodes=1000)


def test_client_sends_too_many_nodes_gets_400() -> None:
    nodes = {str(index): node("A") for index in range(1000)}
    assert len(submit({"prompt": nodes}).graph) == 1000
    assert refused_field({"prompt": nodes | {"x": node("A")}}) == "prompt"
    assert refused_field({"prompt": chain(3)}, max_nodes=2) == "prompt"


@pytest.mark.parametrize("max_nodes", [1000, 100_000])
def test_client_sends_a_chain_of_250_nodes_it_passes_a_longer_one_does_not(max_nodes: int) -> None:
    assert submit({"prompt": chain(250)}, max_nodes).graph == chain(250)
    for length in (251, 1500):
        assert refused_field({"prompt": chain(length)}, max_nodes) == "prompt"


def test_client_sends_more_values_than_any_prompt_has_gets_400() -> None:
    assert submit({"prompt": one("A", x=list(range(99_000)))}).graph
    assert refused_field({"prompt": one("A", x=[[0] * 1000] * 101)}) == "prompt"


def test_client_sends_inputs_that_swell_along_a_chain_gets_400() -> None:
    graph = chain(249)
    for inner in graph.values():
        inner["inputs"] |= {f"x{index}": 0 for index in range(200)}
    assert refused_field({"prompt": graph}) == "prompt"
    # As many, side by side.
    for inner in graph.values():
        inner["inputs"].pop("image", None)
    assert submit({"prompt": graph}).graph == graph


def test_client_hides_a_chain_in_wrapped_links_it_is_refused() -> None:
    graph = chain(300)
    for number, inner in enumerate(graph.values()):
        if number:
            inner["inputs"]["image"] = {
                "__value__": {"__value__": inner["inputs"]["image"]},
                "a": 1,
            }
    assert longest_link_path(graph) == 300
    assert refused_field({"prompt": graph}) == "prompt"


def test_client_links_in_a_circle_it_counts_as_all_nodes() -> None:
    circle = chain(250)
    circle["0"]["inputs"]["image"] = {"__value__": ["249", 0.0]}
    assert longest_link_path(circle) == 250
    assert submit({"prompt": circle}).graph == circle
    circle["250"] = node("A")
    assert refused_field({"prompt": circle}) == "prompt"
    assert submit({"prompt": one("A", image=["1", 0])}).graph


@pytest.mark.parametrize(
    "value",
    [["404", 0], ["0"], ["0", "0"], [0, 0], ["0", 0, 0], {"x": ["0", 0]}, [["0", 0]], "0", None],
)
def test_what_comfyui_takes_for_no_link_is_none(value: Any) -> None:
    assert longest_link_path({"0": node("A"), "1": node("B", image=value)}) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
KEYS = ["prompt", "client_id", "extra_data", "prompt_id", "number", "front"]
BODIES = st.one_of(
    JSON,
    st.dictionaries(st.sampled_from([*KEYS, "partial_execution_targets"]), JSON),
    st.builds(
        lambda graph, rest: {**rest, "prompt": graph},
        st.dictionaries(
            st.text(max_size=3),
            st.fixed_dictionaries({"class_type": JSON | st.text(), "inputs": JSON}),
        ),
        st.dictionaries(st.sampled_from(KEYS), JSON),
    ),
)


@given(BODIES)
def test_any_json_is_refused_in_our_words_or_has_the_shape(body: Any) -> None:
    try:
        submission = parse_submission(json.dumps(body).encode(), max_nodes=3)
    except GatewayError as refusal:
        assert 400 <= refusal.status < 500
        return
    assert len(submission.graph) <= 3
    for inner in submission.graph.values():
        assert isinstance(inner["class_type"], str) and isinstance(inner["inputs"], dict)
    assert submission.client_id is None or isinstance(submission.client_id, str)
    assert "client_id" not in submission.extra_data
    orjson.dumps(submission.graph), orjson.dumps(submission.extra_data)


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_in_our_words(body: bytes) -> None:
    with pytest.raises(GatewayError):
        parse_submission(body, max_nodes=3)


def stuffed_chain(nodes: int, extra: int) -> dict[str, Any]:
    """A chain of nodes, each with so many inputs that no node declares."""
    graph = chain(nodes)
    for member in graph.values():
        member["inputs"] |= {f"u{index}": 0 for index in range(extra)}
    return graph


def test_client_stuffs_a_chain_with_inputs_it_is_refused_before_comfyuis_cache_keys_explode() -> (
    None
):
    # Each key holds the inputs of every node before: 0.11 MB of this cost 1.3 GB there.
    assert submit({"prompt": stuffed_chain(240, 0)})
    assert refused_field({"prompt": stuffed_chain(240, 50)}) == "prompt"
    # The same inputs without the links harm nobody.
    loose = {str(index): node("A", **{f"u{i}": 0 for i in range(50)}) for index in range(240)}
    assert submit({"prompt": loose})


def test_client_sends_very_many_values_it_is_refused() -> None:
    few, many = [["x"] * 9 for _ in range(9_000)], [["x"] * 9 for _ in range(12_000)]
    assert submit({"prompt": one("A", words=few)})
    assert refused_field({"prompt": one("A", words=many)}) == "prompt"


def test_signature_counts_every_ancestor_once_and_a_circle_as_all_of_it() -> None:
    diamond = {
        "top": node("A", x=1),
        "left": node("B", a=["top", 0]),
        "right": node("C", a=["top", 0]),
        "end": node("D", a=["left", 0], b=["right", 0]),
    }
    # top alone, left and right with top, end with all three.
    assert signature_values(diamond, {"top": 1, "left": 10, "right": 100, "end": 1000}) == (
        1 + (10 + 1) + (100 + 1) + (1000 + 100 + 10 + 1)
    )
    circle = {"1": node("A", a=["2", 0]), "2": node("B", a=["1", 0])}
    assert signature_values(circle, {"1": 3, "2": 4}) == 2 * 7
