"""Puts a prompt together, node by node.

After ComfyUI_frontend 1.27.10, executionUtil.ts (graphToPrompt) and app.ts (loadGraphData).
"""

from collections.abc import Mapping
from typing import Any, Final

from comfyproxy.workflows.document import Document
from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.links import Held, Links, Nothing, Output, Removed
from comfyproxy.workflows.nodes import Node, Nodes, sentence_name
from comfyproxy.workflows.primitives import REPLACES_TEXT, primitive_values, require_unused
from comfyproxy.workflows.replacements import Replacements
from comfyproxy.workflows.shapes import Kind, Widget
from comfyproxy.workflows.subgraphs import Scope, Subgraphs
from comfyproxy.workflows.texts import MAY_TAKE_VALUES, TAKES_VALUES, Chooser, with_values
from comfyproxy.workflows.values import Missing, sendable

# Texts of a prompt, all nodes together: an instance repeats those of its subgraph.
MAX_CHARS: Final = 20_000_000
_OLD_SAMPLER: Final = "sample_"


class Builder:
    """One workflow on its way to a prompt."""

    def __init__(self, document: Document, info: Mapping[str, Any]) -> None:
        self._document = document
        self._nodes = Nodes(document, info)
        self._subgraphs = Subgraphs(document, self._nodes)
        self._links = Links(self._nodes, self._subgraphs)
        self._chooser = Chooser()
        self._replacements = Replacements(
            document,
            self._nodes,
            self._subgraphs,
            lambda node, name: self._value(self._subgraphs.root, node, name),
        )
        self._chars = 0
        # What primitives put into the widgets of nodes at the top: (node id, widget name).
        self._set: dict[tuple[str, str], Any] = {}

    def prompt(self) -> dict[str, Any]:
        """The prompt.

        Raises:
            Unconvertible
        """
        self._run_primitives()
        found: dict[str, Any] = {}
        for scope in self._subgraphs.scopes():
            if scope.definition is not None:
                require_unused(scope.graph, scope.path)
            for saved in scope.graph.nodes.values():
                node = self._subgraphs.node(scope, saved)
                if node.definition is not None and not node.is_active:
                    self._subgraphs.require_settled(scope, node)
                if node.is_active and not node.is_virtual:
                    found[scope.id_of(saved)] = self._node(scope, node)
        for node in found.values():
            inputs = node["inputs"]
            for name, value in list(inputs.items()):
                if isinstance(value, list) and value[0] not in found:
                    del inputs[name]
        return found

    def _run_primitives(self) -> None:
        for saved, node, widget, value in primitive_values(self._document.root, self._nodes):
            if value and saved.properties.get(REPLACES_TEXT):
                if not isinstance(value, str):
                    raise Unconvertible(
                        f"The primitive “{shown(saved.called)}” holds no text to replace.", saved.id
                    )
                value = with_values(value, self._replacements.lookup, saved.called, saved.id)
            self._set[node.saved.id, widget.name] = value

    def _node(self, scope: Scope, node: Node) -> dict[str, Any]:
        assert node.shape is not None
        node_id = scope.id_of(node.saved)
        links = {
            entry.name: self._links.source(scope, node, slot)
            for slot, entry in enumerate(node.inputs)
        }
        inputs: dict[str, Any] = {}
        for widget in node.shape.widgets:
            source = links.get(widget.name, Nothing) if widget.has_input else Nothing
            if widget.sent and source is Nothing:
                value = self._widget(scope, node, widget)
                if value is not Missing:
                    inputs[widget.name] = value
        for entry in node.inputs:
            source = links[entry.name]
            if isinstance(source, Output):
                inputs[entry.name] = [source.node_id, source.slot]
            elif isinstance(source, Held):
                inputs[entry.name] = source.value
            elif source is Removed and entry.has_widget:
                raise Unconvertible(
                    f"{shown(entry.name)} of {sentence_name(node)} is linked to a muted node.",
                    node_id,
                )
        title = node.saved.title or node.shape.title
        texts = [title, *inputs, *(value for value in inputs.values() if isinstance(value, str))]
        self._chars += sum(map(len, texts))
        if self._chars > MAX_CHARS:
            raise Unconvertible("The prompt would be too large.", node_id)
        return {"inputs": inputs, "class_type": node.saved.type, "_meta": {"title": title}}

    def _value(self, scope: Scope, node: Node, name: str) -> Any:
        found = node.values[name]
        return (
            found if scope.definition is not None else self._set.get((node.saved.id, name), found)
        )

    def _widget(self, scope: Scope, node: Node, widget: Widget) -> Any:
        """What a widget puts into the prompt itself."""
        called, node_id = node.saved.called, scope.id_of(node.saved)
        value = sendable(widget, self._value(scope, node, widget.name), called, node_id)
        if not isinstance(value, str):
            return value
        if node.saved.type == "Preview3D" and widget.name == "model_file":
            _require_last_file(node, value, node_id)
        if widget.name == "sampler_name" and node.saved.type in ("KSampler", "KSamplerAdvanced"):
            return _sampler(node, value, scope)
        if widget.kind in (Kind.TEXT, Kind.LINES) and (
            widget.definition.options.get("dynamicPrompts") is True
        ):
            return self._chosen(scope, node, widget, value)
        if widget.name == "filename_prefix" and node.saved.type in MAY_TAKE_VALUES:
            replaced = with_values(value, self._replacements.lookup, called, node_id)
            if replaced != value and node.saved.type not in TAKES_VALUES:
                raise Unconvertible(
                    f"Versions of the page differ about the prefix of {sentence_name(node)}.",
                    node_id,
                )
            return replaced
        return value

    def _chosen(self, scope: Scope, node: Node, widget: Widget, value: str) -> str:
        node_id = scope.id_of(node.saved)
        chosen = self._chooser.chosen(value, node.saved.called, node_id)
        if chosen != value and _may_be_proxied(scope, widget.name):
            # Later pages send such a text as it is, 1.27.10 does not.
            raise Unconvertible(
                f"Versions of the page differ about a text of {sentence_name(node)}.", node_id
            )
        return chosen


def _may_be_proxied(scope: Scope, name: str) -> bool:
    """Whether an instance that a node is within shows a widget of that name as its own."""
    at: Scope | None = scope
    while at is not None:
        proxied = at.instance.properties.get("proxyWidgets") if at.instance else None
        for entry in proxied if isinstance(proxied, list) else ():
            shown_name = entry[1] if isinstance(entry, list) and len(entry) > 1 else None
            if isinstance(shown_name, str) and shown_name.endswith(name):
                return True
        at = at.parent
    return False


def _sampler(node: Node, value: str, scope: Scope) -> str:
    """The name of a sampler; the page shortens those of 2023 at the top only."""
    if value.startswith(_OLD_SAMPLER) and scope.definition is not None:
        raise Unconvertible(
            f"The sampler of {sentence_name(node)} has an old name.", scope.id_of(node.saved)
        )
    return value.removeprefix(_OLD_SAMPLER)


def _require_last_file(node: Node, value: str, node_id: str) -> None:
    last = node.saved.properties.get("Last Time Model File")
    if last and last != value:
        raise Unconvertible(f"{sentence_name(node)} shows another file than it names.", node_id)
