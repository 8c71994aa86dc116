"""Follows links to what they come from: past reroutes and bypassed nodes, in and out of subgraphs.

After ComfyUI_frontend 1.27.10, ExecutableNodeDTO.ts (resolveInput, resolveOutput,
#getBypassSlotIndex) and LiteGraphGlobal.ts (isValidConnection), and 1.58.1 where that differs.
"""

from dataclasses import dataclass
from typing import Any, Final

from comfyproxy.workflows.document import SUBGRAPH_INPUT_ID, Link, SavedNode
from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.nodes import (
    BYPASSED,
    MUTED,
    PRIMITIVE,
    REROUTE,
    Node,
    Nodes,
    sentence_name,
)
from comfyproxy.workflows.promoted import Promoted
from comfyproxy.workflows.subgraphs import Scope, Subgraphs

# Links followed for one workflow, all inputs together.
MAX_STEPS: Final = 200_000
_ANY: Final = ("*", "")


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a node that runs."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Held:
    """A value that the instance of a subgraph holds."""

    value: Any


class Nothing:
    """A link that ends nowhere: what the input's own widget holds counts."""


class Removed:
    """A link to a node that is muted: the input is left out, its own widget with it."""


Source = Output | Held | type[Nothing] | type[Removed]


@dataclass(slots=True)
class _At:
    """Where following a link has got to: an input of a node, or an output."""

    scope: Scope
    node: Node
    is_input: bool
    slot: int
    # The type of the input that asked, handed on past reroutes.
    wanted: Any = None
    # Whether a subgraph's own, linked input was passed on the way; whether reroutes were, last.
    went_out: bool = False
    rerouted: bool = False


