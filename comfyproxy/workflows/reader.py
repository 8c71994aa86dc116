"""Reads the JSON of a saved workflow: what is shaped like none is refused, nothing is guessed.

Both forms of the frontend are read (workflowSchema.ts, ComfyUI_frontend 1.27.10): version 0.4
with links as lists, version 1 with links as objects; definitions of subgraphs have a version
of their own.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from comfyproxy.workflows.document import (
    BoundarySlot,
    Definition,
    Document,
    Graph,
    InputSlot,
    Link,
    OutputSlot,
    SavedNode,
)
from comfyproxy.workflows.errors import Unconvertible, shown

MAX_NODES: Final = 10_000
MAX_DEPTH: Final = 100
MAX_ID_CHARS: Final = 64
_LISTS, _OBJECTS = 0.4, 1
_LINK_FIELDS: Final = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
# What a saved node never has: the frontend would copy it over what the node really is.
_NOT_SAVED: Final = frozenset({"comfyClass", "isVirtualNode", "widgets", "graph", "subgraph"})
# Classes that ComfyUI renamed; the frontend reads the old names (app.ts, loadGraphData).
_RENAMED: Final = {
    "T2IAdapterLoader": "ControlNetLoader",
    "ConditioningAverage ": "ConditioningAverage",
    "SDV_img2vid_Conditioning": "SVD_img2vid_Conditioning",
}


def read_document(workflow: Any) -> Document:
    """Take a saved workflow apart.

    Raises:
        Unconvertible: shaped like none, or one that holds what is not understood
    """
    data = _object(workflow, "The workflow is no JSON object.")
    definitions = _object(
        data.get("definitions") or {}, "The workflow's definitions are no object."
    )
    subgraphs = _list(definitions.get("subgraphs"), "The workflow's subgraphs are no list.")
    found: dict[str, Definition] = {}
    for raw in subgraphs:
        definition = _definition(raw)
        if definition.id in found:
            raise Unconvertible(f"The subgraph {shown(definition.id)} is defined twice.")
        found[definition.id] = definition
    document = Document(_graph(data, "The workflow"), found)
    graphs = [document.root, *(definition.graph for definition in found.values())]
    if sum(len(graph.nodes) for graph in graphs) > MAX_NODES:
        raise Unconvertible(f"The workflow has more than {MAX_NODES} nodes.")
    _refuse_rewritten(data)
    return document


def _require_shallow(value: Any, node_id: str) -> None:
    """Raise Unconvertible for values nested so deeply that merely comparing them would fail."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise Unconvertible(f"Node {shown(node_id)} holds values nested too deeply.", node_id)


def _refuse_rewritten(data: Mapping[str, Any]) -> None:
    extra = data.get("extra")
    if isinstance(extra, dict) and extra.get("ue_links"):
        raise Unconvertible("Links of “Anything Everywhere” nodes are drawn only by the page.")


def _definition(raw: Any) -> Definition:
    data = _object(raw, "A subgraph's definition is no object.")
    found_id = data.get("id")
    if not isinstance(found_id, str) or not found_id:
        raise Unconvertible("A subgraph has no id.")
    name = data.get("name")
    name = name if isinstance(name, str) and name else found_id
    where = f"The subgraph {shown(name)}"
    nested = data.get("definitions")
    if isinstance(nested, dict) and nested.get("subgraphs"):
        raise Unconvertible(f"{where} holds definitions of its own.")
    graph = _graph(data, where)
    return Definition(
        found_id,
        name,
        graph,
        tuple(_boundary(data.get("inputs"), graph, where)),
        tuple(_boundary(data.get("outputs"), graph, where)),
    )


def _boundary(raw: Any, graph: Graph, where: str) -> Iterator[BoundarySlot]:
    names: set[str] = set()
    for item in _list(raw, f"{where} has inputs or outputs that are no list."):
        slot = _object(item, f"{where} has an input or output that is no object.")
        name = slot.get("name")
        if not isinstance(name, str) or name in names:
            raise Unconvertible(f"{where} has inputs or outputs without a name of their own.")
        names.add(name)
        ids = dict.fromkeys(_link_ids(slot.get("linkIds"), where))
        links = tuple(link_id for link_id in ids if link_id in graph.links)
        yield BoundarySlot(name, slot.get("type"), links)


def _graph(data: Mapping[str, Any], where: str) -> Graph:
    version = data.get("version")
    if isinstance(version, bool) or version not in (_LISTS, _OBJECTS):
        raise Unconvertible(f"{where} is of an unknown version: {shown(version)}.")
    nodes: dict[str, SavedNode] = {}
    for raw in _list(data.get("nodes"), f"{where} has nodes that are no list."):
        node = _node(raw, where)
        if node.id in nodes:
            raise Unconvertible(f"{where} has two nodes with the id {shown(node.id)}.", node.id)
        nodes[node.id] = node
    links: dict[int, Link] = {}
    for raw in _list(data.get("links"), f"{where} has links that are no list."):
        link = _link(raw, version == _LISTS, where)
        if links.setdefault(link.id, link) != link:
            raise Unconvertible(f"{where} has two links with the id {link.id}.")
    return Graph(nodes, links)


