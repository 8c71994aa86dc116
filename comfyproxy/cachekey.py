"""The input that keeps two users' equal graphs apart in ComfyUI's cache.

ComfyUI's cache is shared by everyone and keyed by a node's inputs. An input that no node
declares is ignored when the node runs but counts for the key, so with it no user is handed
a file of another, nor the metadata inside it. It is taken out of everything that comes back.
"""

import re
from typing import Any, Final

INPUT: Final = "mss_namespace"
# As Python and JSON write it, in texts that repeat a whole prompt.
_WRITTEN: Final = re.compile(rf"""(['"]){INPUT}\1: (['"])[^'"]*\2(?:, )?""")


def without_cache_key(graph: Any) -> Any:
    """A graph as its owner sent it."""
    if not isinstance(graph, dict):
        return graph
    return {node_id: _node_without(node) for node_id, node in graph.items()}


def _node_without(node: Any) -> Any:
    if not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
        return node
    if INPUT not in node["inputs"]:
        return node
    return {**node, "inputs": without_input(node["inputs"])}


def without_input(inputs: dict[str, Any]) -> dict[str, Any]:
    """A node's inputs without it."""
    return {name: value for name, value in inputs.items() if name != INPUT}


def without_written_input(text: str) -> str:
    """A text that repeats a prompt, without it."""
    return _WRITTEN.sub("", text) if INPUT in text else text
