"""A saved workflow as typed objects: nodes, links, subgraph definitions. Nothing is inferred."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# What links within a subgraph have for the node that they come from, where they come from
# outside (litegraph, constants.ts).
SUBGRAPH_INPUT_ID: Final = "-10"


@dataclass(frozen=True, slots=True)
class Link:
    """From an output to an input, within one graph."""

    id: int
    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True, slots=True)
class InputSlot:
    """An input as saved. `widget`: the name of the widget that it belongs to."""

    name: str
    type: Any
    link: int | None
    widget: str | None


@dataclass(frozen=True, slots=True)
class OutputSlot:
    """An output as saved, with the ids of its links."""

    type: Any
    links: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SavedNode:
    """A node as saved. `values`: its `widgets_values`, in whatever form they are."""

    id: str
    type: str
    title: str
    mode: int
    inputs: Mapping[str, InputSlot]
    outputs: tuple[OutputSlot, ...]
    values: Any
    named_values: Mapping[str, Any]
    properties: Mapping[str, Any]

    @property
    def called(self) -> str:
        """How a sentence names it."""
        return self.title or self.type


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes and links of one level."""

    nodes: Mapping[str, SavedNode]
    links: Mapping[int, Link]


@dataclass(frozen=True, slots=True)
class BoundarySlot:
    """An input or output of a subgraph, with the ids of those of its links that there are."""

    name: str
    type: Any
    links: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A subgraph: what its instances hold."""

    id: str
    name: str
    graph: Graph
    inputs: tuple[BoundarySlot, ...]
    outputs: tuple[BoundarySlot, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole workflow."""

    root: Graph
    definitions: Mapping[str, Definition] = field(default_factory=dict)
