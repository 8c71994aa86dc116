"""From a workflow as ComfyUI's page saves it to the prompt that the page would queue.

Compared with the page's own result (ComfyUI_frontend 1.27.10, `app.graphToPrompt`, and
1.58.1). The rule is: never a wrong prompt. What the page would make of a file must follow from
the file and `GET /object_info` alone; where it does not, or where versions of the page differ,
`Unconvertible` says so.

What the page does only when a prompt is queued:

- seeds: `control_after_generate` changes them after queueing, so the saved seed counts;
- dynamic prompts (`{a|b}`): a choice is made at random with every call;
- `%Node.widget%` in a filename_prefix: filled in; `%date:…%` is the browser's: refused;
- pictures of a camera, a recording or a 3D scene: refused.

A model or file that ComfyUI does not have is no concern of this module: ComfyUI says so.
"""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from comfyproxy.workflows.builder import Builder
from comfyproxy.workflows.document import Document, SavedNode
from comfyproxy.workflows.errors import Unconvertible
from comfyproxy.workflows.nodes import VIRTUAL
from comfyproxy.workflows.reader import read_document

__all__ = ["Unconvertible", "classes_of", "is_prompt", "to_prompt"]


def is_prompt(data: object) -> bool:
    """Whether it is a prompt already: an object of nodes with a class_type and inputs."""
    return (
        isinstance(data, dict)
        and bool(data)
        and all(
            isinstance(node, dict)
            and isinstance(node.get("class_type"), str)
            and isinstance(node.get("inputs"), dict)
            for node in data.values()
        )
    )


def classes_of(workflow: Mapping[str, Any]) -> set[str]:
    """The node classes whose definitions `to_prompt` needs, those within subgraphs too.

    Raises:
        Unconvertible: no workflow
    """
    document = read_document(workflow)
    return {
        saved.type
        for saved in _reachable(document)
        if saved.type not in VIRTUAL and saved.type not in document.definitions
    }


def _reachable(document: Document) -> list[SavedNode]:
    found = list(document.root.nodes.values())
    seen: set[str] = set()
    for saved in found:
        definition = document.definitions.get(saved.type)
        if definition is not None and definition.id not in seen:
            seen.add(definition.id)
            found.extend(definition.graph.nodes.values())
    return found


def to_prompt(workflow: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """The prompt that the page would queue. `info` maps each of `classes_of(workflow)` to its
    definition as in `GET /object_info`; a class that ComfyUI does not have is left out of it.

    Neither argument is changed.

    Raises:
        Unconvertible: the prompt cannot be told with certainty
    """
    prompt = Builder(read_document(workflow), info).prompt()
    _require_order(prompt)
    return dict(sorted(prompt.items(), key=_place))


def _place(item: tuple[str, Any]) -> tuple[bool, int]:
    """Where JavaScript would put a node: numbers first, the rest as it came."""
    node_id = item[0]
    is_number = node_id.isdecimal() and node_id.isascii() and str(int(node_id)) == node_id
    return (not is_number, int(node_id) if is_number else 0)


def _require_order(prompt: Mapping[str, Any]) -> None:
    """Raise Unconvertible for nodes that feed one another in a circle."""
    sources = {
        node_id: {value[0] for value in node["inputs"].values() if isinstance(value, list)}
        for node_id, node in prompt.items()
    }
    try:
        TopologicalSorter(sources).prepare()
    except CycleError as error:
        node_id = str(error.args[1][0])
        title = prompt[node_id]["_meta"]["title"]
        raise Unconvertible(f"“{title}” is linked to itself in a circle.", node_id) from None
