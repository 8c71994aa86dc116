"""Subgraphs that leave doubt are refused, and whatever would take too long or too much."""

from typing import Any

import pytest

from comfyproxy.workflows.builder import MAX_CHARS
from comfyproxy.workflows.convert import classes_of, to_prompt
from comfyproxy.workflows.nodes import MAX_INPUTS
from comfyproxy.workflows.reader import MAX_NODES
from comfyproxy.workflows.replacements import MAX_LOOKUPS
from tests.comfyproxy.workflows.graphs import DEFINITIONS, SAMPLER, Graph, fixture, refusal


def inner_of(workflow: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workflow["definitions"]["subgraphs"][0]
    return found


def instance_of(workflow: dict[str, Any]) -> dict[str, Any]:
    kinds = {found["id"] for found in workflow["definitions"]["subgraphs"]}
    found: dict[str, Any] = next(node for node in workflow["nodes"] if node["type"] in kinds)
    return found


@pytest.mark.parametrize("values", [["one"], ["one", "two", "three"], {"plain": "x"}, "x"])
def test_subgraph_holds_values_of_no_widgets_it_is_refused(values: Any) -> None:
    workflow = fixture("subgraph_with_values")
    instance_of(workflow)["widgets_values"] = values
    assert "belong to no known widgets" in refusal(workflow)[1]


def test_subgraph_holds_values_of_two_kinds_it_is_refused() -> None:
    workflow = fixture("subgraph_with_values")
    instance_of(workflow)["properties"]["proxyWidgets"] = [["-1", "plain"], ["-1", "lines"]]
    assert "two kinds" in refusal(workflow)[1]


def test_subgraph_is_muted_yet_something_hangs_on_it_it_is_refused() -> None:
    workflow = fixture("subgraph_with_values")
    instance_of(workflow)["mode"] = 2
    assert "is muted" in refusal(workflow)[1]


def test_subgraph_is_bypassed_with_an_output_node_in_it_it_is_refused() -> None:
    workflow = fixture("subgraph_bypassed")
    inner_of(workflow)["nodes"].append({"id": 77, "type": "Sink"})
    assert "switched off" in refusal(workflow)[1]


def test_subgraph_holds_a_linked_primitive_it_is_refused() -> None:
    workflow = fixture("subgraph_of_a_reroute")
    inner = inner_of(workflow)
    primitive = {"id": 70, "type": "PrimitiveNode", "outputs": [{"type": "INT", "links": [71]}]}
    inner["nodes"].append(primitive)
    inner["links"].append(
        {"id": 71, "origin_id": 70, "origin_slot": 0, "target_id": 1, "target_slot": 0}
    )
    node_id, reason = refusal(workflow)
    assert node_id == f"{instance_of(workflow)['id']}:70"
    assert "is within a subgraph" in reason
    assert reason.endswith(f"(node {node_id}).")


def test_subgraph_leads_straight_through_it_is_refused() -> None:
    workflow = fixture("subgraph_of_a_reroute")
    inner = inner_of(workflow)
    straight = {"id": 90, "origin_id": -10, "origin_slot": 0, "target_id": -20, "target_slot": 0}
    inner["links"].append(straight)
    inner["outputs"][0]["linkIds"] = [90]
    assert "not there" in refusal(workflow)[1]


def test_subgraph_holds_itself_it_is_refused() -> None:
    workflow = fixture("subgraphs_nested")
    inner, outer = workflow["definitions"]["subgraphs"]
    inner["nodes"].append({"id": 80, "type": outer["id"]})
    assert "holds itself" in refusal(workflow)[1]
    assert classes_of(workflow)


def test_subgraphs_double_on_every_level_it_is_refused_soon() -> None:
    levels = [
        {
            "id": f"level{level}",
            "version": 1,
            "nodes": [{"id": n, "type": f"level{level + 1}"} for n in range(1, 10)],
        }
        for level in range(15)
    ]
    levels.append({"id": "level15", "version": 1, "nodes": []})
    graph = Graph()
    graph.node("level0")
    assert "more than" in refusal(graph.saved(*levels))[1]


def test_subgraphs_are_nested_too_deep_it_is_refused() -> None:
    levels = [
        {"id": f"l{level}", "version": 1, "nodes": [{"id": 1, "type": f"l{level + 1}"}]}
        for level in range(40)
    ]
    graph = Graph()
    graph.node("l0")
    end = {"id": "l40", "version": 1, "nodes": []}
    assert "deep" in refusal(graph.saved(*levels, end))[1]


def test_instances_repeat_a_long_text_it_is_refused() -> None:
    graph = Graph()
    for _ in range(200):
        graph.node("long")
    text = "x" * (MAX_CHARS // 100)
    inner = {"id": 1, "type": "CLIPTextEncode", "widgets_values": [text]}
    subgraph = {"id": "long", "version": 1, "nodes": [inner]}
    assert "too large" in refusal(graph.saved(subgraph))[1]


def test_workflow_has_too_many_nodes_it_is_refused() -> None:
    nodes = [{"id": n, "type": "Note"} for n in range(1, MAX_NODES + 2)]
    assert "more than" in refusal({"version": 0.4, "nodes": nodes, "links": []})[1]


def test_chain_of_reroutes_is_long_it_is_followed() -> None:
    graph = Graph()
    at = graph.node("ImgSrc")
    for _ in range(5000):
        reroute = graph.reroute()
        graph.link(at, 0, reroute, "")
        at = reroute
    graph.link(at, 0, graph.node("Sink"), "any")
    prompt = to_prompt(graph.saved(), DEFINITIONS)
    assert prompt["5002"]["inputs"] == {"any": ["1", 0]}


def test_instances_repeat_many_inputs_it_is_refused() -> None:
    inputs = [{"name": f"x{n}", "linkIds": []} for n in range(1000)]
    graph = Graph()
    for _ in range(MAX_INPUTS // 1000 + 1):
        graph.node("wide")
    subgraph = {"id": "wide", "version": 1, "nodes": [], "inputs": inputs}
    assert "inputs" in refusal(graph.saved(subgraph))[1]


def test_prefix_names_more_than_a_few_thousand_values_it_is_refused() -> None:
    graph = Graph()
    graph.node("KSampler", SAMPLER, properties={"Node name for S&R": "K"})
    graph.node("SaveImage", ["%K.seed%" * (MAX_LOOKUPS + 1)])
    assert "to be replaced" in refusal(graph.saved())[1]


def test_text_is_all_comments_it_is_read_in_one_go() -> None:
    graph = Graph()
    graph.node("CLIPTextEncode", ["/* " * 200_000 + "*/"])
    assert to_prompt(graph.saved(), DEFINITIONS)["1"]["inputs"]["text"] == ""


def test_node_within_a_subgraph_is_unknown_its_whole_id_is_told() -> None:
    workflow = fixture("subgraph_with_values")
    inner_of(workflow)["nodes"][0]["type"] = "Gone"
    node_id, reason = refusal(workflow)
    inner_id = inner_of(workflow)["nodes"][0]["id"]
    assert node_id == f"{instance_of(workflow)['id']}:{inner_id}"
    assert reason == f"ComfyUI here has no node class Gone (node {node_id})."
