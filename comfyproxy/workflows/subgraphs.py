"""Subgraphs: their instances one by one, and what becomes of those that are switched off.

After ComfyUI_frontend 1.27.10, SubgraphNode.ts (getInnerNodes), and 1.58.1, executionUtil.ts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from comfyproxy.workflows.document import Definition, Document, Graph, SavedNode
from comfyproxy.workflows.errors import Unconvertible
from comfyproxy.workflows.nodes import MUTED, Node, Nodes, sentence_name
from comfyproxy.workflows.reader import MAX_NODES

MAX_NESTING: Final = 20


@dataclass(frozen=True, slots=True)
class Scope:
    """A level of the workflow: the top, or what is within one instance of a subgraph.

    `path`: what stands before the ids of its nodes in a prompt (`12:` within node 12).
    """

    graph: Graph
    path: str = ""
    definition: Definition | None = None
    instance: SavedNode | None = None
    parent: "Scope | None" = None

    def id_of(self, saved: SavedNode) -> str:
        return f"{self.path}{saved.id}"


class Subgraphs:
    """The subgraphs of a workflow."""

    def __init__(self, document: Document, nodes: Nodes) -> None:
        self._document = document
        self._nodes = nodes
        self._scopes: dict[str, Scope] = {}
        # By definition: a node within that runs by itself; whether all are muted.
        self._running: dict[str, Node | None] = {}
        self._muted: dict[str, bool] = {}
        self.root = Scope(document.root)

    def scopes(self) -> Iterator[Scope]:
        """The top, then each instance that is neither muted nor bypassed, with those in it.

        Raises:
            Unconvertible: too many, too deep, or one within itself
        """
        waiting, count = [self.root], 0
        while waiting:
            scope = waiting.pop()
            count += len(scope.graph.nodes)
            if count > MAX_NODES:
                raise Unconvertible(f"The workflow has more than {MAX_NODES} nodes.")
            yield scope
            nodes = [self.node(scope, saved) for saved in scope.graph.nodes.values()]
            inner = [
                self.inside(scope, node)
                for node in nodes
                if node.definition is not None and node.is_active
            ]
            waiting.extend(reversed(inner))

    def node(self, scope: Scope, saved: SavedNode) -> Node:
        """A node of a level.

        Raises:
            Unconvertible: it cannot be told what the page makes of it
        """
        try:
            return self._nodes.find(scope.definition, saved)
        except Unconvertible as error:
            raise (error.at(scope.id_of(saved)) if error.node_id == saved.id else error) from None

    def inside(self, scope: Scope, node: Node) -> Scope:
        """What is within an instance."""
        assert node.definition is not None
        path = f"{scope.id_of(node.saved)}:"
        found = self._scopes.get(path)
        if found is None:
            _require_new(scope, node, path[:-1])
            definition = node.definition
            found = Scope(definition.graph, path, definition, node.saved, scope)
            self._scopes[path] = found
        return found

    def require_settled(self, scope: Scope, node: Node) -> None:
        """Raise Unconvertible where versions of the page differ about a muted or bypassed
        instance: 1.27.10 still runs the nodes in it that can run by themselves, later ones
        do not."""
        assert node.definition is not None
        definition = node.definition
        if definition.id not in self._running:
            self._running[definition.id] = self._first_running(definition)
        inner = self._running[definition.id]
        if inner is not None:
            raise Unconvertible(
                f"The subgraph {sentence_name(node)} is switched off, but"
                f" {sentence_name(inner)} in it is not.",
                scope.id_of(node.saved),
            )

    def _first_running(self, definition: Definition) -> Node | None:
        for found, saved in self.within(definition):
            inner = self._nodes.find(found, saved)
            if inner.is_active and inner.shape is not None and inner.shape.is_output:
                return inner
        return None

    def is_all_muted(self, node: Node) -> bool:
        """Whether every node in an instance is muted, as it is itself."""
        assert node.definition is not None
        definition = node.definition
        if definition.id not in self._muted:
            inner = self.within(definition)
            self._muted[definition.id] = all(saved.mode == MUTED for _, saved in inner)
        return self._muted[definition.id]

    def within(self, definition: Definition) -> Iterator[tuple[Definition, SavedNode]]:
        """Each node in a subgraph and in those within it, each definition once."""
        waiting, seen = [definition], {definition.id}
        while waiting:
            found = waiting.pop()
            for saved in found.graph.nodes.values():
                yield found, saved
                inner = self._document.definitions.get(saved.type)
                if inner is not None and inner.id not in seen:
                    seen.add(inner.id)
                    waiting.append(inner)


def _require_new(scope: Scope, node: Node, node_id: str) -> None:
    """Raise Unconvertible for an instance within itself, or too deep."""
    outer: Scope | None = scope
    depth = 0
    while outer is not None:
        depth += 1
        if outer.definition is node.definition:
            raise Unconvertible(f"The subgraph {sentence_name(node)} holds itself.", node_id)
        outer = outer.parent
    if depth > MAX_NESTING:
        raise Unconvertible(f"Subgraphs are nested more than {MAX_NESTING} deep.", node_id)
