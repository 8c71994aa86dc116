"""What cannot be converted with certainty is refused, naming the node and the reason."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.comfyproxy.workflows.graphs import SAMPLER, Graph, fixture, refusal


def one(kind: str, values: Any = None, **more: Any) -> dict[str, Any]:
    graph = Graph()
    graph.node(kind, values, **more)
    return graph.saved()


def linked(
    origin: Callable[[Graph], dict[str, Any]], slot: int, kind: str, name: str, **more: Any
) -> dict[str, Any]:
    """A node of a class with one linked input."""
    graph = Graph()
    start = origin(graph)
    graph.link(start, slot, graph.node(kind, **more), name, widget=name == "seed")
    return graph.saved()


@pytest.mark.parametrize(
    ("workflow", "reason"),
    [
        (one("Gone"), "no node class Gone"),
        (one("workflow>Mine"), "group node of the old kind"),
        (one("workflow/Mine"), "group node of the old kind"),
        (one("KSampler", [5, "fixed", 20, 8, "euler", "normal"]), "6 values for 7 widgets"),
        (one("KSampler", [*SAMPLER, 3]), "8 values for 7 widgets"),
        (one("Reordered", []), "0 values for 4 widgets"),
        (one("KSampler", "values"), "values of an unknown form"),
        (one("KSampler", {"seed": 1}), "values of an unknown form"),
        (one("Reordered", {"a": "x", "b": 1, "c": "u"}), "lacks one: d"),
        (one("Reordered", {"a": "x", "b": 1, "c": "u", "d": True, "e": 1}), "lacks one: e"),
        (one("KSampler", [5, "fixed", "20", 8, "euler", "normal", 1]), "steps of “KSampler”"),
        (one("KSampler", [5, "fixed", None, 8, "euler", "normal", 1]), "steps of “KSampler”"),
        (one("KSampler", [5, "fixed", 2.5, 8, "euler", "normal", 1]), "steps of “KSampler”"),
        (one("KSampler", [5, "fixed", True, 8, "euler", "normal", 1]), "steps of “KSampler”"),
        (one("KSampler", [5, "fixed", 1, 8, ["euler"], "normal", 1]), "sampler_name of"),
        (one("KSampler", [5, "fixed", 1, 8, None, "normal", 1]), "sampler_name of"),
        (one("KSampler", [5, "fixed", 1, float("inf"), "a", "b", 1]), "number that is too large"),
        (one("KSampler", SAMPLER, widgets_values_named={"steps": 21}), "two values for steps"),
        (one("LoadImage", ["", "image"]), "image of “LoadImage”"),
        (one("Multi", [["x", {}], 3]), "many of “Multi”"),
        (one("Dyn", [1, "gone", "Z"]), "combo of “Dyn” is none of its choices"),
        (one("Dyn", [1, "one", "s"]), "3 values for 4 widgets"),
        (one("CLIPTextEncode", ["a\\"]), "ends with a backslash"),
        (one("CLIPTextEncode", ["{" * 50]), "too many choices"),
        (one("SaveImage", ["%date:yyyy-MM-dd%"]), "browser's date"),
        (one("KSampler", SAMPLER, comfyClass="Other"), "what no page saves"),
        (one("KSampler", SAMPLER, mode="on"), "unknown mode"),
        (one("Anything Everywhere"), "no node class"),
    ],
)
def test_node_leaves_doubt_the_reason_says_which(workflow: dict[str, Any], reason: str) -> None:
    node_id, sentence = refusal(workflow)
    assert node_id == "1"
    assert reason in sentence


def test_text_names_a_node_of_which_there_are_two_it_is_refused() -> None:
    graph = Graph()
    for _ in range(2):
        graph.node("KSampler", SAMPLER, properties={"Node name for S&R": "K"})
    graph.node("SaveImage", ["%K.seed%"])
    assert "%K.seed% may mean several" in refusal(graph.saved())[1]


def test_text_names_a_node_within_a_subgraph_it_is_refused() -> None:
    workflow = fixture("subgraph_with_values")
    save = {"id": 99, "type": "SaveImage", "widgets_values": ["%Texts.plain%"]}
    workflow["nodes"].append(save)
    assert "may mean several" in refusal(workflow)[1]


def test_text_names_a_title_that_the_page_translates_it_is_refused() -> None:
    graph = Graph()
    graph.node("KSampler", SAMPLER, properties={"Node name for S&R": "K"})
    graph.node("SaveImage", ["%KSampler.seed%"])
    assert "may mean several" in refusal(graph.saved())[1]


def test_prefix_is_replaced_by_newer_pages_only_it_is_refused() -> None:
    graph = Graph()
    graph.node("KSampler", SAMPLER)
    graph.node("SaveVideo", ["%KSampler.seed%", "auto", "auto"])
    assert "Versions of the page differ" in refusal(graph.saved())[1]


@pytest.mark.parametrize(
    ("workflow", "node_id", "reason"),
    [
        (linked(lambda g: g.reroute(mode=2), 0, "Sink", "any"), "1", "is muted"),
        (
            linked(lambda g: g.node("Gone", outputs=["*"], mode=2), 0, "Sink", "any"),
            "1",
            "is muted",
        ),
        (
            linked(
                lambda g: g.node("PrimitiveInt", [1, "fixed"], mode=2),
                0,
                "KSampler",
                "seed",
                values=SAMPLER,
            ),
            "2",
            "seed of “KSampler” is linked to a muted node",
        ),
        (
            linked(lambda g: g.node("Match", [True], mode=4), 0, "Sink", "any"),
            "1",
            "only the page knows",
        ),
        (
            linked(lambda g: g.node("Grows", [1], mode=4), 0, "Sink", "any"),
            "1",
            "only the page knows",
        ),
    ],
)
def test_link_leaves_doubt_the_reason_names_the_node(
    workflow: dict[str, Any], node_id: str | None, reason: str
) -> None:
    found, sentence = refusal(workflow)
    assert found == node_id
    assert reason in sentence


def test_custom_node_lost_the_widget_of_a_link_it_is_refused() -> None:
    workflow = linked(lambda g: g.node("ImgSrc"), 2, "Reordered", "x", values=["a", 1, "u", True])
    workflow["nodes"][1]["inputs"][0]["widget"] = {"name": "x"}
    assert refusal(workflow) == (
        "2",
        "“Reordered” has a link to a widget that it no longer has: x (node 2).",
    )


def test_reroutes_run_in_a_circle_it_is_refused() -> None:
    graph = Graph()
    first, second = graph.reroute(), graph.reroute()
    graph.link(first, 0, second, "")
    graph.link(second, 0, first, "")
    graph.link(second, 0, graph.node("Sink"), "any")
    assert "in a circle" in refusal(graph.saved())[1]


def test_reroute_joins_two_types_it_is_refused() -> None:
    graph = Graph()
    reroute = graph.reroute()
    graph.link(graph.node("ImgSrc"), 0, reroute, "")
    graph.link(reroute, 0, graph.node("ImgSink"), "m")
    assert "input of another type" in refusal(graph.saved())[1]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_nodes_feed_one_another_in_a_circle_it_is_refused(length: int) -> None:
    graph = Graph()
    nodes = [graph.node("AnyIn") for _ in range(length)]
    for index, node in enumerate(nodes):
        graph.link(node, 0, nodes[(index + 1) % length], "any")
    assert "in a circle" in refusal(graph.saved())[1]


def test_link_leads_to_what_is_not_there_it_is_refused() -> None:
    workflow = linked(lambda g: g.node("ImgSrc"), 0, "Sink", "any")
    assert "broken link" in refusal({**workflow, "links": []})[1]
    assert "not there" in refusal({**workflow, "nodes": workflow["nodes"][1:]})[1]
    workflow["links"][0][2] = 7
    assert "lacks an output" in refusal(workflow)[1]
    workflow["links"][0][3] = 1
    assert "broken link" in refusal(workflow)[1]


@pytest.mark.parametrize(
    ("kind", "value", "target", "name", "reason"),
    [
        ("FLOAT", 2.55, "KSampler", "cfg", "would round"),
        ("INT", -1, "KSampler", "steps", "would round"),
        ("INT", 513, "EmptyLatentImage", "width", "would round"),
        ("INT", "x", "KSampler", "steps", "would round"),
        ("INT", 5, "Forced", "n", "has no widget"),
        ("INT", 5, "Multi", "many", "unknown kind"),
    ],
)
def test_primitive_is_passed_on_otherwise_it_is_refused(
    kind: str, value: Any, target: str, name: str, reason: str
) -> None:
    values = {"KSampler": SAMPLER, "EmptyLatentImage": [64, 64, 1], "Forced": ["t", 1]}
    graph = Graph()
    node = graph.node(target, values.get(target, [[], 1]))
    graph.link(graph.primitive(kind, value), 0, node, name, widget=name != "n")
    node_id, sentence = refusal(graph.saved())
    assert node_id == "2"
    assert reason in sentence


def test_primitive_feeds_a_reroute_or_a_subgraph_it_is_refused() -> None:
    graph = Graph()
    graph.link(graph.primitive("INT", 5), 0, graph.reroute(), "")
    assert "has no widget" in refusal(graph.saved())[1]
    workflow = fixture("subgraph_linked_from_outside")
    workflow["nodes"][0] = {
        **workflow["nodes"][0],
        "type": "PrimitiveNode",
        "widgets_values": ["x"],
        "outputs": [{"type": "STRING", "links": [1, 2]}],
    }
    assert "has no widget" in refusal(workflow)[1]


def test_primitive_has_links_that_one_end_knows_it_is_refused() -> None:
    graph = Graph()
    primitive = graph.primitive("INT", 5)
    graph.link(primitive, 0, graph.node("KSampler", SAMPLER), "steps", widget=True)
    primitive["outputs"][0]["links"].append(9)
    assert "only one of their ends" in refusal(graph.saved())[1]
