"""`GET /object_info` in encoded pieces, one for each node; joined to what a caller may see.

Most nodes are the same for everybody and encoded once. Those that list models are encoded
once for each set of models that callers may know of, those that list users' folders or input
files for each caller. Nothing is parsed again.
"""

import gzip
import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from comfyproxy.filters.folders import names_any, without_foreign
from comfyproxy.filters.inputs import FileList, file_lists, may_list_files, with_own
from comfyproxy.filters.modellists import Marker
from comfyproxy.filters.models import Allowed, KnownModels
from comfyproxy.filters.modelviews import ChoiceList, NameList, Viewer, part_shown, shown
from comfyproxy.kept import Kept

# What is kept of nodes that list models, for all sets of models together. Whoever may know of
# all needs about as much as ComfyUI's answer has, megabytes; most others far less.
MAX_MODEL_SETS_BYTES: Final = 12_000_000
# 5 takes twice the time, and its answers are a tenth smaller.
_GZIP_LEVEL: Final = 3
# How a text begins, as JSON, that may name something in a namespace.
_NAMESPACE_STARTS: Final = (b'"u-', b'"U-')

Pieces = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a caller may know of: which models, whose files (None: everybody's); and the
    names of their own input files, newest first.

    `allowed` must be hashable, and equal for callers who may know of the same models.
    """

    allowed: Allowed
    namespace: str | None
    own_inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished answer. Only its compressed form is kept: nearly every client takes it."""

    zipped: bytes
    etag: str

    def plain(self) -> bytes:
        return gzip.decompress(self.zipped)


@dataclass(frozen=True, slots=True)
class _Special:
    """A node that not everybody sees alike, its lists of models marked."""

    info: Any
    # Names something in a namespace.
    names_users: bool
    lists: tuple[FileList, ...]

    @property
    def is_personal(self) -> bool:
        return self.names_users or bool(self.lists)


class _Encoder:
    """Nodes with marked lists as JSON for one set of models. A list that several nodes have
    is encoded once."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._lists: dict[ChoiceList | NameList, orjson.Fragment] = {}

    def encode(self, info: Any) -> bytes:
        return orjson.dumps(info, self._default, orjson.OPT_PASSTHROUGH_DATACLASS)

    def _default(self, part: Any) -> Any:
        if not isinstance(part, (ChoiceList, NameList)):
            return part_shown(part, self._viewer)
        found = self._lists.get(part)
        if found is None:
            found = orjson.Fragment(self.encode(part_shown(part, self._viewer)))
            self._lists[part] = found
        return found


class NodeInfo:
    """The definitions of all nodes."""

    def __init__(
        self, encoded: Pieces, special: Mapping[str, _Special], models: KnownModels
    ) -> None:
        """`encoded`: every node, in ComfyUI's order; those that are `special` are empty."""
        self._encoded = encoded
        self._models = models
        self._by_models = {n: node for n, node in special.items() if not node.is_personal}
        self._personal = {n: node for n, node in special.items() if node.is_personal}
        self._names_users = any(node.names_users for node in special.values())
        self._lists_files = any(node.lists for node in special.values())
        self._with_models: Kept[Allowed, Pieces] = Kept(
            MAX_MODEL_SETS_BYTES, lambda pieces: sum(map(len, pieces.values()))
        )

    @classmethod
    def read(
        cls,
        info: Mapping[str, Any],
        pieces: Pieces,
        models: KnownModels,
        input_files: frozenset[str],
    ) -> Self:
        """Take ComfyUI's answer apart. `pieces`: each of its nodes as JSON; `input_files`:
        names at the top of the input folder."""
        encoded: dict[str, bytes] = {}
        special: dict[str, _Special] = {}
        marker = Marker(models, input_files)
        for name, node in info.items():
            piece = pieces[name]
            # A search through bytes spares most nodes the walk through all their values.
            names_users = any(start in piece for start in _NAMESPACE_STARTS) and names_any(node)
            marker.seen = False
            marked = marker.marked(node)
            may_list = marker.seen or may_list_files(piece)
            lists = file_lists(node, models, input_files) if may_list else ()
            if names_users or lists or marked is not node:
                special[name] = _Special(marked, names_users, lists)
                piece = b""
            encoded[name] = piece
        return cls(encoded, special, models)

    def key(self, sight: Sight) -> Hashable:
        """Equal for callers who certainly get the same answer."""
        own = "\0".join(sight.own_inputs) if self._lists_files else ""
        digest = hashlib.sha256(own.encode(errors="surrogatepass")).digest()
        return sight.allowed, sight.namespace if self._names_users else None, digest

    def all(self, sight: Sight) -> Encoded:
        """Every node, for such a caller. For a thread: it takes tens of milliseconds."""
        viewer = Viewer(sight.allowed, self._models)
        own = {name: _encode(node, sight, viewer) for name, node in self._personal.items()}
        pieces = {**self._encoded, **self._models_listed(sight.allowed, viewer), **own}
        plain = orjson.dumps({name: orjson.Fragment(piece) for name, piece in pieces.items()})
        # Without a time in it: an ETag stands for the same bytes.
        zipped = gzip.compress(plain, _GZIP_LEVEL, mtime=0)
        return Encoded(zipped, hashlib.sha256(plain).hexdigest()[:32])

    def one(self, name: str, sight: Sight) -> bytes:
        """One node as `{name: …}`, or `{}` where there is none of that name."""
        piece = self._encoded.get(name)
        if piece is None:
            return b"{}"
        node = self._personal.get(name) or self._by_models.get(name)
        if node is not None:
            piece = _encode(node, sight, Viewer(sight.allowed, self._models))
        return orjson.dumps({name: orjson.Fragment(piece)})

    def _models_listed(self, allowed: Allowed, viewer: Viewer) -> Pieces:
        """The nodes that list models. Threads may come at the same time; then both encode."""
        found = self._with_models.get(allowed)
        if found is None:
            encoder = _Encoder(viewer)
            found = {name: encoder.encode(node.info) for name, node in self._by_models.items()}
            self._with_models.put(allowed, found)
        return found


def _encode(node: _Special, sight: Sight, viewer: Viewer) -> bytes:
    info = shown(node.info, viewer)
    if node.names_users and sight.namespace is not None:
        info = without_foreign(info, sight.namespace)
    if node.lists and sight.own_inputs:
        info = with_own(info, node.lists, sight.own_inputs)
    return orjson.dumps(info)
