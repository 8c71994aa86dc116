"""What a prompt uses: models, files of ComfyUI's folders, prefixes; each with its place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfyproxy.filters.models import Allowed, KnownModels, Model, everything
from comfyproxy.prompts.shape import Graph, link_source, unwrap
from comfyproxy.prompts.specs import UNKNOWN_NODE, InputSpec, Kind, NodeSpec

Specs = Mapping[str, NodeSpec]

_NO_SPEC: Final = InputSpec(Kind.TEXT)
# How many links are followed to find the text at their end (reroutes, primitives).
_MAX_HOPS: Final = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a prompt a text stands: node id, input name."""

    node_id: str
    input_name: str


def spec_of(graph: Graph, place: Place, specs: Specs) -> InputSpec:
    """What the node's class declares about that input."""
    node = specs.get(graph[place.node_id]["class_type"], UNKNOWN_NODE)
    known = node.inputs.get(place.input_name)
    if known is not None:
        return known
    # An undeclared input of that name is treated as what its name says everywhere else.
    return InputSpec(Kind.PREFIX) if place.input_name == "filename_prefix" else _NO_SPEC


def texts(value: Any) -> Iterator[str]:
    """Every text anywhere inside an input value, keys of objects included."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())


def inputs(graph: Graph) -> Iterator[tuple[Place, Any]]:
    """Every input of every node."""
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            yield Place(node_id, name), value


def literal(value: Any, graph: Graph) -> str | None:
    """The text a link stands for, if it can be read from the graph: the source is a node
    whose only text input is that text (a primitive), or one that passes a link on."""
    for _ in range(_MAX_HOPS):
        source = link_source(value, graph)
        if source is None:
            found = unwrap(value)
            return found if isinstance(found, str) else None
        # Several inputs could be combined into something else: then nothing can be said.
        members = list(graph[source]["inputs"].values())
        if len(members) != 1 or not _passes_on(graph[source]["class_type"]):
            return None
        value = members[0]
    return None


def _passes_on(class_type: str) -> bool:
    """Whether the class hands its only input on unchanged. ComfyUI core: PrimitiveString,
    PrimitiveStringMultiline; the frontend's PrimitiveNode and Reroute never reach the API."""
    return class_type in ("PrimitiveString", "PrimitiveStringMultiline")


@dataclass(frozen=True, slots=True)
class HiddenModel:
    """A place that names a model the caller may not use. `model` None: a link whose text
    cannot be read."""

    place: Place
    model: Model | None


def hidden_models(
    graph: Graph, specs: Specs, known: KnownModels, allowed: Allowed
) -> Iterator[HiddenModel]:
    """Every place where a prompt names a model that the caller may not use."""
    if allowed is everything:
        return
    for place, value in inputs(graph):
        for text in texts(value):
            model = _hidden_in(text, known, allowed)
            if model is not None:
                yield HiddenModel(place, model)
        is_model = spec_of(graph, place, specs).kind is Kind.MODEL
        if is_model and link_source(value, graph) and literal(value, graph) is None:
            yield HiddenModel(place, None)


def _hidden_in(text: str, known: KnownModels, allowed: Allowed) -> Model | None:
    found = known.find(text)
    # One spelling, several models (a base name in two folders): each must be allowed, as
    # the node decides which one it opens.
    for model in found:
        if not allowed(model.folder, model.name):
            return model
    for _, models in known.find_embeddings(text):
        for model in models:
            if not allowed(model.folder, model.name):
                return model
    return None
