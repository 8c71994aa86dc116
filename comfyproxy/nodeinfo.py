"""`GET /object_info` in encoded pieces, one for each node; joined to what a caller may see.

Most nodes are the same for everybody and encoded once. Those that list models are encoded
once for each set of models that callers may know of, those that list users' folders or input
files for each caller. Nothing is parsed again.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from comfyproxy.filters.folders import names_any, without_foreign
from comfyproxy.filters.inputs import FileList, file_lists, with_own
from comfyproxy.filters.models import Allowed, KnownModels, everything, names_models, without_models

# Sets of models for which the nodes that list some are kept encoded.
MAX_MODEL_SETS: Final = 32
# 1 takes half the time and gives a sixth more bytes; 6 takes a third more time for nothing.
_GZIP_LEVEL: Final = 5
# How a text begins, as JSON, that may name something in a namespace.
_NAMESPACE_STARTS: Final = (b'"u-', b'"U-')


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
    """A node that not everybody sees alike."""

    info: Any
    # Names something in a namespace.
    names_users: bool
    lists: tuple[FileList, ...]

    @property
    def is_personal(self) -> bool:
        return self.names_users or bool(self.lists)


class NodeInfo:
    """The definitions of all nodes."""

    def __init__(
        self, encoded: Mapping[str, bytes], special: Mapping[str, _Special], models: KnownModels
    ) -> None:
        """`encoded`: every node, in ComfyUI's order; those that are `special` are empty."""
        self._encoded = encoded
        self._models = models
        self._by_models = {n: node for n, node in special.items() if not node.is_personal}
        self._personal = {n: node for n, node in special.items() if node.is_personal}
        self._names_users = any(node.names_users for node in special.values())
        self._with_models: dict[Allowed, Mapping[str, bytes]] = {}

    @classmethod
    def read(
        cls, info: Mapping[str, Any], models: KnownModels, input_files: frozenset[str]
    ) -> Self:
        """Take ComfyUI's answer apart. `input_files`: names at the top of the input folder."""
        encoded: dict[str, bytes] = {}
        special: dict[str, _Special] = {}
        for name, node in info.items():
            piece = orjson.dumps(node)
            # A search through bytes spares most nodes the walk through all their values.
            names_users = any(start in piece for start in _NAMESPACE_STARTS) and names_any(node)
            found = _Special(node, names_users, file_lists(node, models, input_files))
            if found.is_personal or names_models(node, models):
                special[name] = found
                piece = b""
            encoded[name] = piece
        return cls(encoded, special, models)

    def key(self, sight: Sight) -> Sight:
        """Equal for callers who certainly get the same answer."""
        return sight if self._names_users else Sight(sight.allowed, None, sight.own_inputs)

    def all(self, sight: Sight) -> Encoded:
        """Every node, for such a caller. For a thread: it takes tens of milliseconds."""
        own = {name: self._encode(node, sight) for name, node in self._personal.items()}
        pieces = {**self._encoded, **self._models_listed(sight.allowed), **own}
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
            piece = self._encode(node, sight)
        return orjson.dumps({name: orjson.Fragment(piece)})

    def _models_listed(self, allowed: Allowed) -> Mapping[str, bytes]:
        """The nodes that list models. Threads may come at the same time; then both encode."""
        found = self._with_models.get(allowed)
        if found is None:
            sight = Sight(allowed, None)
            found = {name: self._encode(node, sight) for name, node in self._by_models.items()}
            if len(self._with_models) >= MAX_MODEL_SETS:
                self._with_models.clear()
            self._with_models[allowed] = found
        return found

    def _encode(self, node: _Special, sight: Sight) -> bytes:
        info = node.info
        if sight.allowed is not everything:
            info = without_models(info, self._models, sight.allowed)
        if node.names_users and sight.namespace is not None:
            info = without_foreign(info, sight.namespace)
        if node.lists and sight.own_inputs:
            info = with_own(info, node.lists, sight.own_inputs)
        return orjson.dumps(info)
