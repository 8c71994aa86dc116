"""The shape a `POST /prompt` body must have before ComfyUI may see it.

ComfyUI 0.3.64 answers 200 to bodies that then kill its worker thread or its process (a
`client_id` that is a list, an `extra_data` that is a number, a node without `inputs`, a
chain of 1500 nodes). Everything here is refused with a 400 that names the field.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

import orjson

from accounts.errors import BadRequest, InvalidJson, TooLarge

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
MAX_LINK_PATH: Final = 250
MAX_DEPTH: Final = 100
MAX_ID_CHARS: Final = 256
MAX_WORKFLOW_ID_CHARS: Final = 100
# Every text, number, list and object inside all inputs together.
MAX_VALUES: Final = 100_000
# ComfyUI keys its cache by a node's inputs and those of all its ancestors: a chain of 249
# nodes with 200 inputs each, 0.4 MB, made 0.3.64 take 5.7 GB and stalled its HTTP for 13 s.
MAX_SIGNATURE_VALUES: Final = 500_000

Graph = dict[str, dict[str, Any]]
WRAPPED: Final = "__value__"


@dataclass(frozen=True, slots=True)
class Submission:
    """A prompt as a client sent it, its shape checked. `prompt_id` is a canonical UUID."""

    graph: Graph
    client_id: str | None
    extra_data: dict[str, Any]
    prompt_id: str | None
    number: float | None
    front: bool
    targets: list[str] | None
    workflow_id: str = ""


def parse_submission(body: bytes, *, max_nodes: int) -> Submission:
    """Check a body and take from it what ComfyUI knows; unknown keys are dropped.

    Raises:
        TooLarge, InvalidJson, BadRequest (`field` names what is at fault)
    """
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge("A prompt may have at most 10 MB.")
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidJson from None
    _require(isinstance(data, dict), "The body must be a JSON object.", None)
    graph = _graph(data.get("prompt"), max_nodes)
    extra_data = data.get("extra_data", {})
    _require(isinstance(extra_data, dict), "extra_data must be an object.", "extra_data")
    _count_values(extra_data, "extra_data")
    inner_id = _client_id(extra_data.get("client_id"), "extra_data.client_id")
    pnginfo = extra_data.get("extra_pnginfo")
    _require(
        pnginfo is None or isinstance(pnginfo, dict),
        "extra_pnginfo must be an object.",
        "extra_data.extra_pnginfo",
    )
    return Submission(
        graph=graph,
        client_id=_client_id(data.get("client_id"), "client_id") or inner_id,
        extra_data={key: value for key, value in extra_data.items() if key != "client_id"},
        prompt_id=_prompt_id(data.get("prompt_id")),
        number=_number(data.get("number")),
        front=data.get("front") is True,
        targets=_targets(data.get("partial_execution_targets")),
        workflow_id=_workflow_id(pnginfo),
    )


def _require(condition: bool, sentence: str, field: str | None) -> None:
    if not condition:
        raise BadRequest(sentence) if field is None else BadRequest(sentence, field=field)


def _graph(graph: Any, max_nodes: int) -> Graph:
    _require(isinstance(graph, dict), "prompt must be an object of nodes.", "prompt")
    _require(len(graph) <= max_nodes, f"A prompt may have at most {max_nodes} nodes.", "prompt")
    for node_id, node in graph.items():
        field = f"prompt.{node_id[:80]}"
        _require(len(node_id) <= MAX_ID_CHARS, "A node id is too long.", field)
        _require("\0" not in node_id, "A node id holds a null character.", "prompt")
        _require(isinstance(node, dict), f"Node {node_id[:80]} must be an object.", field)
        _require(
            isinstance(node.get("class_type"), str),
            f"Node {node_id[:80]} needs a class_type, as text.",
            f"{field}.class_type",
        )
        _require(
            isinstance(node.get("inputs"), dict),
            f"Node {node_id[:80]} needs inputs, as an object.",
            f"{field}.inputs",
        )
    values = {
        node_id: _count_values(node, f"prompt.{node_id[:80]}") for node_id, node in graph.items()
    }
    _require(sum(values.values()) <= MAX_VALUES, "The prompt holds too many values.", "prompt")
    _require(
        longest_link_path(graph) <= MAX_LINK_PATH,
        f"No chain of links may be longer than {MAX_LINK_PATH} nodes.",
        "prompt",
    )
    _require(
        signature_values(graph, values) <= MAX_SIGNATURE_VALUES,
        "The prompt's nodes depend on too many inputs of others.",
        "prompt",
    )
    return graph  # type: ignore[no-any-return]


def _count_values(value: dict[str, Any], field: str) -> int:
    """How many values an object holds, at any depth.

    Raises:
        BadRequest: nested too deeply
    """
    level: list[Any] = [value]
    count = 0
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        count += len(level)
        if not level:
            return count
    raise BadRequest(f"{field} is nested too deeply.", field=field)


def _client_id(value: Any, field: str) -> str | None:
    # ComfyUI takes a number too, but no client sends one; a list ends its process.
    _require(value is None or isinstance(value, str), f"{field} must be text.", field)
    _require(value is None or len(value) <= MAX_ID_CHARS, f"{field} is too long.", field)
    # PostgreSQL does not store one.
    _require(value is None or "\0" not in value, f"{field} holds a null character.", field)
    return value or None


def _prompt_id(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return str(uuid.UUID(value if isinstance(value, str) else ""))
    except ValueError:
        raise BadRequest("prompt_id must be a UUID.", field="prompt_id") from None


def _workflow_id(pnginfo: Any) -> str:
    """The id that the frontend gave the workflow, if it is one that can be stored."""
    workflow = pnginfo.get("workflow") if isinstance(pnginfo, dict) else None
    found = workflow.get("id") if isinstance(workflow, dict) else None
    if not isinstance(found, str) or len(found) > MAX_WORKFLOW_ID_CHARS or "\0" in found:
        return ""
    return found


def _number(value: Any) -> float | None:
    if value is None:
        return None
    _require(
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15,
        "number must be a number.",
        "number",
    )
    return float(value)


def _targets(value: Any) -> list[str] | None:
    if value is None:
        return None
    _require(
        isinstance(value, list) and all(isinstance(item, str) for item in value),
        "partial_execution_targets must be a list of node ids.",
        "partial_execution_targets",
    )
    return list(value)


def unwrap(value: Any) -> Any:
    """What ComfyUI sees of an input value: `{"__value__": x}` is x (validate_inputs)."""
    while isinstance(value, dict) and WRAPPED in value:
        value = value[WRAPPED]
    return value


def link_source(value: Any, graph: Graph) -> str | None:
    """The node id that an input value is linked to, or None if it is no link.

    Wrapped lists count: ComfyUI unwraps in place, and what comes out is a link afterwards.
    """
    value = unwrap(value)
    if (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], (int, float))
        and value[0] in graph
    ):
        return value[0]
    return None


def links(node: dict[str, Any], graph: Graph) -> Iterator[str]:
    """The node ids that a node's inputs are linked to."""
    for value in node["inputs"].values():
        source = link_source(value, graph)
        if source is not None:
            yield source


