"""How a prompt is rewritten for its owner: files and prefixes move into their namespace.

Two steps, because whether a file exists is for ComfyUI to say: `file_uses` lists the files
that a prompt names, the caller of this module resolves each, `rewritten` puts the answers in.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from comfyproxy import cachekey
from comfyproxy.files import (
    FileRef,
    OutsideError,
    is_own,
    mentions_foreign,
    namespace_of,
    own_prefix,
    parse_name,
)
from comfyproxy.prompts.shape import Graph, link_source, unwrap
from comfyproxy.prompts.specs import Kind
from comfyproxy.prompts.uses import Place, Specs, inputs, literal, spec_of, texts


@dataclass(frozen=True, slots=True)
class Refused:
    """A place that names something outside the caller's own files."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class FileUse:
    """A file that a prompt names, as parsed, with the text that named it."""

    place: Place
    text: str
    ref: FileRef


def file_uses(graph: Graph, specs: Specs) -> Iterator[FileUse | Refused]:
    """Every file that an input declared as one names. Links into such an input are followed
    where they can be read, else refused."""
    for place, value in inputs(graph):
        spec = spec_of(graph, place, specs)
        if spec.kind is not Kind.FILE:
            continue
        if link_source(value, graph):
            text = literal(value, graph)
            found = [text] if text is not None else None
        else:
            found = list(texts(unwrap(value)))
        if found is None:
            yield Refused(place, "")
            continue
        for text in found:
            try:
                ref = parse_name(text, spec.file_type)
            except OutsideError:
                yield Refused(place, text)
            else:
                if ref.filename:
                    yield FileUse(place, text, ref)


def foreign_mentions(
    graph: Graph, specs: Specs, namespace: str, *, sees_all: bool
) -> Iterator[Refused]:
    """Every text, in any input of any node, that leads into another user's folder; and for
    inputs declared as a list or a model, every text that leaves its folder."""
    for place, value in inputs(graph):
        listed = spec_of(graph, place, specs).kind in (Kind.LIST, Kind.MODEL)
        for text in texts(value):
            if (not sees_all and mentions_foreign(text, namespace)) or (listed and _leaves(text)):
                yield Refused(place, text)


def _leaves(text: str) -> bool:
    path = text.replace("\\", "/")
    return path.startswith("/") or ".." in path.split("/")


def candidates(ref: FileRef, namespace: str, *, sees_all: bool) -> tuple[FileRef, ...]:
    """The files that a name may mean to this caller, best first; empty: none.

    A name without a namespace means the caller's own file first, then the unowned top level
    of the input folder. What is last needs no look: if it does not exist either, ComfyUI
    says so.
    """
    if is_own(ref, namespace):
        return (ref,)
    if namespace_of(ref.subfolder) is not None:
        return (ref,) if sees_all else ()
    subfolder = f"{namespace}/{ref.subfolder}" if ref.subfolder else namespace
    own = FileRef(ref.type, subfolder, ref.filename)
    unowned_input = ref.type == "input" and not ref.subfolder
    return (own, ref) if sees_all or unowned_input else (own,)


def rewritten(
    graph: Graph,
    specs: Specs,
    namespace: str,
    files: Mapping[tuple[Place, str], FileRef],
    *,
    sees_all: bool,
) -> tuple[Graph, list[Refused]]:
    """A copy of the graph with its files and prefixes replaced, and what could not be.

    `files` says for each (place, text) of `file_uses` which file is meant.
    """
    result = deepcopy(graph)
    refused: list[Refused] = []
    for place, value in inputs(graph):
        kind = spec_of(graph, place, specs).kind
        node_inputs = result[place.node_id]["inputs"]
        if kind is Kind.FILE:
            node_inputs[place.input_name] = _with_files(place, value, graph, files)
        elif kind is Kind.PREFIX:
            try:
                node_inputs[place.input_name] = _with_prefix(value, graph, namespace)
            except OutsideError as error:
                refused.append(Refused(place, str(error)))
    for node_id, node in result.items():
        _complete(node_id, node, specs, namespace)
    return result, refused


def _with_files(
    place: Place, value: Any, graph: Graph, files: Mapping[tuple[Place, str], FileRef]
) -> Any:
    if link_source(value, graph):
        text = literal(value, graph)
        return _file_text(place, text, files) if text is not None else value
    if isinstance(value, str):
        return _file_text(place, value, files)
    if isinstance(value, list):
        return [_with_files(place, item, graph, files) for item in value]
    if isinstance(value, dict):
        return {key: _with_files(place, item, graph, files) for key, item in value.items()}
    return value


def _file_text(place: Place, text: str, files: Mapping[tuple[Place, str], FileRef]) -> str:
    ref = files.get((place, text))
    if ref is None:
        return text
    # An annotation that was there stays, even the default one: the node may insist on it.
    explicit = text.endswith("[input]") and ref.type == "input"
    return f"{ref.path} [input]" if explicit else ref.annotated()


def _with_prefix(value: Any, graph: Graph, namespace: str) -> Any:
    """The prefix inside the namespace, wrapped as it was.

    Raises:
        OutsideError: leaves the namespace, or is a link whose text cannot be read
    """
    if link_source(value, graph):
        text = literal(value, graph)
        if text is None:
            raise OutsideError("a link whose text is known only while it runs")
        return own_prefix(text, namespace)
    if isinstance(value, dict) and len(value) == 1 and "__value__" in value:
        return {"__value__": _with_prefix(value["__value__"], graph, namespace)}
    if not isinstance(value, str):
        # ComfyUI turns numbers into text; anything else it refuses by itself.
        if isinstance(value, (int, float)):
            return own_prefix(str(value), namespace)
        raise OutsideError("a prefix must be text")
    return own_prefix(value, namespace)


def _complete(node_id: str, node: dict[str, Any], specs: Specs, namespace: str) -> None:
    """What the client left out or must not choose: prefixes that default, the cache key."""
    spec = specs.get(node["class_type"])
    node["inputs"].pop(cachekey.INPUT, None)
    if spec is None:
        return
    for name, declared in spec.inputs.items():
        if declared.kind is Kind.PREFIX and declared.optional and name not in node["inputs"]:
            default = declared.default if isinstance(declared.default, str) else ""
            node["inputs"][name] = own_prefix(default, namespace)
    if spec.is_output:
        node["inputs"][cachekey.INPUT] = namespace
