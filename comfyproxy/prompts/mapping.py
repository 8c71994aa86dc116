"""How a prompt is rewritten for its owner: files and prefixes move into their namespace.

Two steps, because whether a file exists is for ComfyUI to say: `file_uses` lists the files
that a prompt names, the caller of this module resolves each, `rewritten` puts the answers in.
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from accounts.errors import BadRequest
from comfyproxy import cachekey
from comfyproxy.files import (
    FileRef,
    OutsideError,
    is_annotated,
    is_own,
    mentions_foreign,
    namespace_of,
    own_prefix,
    parse_name,
)
from comfyproxy.prompts.shape import WRAPPED, Graph, link_source, unwrap
from comfyproxy.prompts.specs import InputSpec, Kind
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
    """Every file that an input declared as one names, or that a list's value names by its
    annotation (a list of files may be empty just now). Links into an input for files are
    followed where they can be read, else refused."""
    for place, value in inputs(graph):
        spec = spec_of(graph, place, specs)
        names = _names(value, spec, graph)
        if names is None:
            yield Refused(place, "")
            continue
        for text in names:
            try:
                ref = parse_name(text, spec.file_type)
            except OutsideError:
                yield Refused(place, text)
            else:
                if ref.filename:
                    yield FileUse(place, text, ref)


def _names(value: Any, spec: InputSpec, graph: Graph) -> list[str] | None:
    """The texts of an input that name files; None for a link that cannot be read."""
    kind, is_link = spec.kind, link_source(value, graph) is not None
    if is_link and (kind is Kind.FILE or spec.is_place):
        text = literal(value, graph)
        if text is None or kind is Kind.FILE:
            return None if text is None else [text]
    if kind is Kind.FILE:
        return list(_members(unwrap(value)))
    if kind is Kind.LIST and not is_link:
        return [text for text in _members(unwrap(value)) if is_annotated(text)]
    return []


def _members(value: Any) -> Iterator[str]:
    """The texts in an input for files: a name, several, or an object of them (Load3D)."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _members(item)


def foreign_mentions(
    graph: Graph, specs: Specs, namespace: str, *, sees_all: bool, shares: bool = False
) -> Iterator[Refused]:
    """Every text, in any input of any node, that leads into another user's folder; and for
    inputs declared as a list or a model, every text that leaves its folder.

    Who `shares` outputs may name others' as such (`u-…/x.png [output]`).
    """
    for place, value in inputs(graph):
        listed = spec_of(graph, place, specs).kind in (Kind.LIST, Kind.MODEL)
        followed = literal(value, graph) if listed and link_source(value, graph) else None
        for text in texts(value if followed is None else followed):
            foreign = not sees_all and mentions_foreign(text, namespace)
            if foreign and shares:
                foreign = not text.endswith(_SHARED)
            if foreign or (listed and _leaves(text)):
                yield Refused(place, text)


_SHARED: Final = "[output]"


def _leaves(text: str) -> bool:
    path = text.replace("\\", "/")
    return re.match(r"(?:[A-Za-z]:)?/", path) is not None or ".." in path.split("/")


def candidates(ref: FileRef, namespace: str, *, sees_all: bool) -> tuple[FileRef, ...]:
    """The files that a name may mean to this caller, best first; empty: none.

    A name without a namespace means the caller's own file first, then the unowned top level
    of the input folder. What is last needs no look: if it does not exist either, ComfyUI
    says so.
    """
    if is_own(ref, namespace) or ref.path == namespace:
        return (ref,)
    if namespace_of(ref.subfolder) is not None:
        return (ref,) if sees_all else ()
    subfolder = f"{namespace}/{ref.subfolder}" if ref.subfolder else namespace
    own = FileRef(ref.type, subfolder, ref.filename)
    # Not what bears a namespace's name: that is somebody's folder.
    is_top = not ref.subfolder and namespace_of(ref.filename) is None
    unowned_input = ref.type == "input" and is_top
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

    Raises:
        BadRequest: a number that is none, or endless
    """
    result = deepcopy(graph)
    refused: list[Refused] = []
    for place, value in inputs(graph):
        kind = spec_of(graph, place, specs).kind
        node_inputs = result[place.node_id]["inputs"]
        if kind in (Kind.FILE, Kind.LIST):
            named = _followed(value, graph) if kind is Kind.FILE else value
            node_inputs[place.input_name] = _with_files(place, named, files)
        elif kind is Kind.NUMBER:
            _require_finite(place, unwrap(value))
        elif kind is Kind.PREFIX:
            try:
                node_inputs[place.input_name] = _with_prefix(value, graph, namespace)
            except OutsideError as error:
                refused.append(Refused(place, str(error)))
    for node_id, node in result.items():
        _complete(node_id, node, specs, namespace)
    return result, refused


def _followed(value: Any, graph: Graph) -> Any:
    """The text at the end of a link that can be read; anything else as it is."""
    text = literal(value, graph) if link_source(value, graph) is not None else None
    return value if text is None else text


def _with_files(place: Place, value: Any, files: Mapping[tuple[Place, str], FileRef]) -> Any:
    if isinstance(value, str):
        return _file_text(place, value, files)
    if isinstance(value, list):
        return [_with_files(place, item, files) for item in value]
    if isinstance(value, dict):
        return {key: _with_files(place, item, files) for key, item in value.items()}
    return value


def _file_text(place: Place, text: str, files: Mapping[tuple[Place, str], FileRef]) -> str:
    ref = files.get((place, text))
    if ref is None:
        return text
    # An annotation that was there stays, even the default one: the node may insist on it.
    explicit = text.endswith("[input]") and ref.type == "input"
    return f"{ref.path} [input]" if explicit else ref.annotated()


def _require_finite(place: Place, value: Any) -> None:
    """Raise BadRequest for a text that ComfyUI would turn into an endless number: its queue
    and history, everybody's, would be no valid JSON any more."""
    if not isinstance(value, str):
        return
    try:
        number = float(value)
    except ValueError:
        return  # ComfyUI refuses it by itself
    if not isfinite(number):
        raise BadRequest(
            f"{place.input_name} must be a finite number.",
            field=f"prompt.{place.node_id[:80]}.inputs.{place.input_name[:80]}",
        )


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
    if isinstance(value, dict) and len(value) == 1 and WRAPPED in value:
        # ComfyUI unwraps once; a second wrapping would become text, braces and all.
        if isinstance(value[WRAPPED], dict):
            raise OutsideError("a prefix wrapped twice")
        return {WRAPPED: _with_prefix(value[WRAPPED], graph, namespace)}
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
            node["inputs"][name] = _own_default(declared.default, namespace)
    if spec.is_personal:
        node["inputs"][cachekey.INPUT] = namespace


def _own_default(default: Any, namespace: str) -> str:
    try:
        return own_prefix(default if isinstance(default, str) else "", namespace)
    except OutsideError:
        # The node would write somewhere else by itself: not for somebody with a namespace.
        return own_prefix("", namespace)