def signature_values(graph: Graph, values: Mapping[str, int]) -> int:
    """How many values ComfyUI's cache keys of all nodes hold together: each node's own and
    those of every node it depends on. `values` counts each node's own.

    An upper bound where links run in a circle.
    """
    sources = {node_id: set(links(node, graph)) for node_id, node in graph.items()}
    try:
        order = list(TopologicalSorter(sources).static_order())
    except CycleError:
        return len(graph) * sum(values.values())
    # A bit per node: who depends on it, itself included. Counted from the last to the first.
    position = {node_id: index for index, node_id in enumerate(order)}
    dependents = [1 << index for index in range(len(order))]
    for node_id in reversed(order):
        for source in sources[node_id]:
            dependents[position[source]] |= dependents[position[node_id]]
    return sum(dependents[position[node_id]].bit_count() * values[node_id] for node_id in order)


def longest_link_path(graph: Graph) -> int:
    """How many nodes the longest chain of links has (an upper bound where links run in a
    circle: then every node could lie on it)."""
    sources = {node_id: set(links(node, graph)) for node_id, node in graph.items()}
    lengths: dict[str, int] = {}
    try:
        for node_id in TopologicalSorter(sources).static_order():
            lengths[node_id] = 1 + max((lengths[s] for s in sources[node_id]), default=0)
    except CycleError:
        return len(graph)
    return max(lengths.values(), default=0)