def _node(raw: Any, where: str) -> SavedNode:
    data = _object(raw, f"{where} has a node that is no object.")
    node_id = _id(data.get("id"))
    is_usable = node_id is not None and len(node_id) <= MAX_ID_CHARS and ":" not in node_id
    if node_id is None or not is_usable or node_id.startswith("-"):
        raise Unconvertible(f"{where} has a node without a usable id: {shown(data.get('id'))}.")
    kind = data.get("type")
    if not isinstance(kind, str) or not kind:
        raise Unconvertible(f"Node {shown(node_id)} has no type.", node_id)
    mode = 0 if data.get("mode") is None else _integer(data["mode"])
    if mode is None:
        raise Unconvertible(f"Node {shown(node_id)} is in an unknown mode.", node_id)
    if _NOT_SAVED & data.keys():
        raise Unconvertible(f"Node {shown(node_id)} holds what no page saves.", node_id)
    title, named = data.get("title"), data.get("widgets_values_named")
    _require_shallow([data.get("widgets_values"), named], node_id)
    properties = data.get("properties")
    return SavedNode(
        id=node_id,
        type=_RENAMED.get(kind, kind),
        title=title if isinstance(title, str) else "",
        mode=mode,
        inputs=_inputs(data.get("inputs"), node_id),
        outputs=tuple(_outputs(data.get("outputs"), node_id)),
        values=data.get("widgets_values"),
        named_values=named if isinstance(named, dict) else {},
        properties=properties if isinstance(properties, dict) else {},
    )


def _inputs(raw: Any, node_id: str) -> dict[str, InputSlot]:
    """By name; of two with one name the last counts, if neither has a link."""
    where, found = f"Node {shown(node_id)}", dict[str, InputSlot]()
    for item in _list(raw, f"{where} has inputs that are no list."):
        slot = _object(item, f"{where} has an input that is no object.")
        name, link, widget = slot.get("name"), slot.get("link"), slot.get("widget")
        if not isinstance(name, str) or (
            name in found and (link is not None or found[name].link is not None)
        ):
            raise Unconvertible(f"{where} has inputs without a name of their own.", node_id)
        link_id = _integer(link)
        if link is not None and link_id is None:
            raise Unconvertible(f"{where} has an input with a broken link.", node_id)
        own = widget.get("name") if isinstance(widget, dict) else None
        widget_name = own if isinstance(own, str) else None
        found[name] = InputSlot(name, slot.get("type"), link_id, widget_name)
    return found


def _outputs(raw: Any, node_id: str) -> Iterator[OutputSlot]:
    where = f"Node {shown(node_id)}"
    for item in _list(raw, f"{where} has outputs that are no list."):
        slot = _object(item, f"{where} has an output that is no object.")
        yield OutputSlot(slot.get("type"), tuple(_link_ids(slot.get("links"), where)))


def _link(raw: Any, is_list: bool, where: str) -> Link:
    if is_list and isinstance(raw, list) and len(raw) >= len(_LINK_FIELDS):
        parts = raw[: len(_LINK_FIELDS)]
    elif not is_list and isinstance(raw, dict):
        parts = [raw.get(name) for name in _LINK_FIELDS]
    else:
        raise Unconvertible(f"{where} has a link of an unknown form.")
    link_id, origin, target = _integer(parts[0]), _id(parts[1]), _id(parts[3])
    origin_slot, target_slot = _integer(parts[2]), _integer(parts[4])
    if (
        link_id is None
        or origin is None
        or target is None
        or origin_slot is None
        or target_slot is None
    ):
        raise Unconvertible(f"{where} has a link that is incomplete.")
    return Link(link_id, origin, origin_slot, target, target_slot)


def _link_ids(raw: Any, where: str) -> Iterable[int]:
    for item in _list(raw, f"{where} has link ids that are no list."):
        found = _integer(item)
        if found is None:
            raise Unconvertible(f"{where} has a link id that is no number.")
        yield found


def _object(value: Any, otherwise: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Unconvertible(otherwise)
    return value


def _list(value: Any, otherwise: str) -> list[Any]:
    """The list, empty where there is none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unconvertible(otherwise)
    return value


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def _id(value: Any) -> str | None:
    """A node's id as text: the frontend looks nodes up by it, number or not."""
    if isinstance(value, str):
        return value or None
    number = _integer(value)
    return None if number is None else str(number)
