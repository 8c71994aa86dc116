"""Each node as the page has it once the file is loaded: definition and saved node put together.

After ComfyUI_frontend 1.27.10: litegraphService.ts (configure), widgetInputs.ts
(onGraphConfigured), widgets.ts; SubgraphNode.ts for instances of subgraphs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from comfyproxy.workflows.branches import expanded
from comfyproxy.workflows.classes import read_shape
from comfyproxy.workflows.document import Definition, Document, SavedNode
from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.shapes import Shape
from comfyproxy.workflows.values import widget_values

# Inputs of all nodes together: each instance of a subgraph has those of its definition.
MAX_INPUTS: Final = 200_000
MUTED: Final = 2
BYPASSED: Final = 4
PRIMITIVE: Final = "PrimitiveNode"
REROUTE: Final = "Reroute"
# Nodes that only the page knows (rerouteNode.ts, widgetInputs.ts, noteNode.ts).
VIRTUAL: Final = frozenset({PRIMITIVE, REROUTE, "Note", "MarkdownNote"})
# Custom nodes whose script draws links when a prompt is queued (cg-use-everywhere).
_REWRITERS: Final = (
    "Anything Everywhere",
    "Anything Everywhere?",
    "Anything Everywhere3",
    "Prompts Everywhere",
    "Seed Everywhere",
)
_GROUP_PREFIXES: Final = ("workflow/", "workflow>")


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a node on the page. `has_widget`: a value stands in for the link."""

    name: str
    type: Any
    link: int | None
    has_widget: bool = False


@dataclass(frozen=True)
class Node:
    """A node on the page. `values`: of its widgets; `shape`: None for virtual nodes,
    subgraphs, and classes that ComfyUI does not have; `definition`: of the subgraph that it is
    an instance of; `doubt`: why the rest is not certain, in a node that does not run."""

    saved: SavedNode
    inputs: tuple[Input, ...]
    outputs: tuple[Any, ...]
    values: Mapping[str, Any]
    shape: Shape | None = None
    definition: Definition | None = None
    doubt: Unconvertible | None = None

    @cached_property
    def linked(self) -> dict[int, str]:
        """The name of the input that each link leads to."""
        return {entry.link: entry.name for entry in self.inputs if entry.link is not None}

    @property
    def is_active(self) -> bool:
        return self.saved.mode not in (MUTED, BYPASSED)

    @property
    def is_virtual(self) -> bool:
        return self.saved.type in VIRTUAL or self.definition is not None


class Nodes:
    """All nodes of a workflow; each is put together when somebody first asks for it."""

    def __init__(self, document: Document, info: Mapping[str, Any]) -> None:
        self._document = document
        self._info = info
        self._shapes: dict[str, Shape] = {}
        self._found: dict[tuple[str, str], Node] = {}
        self._left = MAX_INPUTS
        for definition_id in document.definitions:
            if definition_id in VIRTUAL or definition_id in info:
                name = shown(definition_id)
                raise Unconvertible(f"The subgraph {name} is called like a node class.")

    def find(self, within: Definition | None, saved: SavedNode) -> Node:
        """The node that a file saved at the top (None) or within a subgraph.

        Raises:
            Unconvertible: it cannot be told what the page makes of it
        """
        key = ("" if within is None else within.id, saved.id)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._made(saved)
            self._left -= len(found.inputs)
            if self._left < 0:
                raise Unconvertible(f"The workflow has more than {MAX_INPUTS} inputs.")
        return found

    def _made(self, saved: SavedNode) -> Node:
        definition = self._document.definitions.get(saved.type)
        if definition is not None:
            return _instance(saved, definition)
        runs = saved.mode not in (MUTED, BYPASSED)
        if saved.type not in VIRTUAL and saved.type in self._info:
            try:
                return self._of_class(saved)
            except Unconvertible as error:
                doubt = error.at(saved.id)
                if runs:
                    raise doubt from None
                return replace(_as_saved(saved), doubt=doubt)
        if saved.type not in VIRTUAL and runs:
            raise Unconvertible(_unknown(saved), saved.id)
        return _as_saved(saved)

    def _of_class(self, saved: SavedNode) -> Node:
        if saved.type in _REWRITERS:
            raise Unconvertible(f"Links of “{saved.type}” are drawn only by the page.", saved.id)
        shape = self._shapes.get(saved.type)
        if shape is None:
            shape = self._shapes[saved.type] = read_shape(saved.type, self._info[saved.type])
        shape = expanded(shape, saved)
        values = widget_values(saved, shape, saved.id)
        outputs = (*shape.outputs, *(slot.type for slot in saved.outputs[len(shape.outputs) :]))
        return Node(saved, tuple(_inputs(saved, shape)), outputs, values, shape)


def _as_saved(saved: SavedNode) -> Node:
    """The page keeps the slots of virtual nodes and unknown classes as the file has them."""
    inputs = tuple(Input(slot.name, slot.type, slot.link) for slot in saved.inputs.values())
    return Node(saved, inputs, tuple(slot.type for slot in saved.outputs), {})


def _inputs(saved: SavedNode, shape: Shape) -> Iterator[Input]:
    """What the definition has, then what only the file has: a script may have added it."""
    widgets = {widget.name for widget in shape.widgets if widget.has_input}
    declared = set()
    for name, kind in shape.inputs:
        slot = saved.inputs.get(name)
        declared.add(name)
        yield Input(name, kind, slot.link if slot else None, name in widgets)
    for slot in saved.inputs.values():
        if slot.name in declared:
            continue
        if slot.widget is None:
            yield Input(slot.name, slot.type, slot.link)
        elif slot.link is not None:
            # The page drops such an input at the top of a workflow, and keeps it elsewhere.
            raise Unconvertible(
                f"“{shown(saved.called)}” has a link to a widget that it no longer has:"
                f" {shown(slot.name)}.",
                saved.id,
            )


def _instance(saved: SavedNode, definition: Definition) -> Node:
    inputs = []
    for boundary in definition.inputs:
        slot = saved.inputs.get(boundary.name)
        inputs.append(Input(boundary.name, boundary.type, slot.link if slot else None))
    outputs = tuple(boundary.type for boundary in definition.outputs)
    return Node(saved, tuple(inputs), outputs, {}, definition=definition)


def _unknown(saved: SavedNode) -> str:
    if saved.type.startswith(_GROUP_PREFIXES):
        return f"“{shown(saved.called)}” is a group node of the old kind; make it a subgraph."
    named = f" of “{shown(saved.title)}”" if saved.title else ""
    return f"ComfyUI here has no node class {shown(saved.type)}{named}."


def sentence_name(node: Node) -> str:
    """How a sentence names it."""
    name = node.saved.title or (node.definition.name if node.definition else node.saved.type)
    return f"“{shown(name)}”"
