"""Small workflows for tests, built node by node as the page would save them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from comfyproxy.workflows.convert import Unconvertible, to_prompt

FOLDER = Path(__file__).parent
DEFINITIONS: dict[str, Any] = json.loads((FOLDER / "definitions.json").read_text())
SAMPLER = [5, "fixed", 20, 8, "euler", "normal", 1]

Node = dict[str, Any]


def fixture(name: str) -> dict[str, Any]:
    """A workflow of this folder."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())["workflow"]
    return found


def refusal(workflow: Any, info: Any = DEFINITIONS) -> tuple[str | None, str]:
    """Why a workflow is refused: the node at fault, and the sentence."""
    with pytest.raises(Unconvertible) as caught:
        to_prompt(workflow, info)
    assert caught.value.reason.endswith(".")
    return caught.value.node_id, caught.value.reason


class Graph:
    """A workflow of version 0.4 in the making."""

    def __init__(self, first_id: int = 1) -> None:
        self.nodes: list[Node] = []
        self.links: list[list[Any]] = []
        self._next = first_id

    def node(self, kind: str, values: Any = None, outputs: Iterable[str] = (), **more: Any) -> Node:
        """A node; of a class there is, with the outputs that this declares."""
        declared = DEFINITIONS.get(kind, {}).get("output", outputs)
        slots = [{"name": name, "type": name, "links": []} for name in declared]
        node: Node = {"id": self._next, "type": kind, "mode": 0, "inputs": [], "outputs": slots}
        node["properties"] = {}
        if values is not None:
            node["widgets_values"] = values
        self._next += 1
        self.nodes.append({**node, **more})
        return self.nodes[-1]

    def link(self, origin: Node, slot: int, target: Node, name: str, widget: bool = False) -> None:
        link_id, kind = len(self.links) + 1, origin["outputs"][slot]["type"]
        entry: dict[str, Any] = {"name": name, "type": kind, "link": link_id}
        if widget:
            entry["widget"] = {"name": name}
        self.links.append([link_id, origin["id"], slot, target["id"], len(target["inputs"]), kind])
        origin["outputs"][slot]["links"].append(link_id)
        target["inputs"].append(entry)

    def reroute(self, mode: int = 0) -> Node:
        return self.node("Reroute", outputs=["*"], mode=mode)

    def primitive(self, kind: str, value: Any, **properties: Any) -> Node:
        return self.node("PrimitiveNode", [value, "fixed"], [kind], properties=properties)

    def saved(self, *subgraphs: Any, **more: Any) -> dict[str, Any]:
        """The workflow as the page saves it."""
        found: dict[str, Any] = {"version": 0.4, "nodes": self.nodes, "links": self.links, **more}
        if subgraphs:
            found["definitions"] = {"subgraphs": list(subgraphs)}
        return found
