"""The values that an instance of a subgraph holds for widgets within it.

After ComfyUI_frontend 1.27.10, SubgraphNode.ts (_internalConfigureAfterSlots, configure), and
1.58.1, SubgraphNode.ts and proxyWidgetMigration.ts, which agree on what is accepted here: one
value for each input that leads to a widget, or none at all. Without values those within count;
1.27.10 mistakes one widget for another then if the file leaves out unlinked inputs, and loses
those of subgraphs within subgraphs if the outer is defined first: here they are told by name,
as by 1.58.1.
"""

from dataclasses import dataclass
from typing import Any

from comfyproxy.workflows.document import SUBGRAPH_INPUT_ID, Definition, SavedNode
from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.nodes import Node, Nodes
from comfyproxy.workflows.shapes import Kind, Widget
from comfyproxy.workflows.subgraphs import MAX_NESTING, Scope
from comfyproxy.workflows.values import Missing, sendable


@dataclass(frozen=True, slots=True)
class _Promoted:
    """A widget within a subgraph whose value its instances hold; its value where they hold
    none, or the instance within and its slot that hold it then."""

    widget: Widget
    default: Any = None
    inner: tuple[Definition, SavedNode, int] | None = None


class Promoted:
    """The promoted widgets of a workflow's subgraphs."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._found: dict[tuple[str, int], _Promoted | None] = {}
        # By definition: each slot with a widget, and the place of its value.
        self._places: dict[str, dict[int, int]] = {}

    def value(self, scope: Scope, slot: int) -> Any:
        """What the instance that a scope is within holds for an input of its subgraph, as it
        goes into the prompt; None where no widget stands there.

        Raises:
            Unconvertible: its values cannot be told apart
        """
        definition, instance = scope.definition, scope.instance
        assert definition is not None
        assert instance is not None
        promoted = self._at(definition, slot, 0)
        if promoted is None:
            return None
        node_id, called = scope.path[:-1], instance.title or definition.name
        try:
            raw = self._held(definition, instance, slot, 0)
        except Unconvertible as error:
            raise (error.at(node_id) if error.node_id == instance.id else error) from None
        value = sendable(promoted.widget, raw, called, node_id)
        if value is Missing:
            raise Unconvertible(f"“{shown(called)}” lacks a value.", node_id)
        if promoted.widget.kind is Kind.LINES and value != raw:
            # 1.58.1 would send them as they are.
            raise Unconvertible(
                f"A text of “{shown(called)}” has line breaks of another system.", node_id
            )
        return value

    def _held(self, definition: Definition, instance: SavedNode, slot: int, depth: int) -> Any:
        """An instance's own value for a slot, or else the one within."""
        promoted = self._at(definition, slot, depth)
        assert promoted is not None
        values, called = instance.values, instance.title or definition.name
        if values is None or values == []:
            if promoted.inner is None:
                return promoted.default
            return self._held(*promoted.inner, depth + 1)
        places = self._places_in(definition, depth)
        if not isinstance(values, list) or len(values) != len(places):
            raise Unconvertible(
                f"“{shown(called)}” holds values that belong to no known widgets.", instance.id
            )
        if instance.properties.get("proxyWidgets"):
            raise Unconvertible(f"“{shown(called)}” holds values of two kinds.", instance.id)
        value = values[places[slot]]
        if instance.named_values.get(definition.inputs[slot].name, value) != value:
            raise Unconvertible(f"“{shown(called)}” holds two values for a widget.", instance.id)
        return value

    def _places_in(self, definition: Definition, depth: int) -> dict[int, int]:
        found = self._places.get(definition.id)
        if found is None:
            slots = range(len(definition.inputs))
            promoted = [slot for slot in slots if self._at(definition, slot, depth) is not None]
            found = {slot: place for place, slot in enumerate(promoted)}
            self._places[definition.id] = found
        return found

    def _at(self, definition: Definition, slot: int, depth: int) -> _Promoted | None:
        key = (definition.id, slot)
        if key not in self._found:
            if depth > MAX_NESTING:
                raise Unconvertible(f"Subgraphs are nested more than {MAX_NESTING} deep.")
            self._found[key] = self._first(definition, slot, depth + 1)
        return self._found[key]

    def _first(self, definition: Definition, slot: int, depth: int) -> _Promoted | None:
        """The first widget that an input of a subgraph leads to."""
        for link_id in definition.inputs[slot].links:
            link = definition.graph.links[link_id]
            saved = definition.graph.nodes.get(link.target)
            if saved is None or link.origin != SUBGRAPH_INPUT_ID:
                continue
            node = self._nodes.find(definition, saved)
            name = node.linked.get(link_id)
            found = None if name is None else self._behind(node, name, depth)
            if found is not None:
                return found
        return None

    def _behind(self, node: Node, name: str, depth: int) -> _Promoted | None:
        """The widget of an input, if it has one."""
        if node.doubt is not None:
            raise node.doubt
        if node.definition is not None:
            names = [boundary.name for boundary in node.definition.inputs]
            slot = names.index(name)
            inner = self._at(node.definition, slot, depth)
            if inner is None:
                return None
            return _Promoted(inner.widget, inner=(node.definition, node.saved, slot))
        if node.shape is None:
            slot_saved = node.saved.inputs.get(name)
            if slot_saved is not None and slot_saved.widget:
                kind = shown(node.saved.type)
                raise Unconvertible(f"ComfyUI here has no node class {kind}.", node.saved.id)
            return None
        for widget in node.shape.widgets:
            if widget.has_input and widget.name == name:
                return _Promoted(widget, default=node.values[widget.name])
        return None