class Links:
    """The links of a workflow."""

    def __init__(self, nodes: Nodes, subgraphs: Subgraphs) -> None:
        self._subgraphs = subgraphs
        self._promoted = Promoted(nodes)
        self._steps = 0

    def source(self, scope: Scope, node: Node, slot: int) -> Source:
        """What the input of a node is linked to.

        Raises:
            Unconvertible: links in a circle, or to what is not there
        """
        at = _At(scope, node, True, slot)
        seen: set[tuple[str, str, bool, int]] = set()
        while True:
            self._steps += 1
            within = at.scope.definition.id if at.scope.definition else ""
            key = (within, at.node.saved.id, at.is_input, at.slot)
            if key in seen or self._steps > MAX_STEPS:
                raise _refusal(at, "is linked in a circle, or by too many links")
            seen.add(key)
            found = self._past_input(at) if at.is_input else self._past_output(at)
            if not isinstance(found, _At):
                if found is Nothing and at.went_out and node.inputs[slot].has_widget:
                    # 1.27.10 would send what the subgraph's instance holds, later versions
                    # what the node within holds.
                    raise _refusal(at, "is linked to nothing by way of a subgraph's input")
                return found
            at = found

    def _past_input(self, at: _At) -> "_At | Source":
        if not 0 <= at.slot < len(at.node.inputs):
            raise _refusal(at, "lacks an input that is needed")
        entry = at.node.inputs[at.slot]
        if entry.link is None:
            return Nothing
        link = at.scope.graph.links.get(entry.link)
        if link is None or link.target != at.node.saved.id:
            raise _refusal(at, f"has an input with a broken link: {shown(entry.name)}")
        if at.scope.definition is not None and link.origin == SUBGRAPH_INPUT_ID:
            return self._out(at, link)
        origin = self._node(at, link.origin)
        wanted = entry.type if at.wanted is None else at.wanted
        rerouted = at.node.saved.type == REROUTE
        return _At(at.scope, origin, False, link.origin_slot, wanted, at.went_out, rerouted)

    def _out(self, at: _At, link: Link) -> "_At | Source":
        """From within a subgraph to its instance."""
        outer, saved = at.scope.parent, at.scope.instance
        assert outer is not None
        assert saved is not None
        instance = self._subgraphs.node(outer, saved)
        if not 0 <= link.origin_slot < len(instance.inputs):
            raise _refusal(at, "is linked to an input that its subgraph does not have")
        if instance.inputs[link.origin_slot].link is None:
            value = self._promoted.value(at.scope, link.origin_slot)
            return Nothing if value is None else Held(value)
        return _At(outer, instance, True, link.origin_slot, None, True)

    def _past_output(self, at: _At) -> "_At | Source":
        node, mode = at.node, at.node.saved.mode
        if node.doubt is not None:
            raise node.doubt.at(at.scope.id_of(node.saved))
        is_open = node.saved.type == REROUTE and mode != BYPASSED
        if at.slot < 0 or (at.slot >= len(node.outputs) and not is_open):
            raise _refusal(at, "lacks an output that is needed")
        if at.rerouted and node.saved.type != REROUTE and not _fits(node, at):
            raise _refusal(at, "is linked by way of a reroute to an input of another type")
        if mode == BYPASSED:
            self._steps += len(node.inputs)
            index = _bypass(at)
            return Nothing if index is None else _At(at.scope, node, True, index, None, at.went_out)
        if mode == MUTED:
            return self._muted(at)
        if node.definition is not None:
            return self._into(at)
        if node.saved.type == REROUTE:
            if at.slot >= len(node.inputs):
                return Nothing
            return _At(at.scope, node, True, at.slot, at.wanted, at.went_out)
        if node.is_virtual:
            return Nothing
        return Output(at.scope.id_of(node.saved), at.slot)

    def _muted(self, at: _At) -> Source:
        node = at.node
        is_certain = node.shape is not None or (
            node.definition is not None and self._subgraphs.is_all_muted(node)
        )
        if not is_certain and node.saved.type != PRIMITIVE:
            # Reroutes pass links on in 1.27.10 all the same; a class that ComfyUI does not
            # have may be another such node of the page.
            raise _refusal(at, "is muted, yet something is linked to it")
        return Nothing if node.saved.type == PRIMITIVE else Removed

    def _into(self, at: _At) -> "_At | Source":
        """From the instance of a subgraph to what is within."""
        definition = at.node.definition
        assert definition is not None
        inner = self._subgraphs.inside(at.scope, at.node)
        for link_id in definition.outputs[at.slot].links:
            link = definition.graph.links.get(link_id)
            if link is not None:
                node = self._node(_At(inner, at.node, False, at.slot), link.origin)
                return _At(inner, node, False, link.origin_slot, at.wanted, at.went_out)
        return Nothing

    def _node(self, at: _At, node_id: str) -> Node:
        saved: SavedNode | None = at.scope.graph.nodes.get(node_id)
        if saved is None:
            raise _refusal(at, "is linked to a node that is not there")
        return self._subgraphs.node(at.scope, saved)


def _refusal(at: _At, what: str) -> Unconvertible:
    return Unconvertible(f"{sentence_name(at.node)} {what}.", at.scope.id_of(at.node.saved))


def _fits(node: Node, at: _At) -> bool:
    """Whether the page keeps a link by way of reroutes, by the types of its ends
    (rerouteNode.ts)."""
    given, wanted = node.outputs[at.slot], at.wanted
    if not isinstance(given, str) or not isinstance(wanted, str):
        return True
    return _connects(given, wanted)


def _bypass(at: _At) -> int | None:
    """Which input of a bypassed node stands in for an output of it."""
    types = [entry.type for entry in at.node.inputs]
    wanted, given = at.wanted, at.node.outputs[at.slot]
    grows = at.node.shape is not None and at.node.shape.grows
    if grows or not all(isinstance(kind, str) for kind in (*types, wanted, given)):
        raise _refusal(at, "is bypassed, and only the page knows the types of its inputs")
    if wanted in _ANY:
        return at.slot if len(types) > at.slot else 0
    fitting = [_connects(kind, given) and _connects(kind, wanted) for kind in types]
    if at.slot < len(types) and fitting[at.slot]:
        return at.slot
    if wanted in types:
        return types.index(wanted)
    return fitting.index(True) if True in fitting else None


def _connects(one: str, other: str) -> bool:
    """Whether an output of one type may be linked to an input of the other; several types
    are joined by commas."""
    if one in _ANY or other in _ANY or one == other:
        return True
    return any(
        a in _ANY or b in _ANY or a == b
        for a in one.lower().split(",")
        for b in other.lower().split(",")
    )
