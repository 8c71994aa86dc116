"""Whatever a file holds, it is converted or refused, nothing else; and it stays as it is."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.workflows.convert import Unconvertible, classes_of, is_prompt, to_prompt
from tests.comfyproxy.workflows.graphs import DEFINITIONS, FOLDER

WORKFLOWS = [
    json.loads(path.read_text())["workflow"]
    for path in sorted(FOLDER.glob("*.json"))
    if path.stem != "definitions"
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-25, 25)
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["*", "IMAGE", "{a|{b}", "%KSampler.seed%", "/* a", "\\", "COMBO", "a:b"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
IDS = st.integers(-20, 6) | st.sampled_from(["1", "2", ""])
KINDS = st.sampled_from(
    [*DEFINITIONS, "Reroute", "PrimitiveNode", "Note", "Unknown", "one", "two", "workflow>x"]
)
NAMES = st.sampled_from(
    ["", "any", "img", "a", "b", "steps", "text", "width", "on_true", "g.image0", "v", "combo"]
)
INPUTS = st.fixed_dictionaries(
    {"name": NAMES, "link": st.none() | st.integers(1, 6)},
    optional={"type": JSON, "widget": st.fixed_dictionaries({"name": NAMES}) | JSON},
)
OUTPUTS = st.fixed_dictionaries(
    {"type": SCALARS}, optional={"links": st.lists(st.integers(1, 6), max_size=3) | JSON}
)
NODES = st.fixed_dictionaries(
    {"id": IDS, "type": KINDS, "mode": st.sampled_from([0, 0, 0, 2, 4])},
    optional={
        "inputs": st.lists(INPUTS, max_size=3),
        "outputs": st.lists(OUTPUTS, max_size=2),
        "widgets_values": st.lists(SCALARS, max_size=7) | JSON,
        "properties": JSON,
        "title": SCALARS,
    },
)
LINKS = st.tuples(st.integers(1, 6), IDS, st.integers(0, 2), IDS, st.integers(0, 2), SCALARS)
OBJECTS = LINKS.map(
    lambda link: dict(
        zip(("id", "origin_id", "origin_slot", "target_id", "target_slot"), link, strict=False)
    )
)
SLOTS = st.fixed_dictionaries(
    {"name": NAMES, "linkIds": st.lists(st.integers(1, 6), max_size=2)}, optional={"type": SCALARS}
)
SUBGRAPHS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["one", "two"]),
        "version": st.just(1),
        "nodes": st.lists(NODES, max_size=4, unique_by=lambda node: str(node["id"])),
        "links": st.lists(OBJECTS, max_size=6, unique_by=lambda link: link["id"]),
        "inputs": st.lists(SLOTS, max_size=2, unique_by=lambda slot: slot["name"]),
        "outputs": st.lists(SLOTS, max_size=2, unique_by=lambda slot: slot["name"]),
    }
)
GRAPHS = st.fixed_dictionaries(
    {
        "version": st.just(0.4),
        "nodes": st.lists(NODES, max_size=5, unique_by=lambda node: str(node["id"])),
        "links": st.lists(LINKS.map(list), max_size=6, unique_by=lambda link: link[0]),
    },
    optional={
        "definitions": st.fixed_dictionaries(
            {"subgraphs": st.lists(SUBGRAPHS, max_size=2, unique_by=lambda found: found["id"])}
        ),
        "extra": JSON,
    },
)


def converted(workflow: Any, info: Any = DEFINITIONS) -> dict[str, Any] | None:
    """The prompt, None where it is refused; fails for anything else."""
    before = copy.deepcopy(workflow)
    try:
        prompt = to_prompt(workflow, info)
    except Unconvertible as error:
        prompt = None
        assert error.reason.endswith(".")
        assert error.node_id is None or isinstance(error.node_id, str)
    # Not by ==: what is no number is not equal to itself.
    assert repr(workflow) == repr(before)
    return prompt


@given(JSON)
def test_client_sends_any_json_it_is_refused_as_unconvertible(data: Any) -> None:
    assert not converted(data)
    is_prompt(data)


@given(GRAPHS)
def test_client_sends_any_graph_it_is_converted_or_refused(workflow: dict[str, Any]) -> None:
    prompt = converted(workflow)
    if prompt:
        assert is_prompt(prompt)
        assert json.loads(json.dumps(prompt, allow_nan=False)) == prompt
        for node in prompt.values():
            links = [value for value in node["inputs"].values() if isinstance(value, list)]
            assert all(source in prompt and isinstance(slot, int) for source, slot in links)


@given(st.data())
def test_client_spoils_a_workflow_it_is_converted_or_refused(data: st.DataObject) -> None:
    workflow = copy.deepcopy(data.draw(st.sampled_from(WORKFLOWS)))
    for _ in range(data.draw(st.integers(1, 3))):
        spoil(workflow, data)
    converted(workflow)


def spoil(workflow: Any, data: st.DataObject) -> None:
    """Put something else in the place of one value, somewhere."""
    at = workflow
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(at[key], (dict, list)) and at[key] and data.draw(st.integers(0, 9)):
            at = at[key]
            continue
        at[key] = data.draw(JSON)
        return


@given(st.sampled_from(WORKFLOWS), st.data())
def test_comfyui_sends_odd_definitions_it_is_converted_or_refused(
    workflow: Any, data: st.DataObject
) -> None:
    info = copy.deepcopy(DEFINITIONS)
    names = sorted(classes_of(workflow) & info.keys())
    if names:
        spoil(info[data.draw(st.sampled_from(names))], data)
    converted(workflow, info)


def test_client_nests_a_workflow_deeply_it_is_refused() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    nodes = [{"id": 1, "type": "KSampler", "widgets_values": [deep] * 7}]
    with pytest.raises(Unconvertible, match="nested too deeply"):
        to_prompt({"version": 0.4, "nodes": nodes, "links": []}, DEFINITIONS)
