"""Primitive nodes: their value takes the place of what the widgets they are linked to hold.

After ComfyUI_frontend 1.27.10, widgetInputs.ts (PrimitiveNode).
"""

from collections.abc import Iterator
from math import floor, isfinite, log10
from typing import Any, Final

from comfyproxy.workflows.document import Graph, Link, SavedNode
from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.nodes import PRIMITIVE, Node, Nodes
from comfyproxy.workflows.shapes import Kind, Widget

REPLACES_TEXT: Final = "Run widget replace on values"
_TOLERANCE: Final = 1e-6


def primitive_values(graph: Graph, nodes: Nodes) -> Iterator[tuple[SavedNode, Node, Widget, Any]]:
    """Each widget at the top of a workflow that a primitive sets: primitive, node, widget, and
    the value.

    Raises:
        Unconvertible: a primitive whose value the page would round, or cannot pass on
    """
    for saved, targets in _linked(graph):
        listed = {link_id for slot in saved.outputs for link_id in slot.links}
        if listed != {link.id for link in targets} or len(saved.outputs) > 1:
            raise _refusal(saved, "has links that only one of their ends knows")
        for link in targets:
            target = graph.nodes.get(link.target)
            node = None if target is None else nodes.find(None, target)
            widget = None if node is None else _widget(node, link.id)
            if node is None or widget is None:
                raise _refusal(saved, "is linked to an input that has no widget")
            yield saved, node, widget, _value(saved, widget)


def require_unused(graph: Graph, path: str) -> None:
    """Raise Unconvertible for a primitive within a subgraph that is linked to something:
    1.27.10 then makes no prompt at all. `path`: what stands before the ids of its nodes."""
    for saved, targets in _linked(graph):
        if targets:
            refusal = _refusal(saved, "is within a subgraph; make it an input of that")
            raise refusal.at(f"{path}{saved.id}")


def _linked(graph: Graph) -> Iterator[tuple[SavedNode, list[Link]]]:
    """Each primitive with its links."""
    found = {saved.id: saved for saved in graph.nodes.values() if saved.type == PRIMITIVE}
    links: dict[str, list[Link]] = {node_id: [] for node_id in found}
    for link in graph.links.values() if found else ():
        if link.origin in links:
            links[link.origin].append(link)
    for node_id, saved in found.items():
        yield saved, links[node_id]


def _widget(node: Node, link_id: int) -> Widget | None:
    name = node.linked.get(link_id)
    widgets = node.shape.widgets if node.shape is not None else ()
    return next((widget for widget in widgets if widget.name == name and widget.has_input), None)


def _value(saved: SavedNode, widget: Widget) -> Any:
    values = saved.values
    if not isinstance(values, list) or not values:
        raise _refusal(saved, "holds no value of its own")
    value = values[0]
    if widget.kind in (Kind.INT, Kind.FLOAT) and not _is_kept(value, widget):
        raise _refusal(saved, "holds a number that its widget would round")
    if widget.kind not in (Kind.INT, Kind.FLOAT, Kind.BOOLEAN, Kind.TEXT, Kind.LINES, Kind.COMBO):
        raise _refusal(saved, "is linked to a widget of an unknown kind")
    return value


def _is_kept(value: Any, widget: Widget) -> bool:
    """Whether a number stays as it is when the page sets it: it rounds to steps, and keeps to
    the bounds (useIntWidget.ts, useFloatWidget.ts, mergeIfValid)."""
    options = widget.definition.options
    low, high = options.get("min", 0), options.get("max", 2048)
    step = options.get("step") or (1 if widget.kind is Kind.INT else 0.5)
    if not all(map(_is_number, (value, low, high, step))) or step <= 0:
        return False
    try:
        if widget.kind is Kind.FLOAT:
            is_kept = _is_rounded(value, step, options.get("round"))
        else:
            is_kept = (value - (low % step if step != 1 else 0)) % step == 0
    except (OverflowError, ValueError):
        return False
    return bool(low <= value <= high and is_kept)


def _is_rounded(value: float, step: float, declared: Any) -> bool:
    """Whether rounding a float, to what is declared or else to the digits of its step, leaves
    it as it is."""
    precision = max(0, -floor(log10(step)))
    size = declared or (10**-precision if precision else 0)
    if declared is False or not size:
        return True
    if not _is_number(size) or size <= 0:
        return False
    is_multiple = abs(value / size - round(value / size)) < _TOLERANCE
    return is_multiple and float(f"{value:.{precision}f}") == value


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**64
    return isinstance(value, float) and isfinite(value)


def _refusal(saved: SavedNode, what: str) -> Unconvertible:
    return Unconvertible(f"The primitive “{shown(saved.called)}” {what}.", saved.id)
