"""Workflows become the prompts that ComfyUI's page made of them.

`workflows/*.json`: hand-made workflows, each with what `app.graphToPrompt` of the named version
of ComfyUI_frontend made of it, `Math.random` being 0; `definitions.json`: the classes they use.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from comfyproxy.prompts.shape import parse_submission
from comfyproxy.workflows import texts
from comfyproxy.workflows.convert import classes_of, is_prompt, to_prompt
from tests.comfyproxy.workflows.graphs import DEFINITIONS, FOLDER, SAMPLER, Graph

CASES = sorted(path for path in FOLDER.glob("*.json") if path.stem != "definitions")


@pytest.fixture(autouse=True)
def first_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts.secrets, "choice", lambda choices: choices[0])


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_page_saves_a_workflow_its_own_prompt_comes_out(path: Path) -> None:
    case = json.loads(path.read_text())
    workflow = copy.deepcopy(case["workflow"])
    classes = classes_of(workflow)
    info = {name: DEFINITIONS[name] for name in classes if name in DEFINITIONS}
    before = copy.deepcopy(info)
    prompt = to_prompt(workflow, info)
    assert prompt == case["prompt"]
    assert list(prompt) == list(case["prompt"])
    assert (workflow, info) == (case["workflow"], before)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_gateway_gets_a_converted_prompt_its_shape_is_fine(path: Path) -> None:
    case = json.loads(path.read_text())
    prompt = to_prompt(case["workflow"], DEFINITIONS)
    body = json.dumps({"prompt": prompt}).encode()
    assert parse_submission(body, max_nodes=100).graph == prompt
    assert is_prompt(prompt)


def test_workflow_holds_subgraphs_and_notes_only_real_classes_are_needed() -> None:
    graph = Graph()
    graph.node("Note", ["a note"])
    graph.node("MarkdownNote", ["a note"])
    graph.reroute()
    graph.primitive("INT", 1)
    graph.node("T2IAdapterLoader")
    graph.node("one")
    inner = {"id": "one", "version": 1, "nodes": [{"id": 9, "type": "two"}, {"id": 8, "type": "A"}]}
    unused = {"id": "three", "version": 1, "nodes": [{"id": 9, "type": "C"}]}
    deeper = {"id": "two", "version": 1, "nodes": [{"id": 7, "type": "B", "mode": 2}]}
    assert classes_of(graph.saved(inner, deeper, unused)) == {"A", "B", "ControlNetLoader"}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        "prompt",
        {"nodes": [], "links": [], "version": 0.4},
        {"1": {"class_type": "A"}},
        {"1": {"class_type": 1, "inputs": {}}},
        {"1": {"class_type": "A", "inputs": []}},
        {"1": {"class_type": "A", "inputs": {}}, "2": None},
    ],
)
def test_client_sends_no_prompt_it_is_told_apart(data: Any) -> None:
    assert not is_prompt(data)


def test_client_sends_a_prompt_it_is_recognised() -> None:
    assert is_prompt(
        {"1": {"class_type": "A", "inputs": {}}, "2": {"class_type": "", "inputs": {}}}
    )


def test_custom_node_saves_its_values_by_name_they_are_read_by_name() -> None:
    graph = Graph()
    values = {"d": True, "c": "v", "b": 2, "a": "x", "videopreview": {"hidden": False}}
    graph.node("Reordered", values)
    inputs = to_prompt(graph.saved(), DEFINITIONS)["1"]["inputs"]
    assert inputs == {"a": "x", "b": 2, "c": "v", "d": True}


def test_core_node_has_no_values_its_defaults_count() -> None:
    graph = Graph()
    graph.node("EmptyLatentImage", [])
    inputs = to_prompt(graph.saved(), DEFINITIONS)["1"]["inputs"]
    assert inputs == {"width": 512, "height": 512, "batch_size": 1}


def test_old_page_saved_empty_values_behind_the_rest_they_are_left_out() -> None:
    graph = Graph()
    graph.node("LoadImage", ["a.png", "image", ""])
    assert to_prompt(graph.saved(), DEFINITIONS)["1"]["inputs"] == {"image": "a.png"}


def test_unknown_node_is_muted_and_unlinked_the_rest_is_converted() -> None:
    graph = Graph()
    graph.node("Unknown", mode=2)
    graph.node("KSampler", SAMPLER)
    assert list(to_prompt(graph.saved(), DEFINITIONS)) == ["2"]


def test_muted_node_holds_odd_values_the_rest_is_converted() -> None:
    graph = Graph()
    graph.node("KSampler", ["odd"], mode=2)
    graph.node("KSampler", SAMPLER)
    assert list(to_prompt(graph.saved(), DEFINITIONS)) == ["2"]


def test_sampler_has_a_name_of_2023_it_is_shortened() -> None:
    graph = Graph()
    graph.node("KSampler", [5, True, 20, 8, "sample_euler", "normal", 1])
    prompt = to_prompt(graph.saved(), DEFINITIONS)
    assert prompt["1"]["inputs"]["sampler_name"] == "euler"


def test_node_has_a_title_the_prompt_has_it_too() -> None:
    graph = Graph()
    graph.node("KSampler", SAMPLER, title="Mine")
    graph.node("KSampler", SAMPLER)
    found = to_prompt(graph.saved(), DEFINITIONS)
    assert [node["_meta"]["title"] for node in found.values()] == ["Mine", "KSampler"]


def test_text_holds_choices_each_is_made_sometimes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    graph = Graph()
    graph.node("CLIPTextEncode", ["{red|green} cat"])
    found = {to_prompt(graph.saved(), DEFINITIONS)["1"]["inputs"]["text"] for _ in range(200)}
    assert found == {"red cat", "green cat"}
