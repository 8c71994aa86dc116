"""What a prompt uses: models, files of ComfyUI's folders, prefixes; each with its place."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from accounts.errors import BadRequest
from comfyproxy.filters.models import (
    Allowed,
    KnownModels,
    Model,
    everything,
    looks_like_model,
)
from comfyproxy.prompts.shape import Graph, link_source, unwrap
from comfyproxy.prompts.specs import PREFIX_NAME, UNKNOWN_NODE, InputSpec, Kind, NodeSpec

Specs = Mapping[str, NodeSpec]

# Mentions of models in one text: each is looked for among thousands of names.
MAX_MENTIONS: Final = 2000
_MENTION: Final = re.compile("embedding:|<\\s*lora:", re.IGNORECASE)
# A model that is hidden, and how the text names it.
_Hidden = tuple[Model, str] | None

_NO_SPEC: Final = InputSpec(Kind.TEXT)
_NOTHING: Final[Mapping[str, list[Model]]] = {}
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
    own_name = place.input_name.rpartition(".")[2]
    return InputSpec(Kind.PREFIX) if own_name == PREFIX_NAME else _NO_SPEC


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
    cannot be read. `said`: how it is named there."""

    place: Place
    model: Model | None
    said: str = field(default="", compare=False)


def hidden_models(
    graph: Graph, specs: Specs, known: KnownModels, allowed: Allowed
) -> Iterator[HiddenModel]:
    """Every place where a prompt names a model that the caller may not use.

    What stands in a list of models as the list has it means a model of that list's folders.
    Any other text may mean whatever it fits: all of that must be allowed.
    """
    if allowed is everything:
        return
    # The same words, such as a sampler's name, stand in many nodes.
    judged: dict[str, _Hidden] = {}
    for node_id, name, value, spec in _with_texts(graph, specs):
        chosen = _chosen(value, spec, known) if spec.folders else _NOTHING
        told: set[Model] = set()
        for text in _all_texts(value, graph):
            if text in chosen:
                model = _first(chosen[text], allowed)
                hidden = None if model is None else (model, text)
            elif text in judged:
                hidden = judged[text]
            else:
                hidden = judged[text] = _hidden_in(text, known, allowed)
            if hidden is None and spec.kind is Kind.MODEL and text not in chosen:
                model = _first(known.find_plain(text, spec.folders), allowed)
                hidden = None if model is None else (model, text)
            if hidden is not None and hidden[0] not in told:
                told.add(hidden[0])
                yield HiddenModel(Place(node_id, name), *hidden)
        # One that can be read is judged where its text stands.
        if spec.kind is Kind.MODEL and link_source(value, graph) and literal(value, graph) is None:
            yield HiddenModel(Place(node_id, name), None)


def _all_texts(value: Any, graph: Graph) -> Iterable[str]:
    """The texts of an input; of a list or an object also what ComfyUI makes of it where a text
    belongs: Python's way to write it (execution.py, `str(val)`), whose escapes end no name."""
    if isinstance(value, str):
        return (value,)
    own = list(_own_texts(value, graph))
    return [*own, str(unwrap(value))] if any(":" in text for text in own) else own


def _with_texts(graph: Graph, specs: Specs) -> Iterator[tuple[str, str, Any, InputSpec]]:
    """Node id, name, value and declaration of each input that may hold a text."""
    for node_id, node in graph.items():
        declared = specs.get(node["class_type"], UNKNOWN_NODE).inputs
        for name, value in node["inputs"].items():
            if isinstance(value, (str, list, dict)):
                yield node_id, name, value, declared.get(name, _NO_SPEC)


def _own_texts(value: Any, graph: Graph) -> Iterable[str]:
    """The texts in a list or an object; a node's id in a link is none."""
    is_link = isinstance(value, list) and link_source(value, graph) is not None
    return () if is_link else texts(value)


def _chosen(value: Any, spec: InputSpec, known: KnownModels) -> dict[str, list[Model]]:
    """What the names that were chosen from the input's list mean; one, or several of a list
    with more than one choice."""
    found = unwrap(value)
    names: list[Any] = found if isinstance(found, list) else [found]
    chosen: dict[str, list[Model]] = {}
    for name in names:
        if not isinstance(name, str):
            return {}
        models = [Model(folder, name) for folder in spec.folders if known.holds(folder, name)]
        if models:
            chosen[name] = sorted(models)
    return chosen


def _hidden_in(text: str, known: KnownModels, allowed: Allowed) -> _Hidden:
    # One spelling, several models (a base name in two folders): the node decides which one
    # it opens.
    model = _first(known.find_all(text), allowed)
    if model is not None:
        return model, text
    if ":" in text:
        if text.count(":") > MAX_MENTIONS and _MENTION.search(text):
            raise BadRequest(f"A text may name at most {MAX_MENTIONS} models.", field="prompt")
        for name, models in known.find_embeddings(text):
            model = _first(models, allowed)
            if model is not None:
                return model, name
    return None


def _first(models: Iterable[Model], allowed: Allowed) -> Model | None:
    """The first that the caller may not use."""
    for model in models:
        if not allowed(model.folder, model.name):
            return model
    return None


def names_unknown_model(graph: Graph, specs: Specs, known: KnownModels) -> bool:
    """Whether a text looks like a model that is not known, or mentions one; or stands in a list
    of models of a folder that does not have it: another folder's may bear the same name."""
    for _, _, value, spec in _with_texts(graph, specs):
        for text in _all_texts(value, graph):
            if "." in text and looks_like_model(text) and not _is_known(text, spec, known):
                return True
            if ":" in text and known.mentions_unknown(text):
                return True
    return False


def _is_known(text: str, spec: InputSpec, known: KnownModels) -> bool:
    if spec.folders:
        return any(known.holds(folder, text) for folder in spec.folders)
    return bool(known.find(text))
