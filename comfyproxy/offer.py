"""One look at what ComfyUI offers: its nodes, its models, taken apart for everybody.

`object_info` is megabytes of JSON; it is parsed and taken apart in a thread, once per change,
and handed out as finished bytes.
"""

import asyncio
import gc
import hashlib
import logging
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final, NamedTuple

import orjson

from accounts import metrics
from accounts.errors import UpstreamTimeout, UpstreamUnreachable
from comfyproxy import comfyjson, upstream
from comfyproxy.filters.definitions import definitions
from comfyproxy.filters.models import KnownModels
from comfyproxy.kept import Kept
from comfyproxy.nodeinfo import Encoded, NodeInfo, Sight
from comfyproxy.prompts.specs import NodeSpecs

logger = logging.getLogger(__name__)

# Finished answers that are kept, a few hundred kilobytes each: one for each kind of caller,
# and one for each user who has uploaded something.
MAX_ENCODED_BYTES: Final = 32_000_000
DIFFUSERS: Final = "diffusers"
PYTHON_FILES: Final = "custom_nodes"
_INPUT_FILES: Final = "/internal/files/input"
_UNTOLD: Final = "ComfyUI does not tell which nodes and models it has."
_PARALLEL: Final = 8


def _kept_answers() -> Kept[Hashable, Encoded]:
    return Kept(MAX_ENCODED_BYTES, lambda answer: len(answer.zipped))


class Digests(NamedTuple):
    """What stands for the bytes of ComfyUI's answers."""

    nodes: bytes
    models: bytes
    input_files: bytes


@dataclass(frozen=True)
class Catalog:
    """What ComfyUI answered."""

    specs: NodeSpecs
    models: KnownModels
    nodes: NodeInfo
    fetched_at: float
    digests: Digests | None = None
    # Folders whose models ComfyUI cannot tell: a text that names one would pass for a word.
    unread: frozenset[str] = frozenset()
    _encoded: Kept[Hashable, Encoded] = field(default_factory=_kept_answers, compare=False)
    _encoding: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False)

    @classmethod
    def read(
        cls,
        info: Mapping[str, Any],
        models: KnownModels,
        input_files: frozenset[str],
        fetched_at: float,
        digests: Digests | None = None,
    ) -> "Catalog":
        """Of ComfyUI's answers. `input_files`: names at the top of its input folder."""
        pieces = {name: orjson.dumps(node) for name, node in info.items()}
        specs = NodeSpecs(pieces, models, input_files)
        nodes = NodeInfo.read(info, pieces, models, input_files)
        return cls(specs, models, nodes, fetched_at, digests)

    async def prepare_for(self, classes: Collection[str]) -> None:
        """See to it that a prompt of these node classes can be looked at without delay."""
        unread = self.specs.unread(classes)
        if unread or not self.models.is_ready_for_mentions:
            await asyncio.to_thread(self._prepare, unread)

    def _prepare(self, unread: Collection[str]) -> None:
        for name in unread:
            self.specs.get(name)
        # The first question has the answers to all put in order.
        list(self.models.find_embeddings("embedding:x"))

    def definitions(self, classes: Iterable[str]) -> dict[str, Any]:
        """What `object_info` says of these node classes, unfiltered; of unknown ones nothing.
        Takes a millisecond for each."""
        return {name: self.specs.definition(name) for name in classes if name in self.specs}

    async def object_info(self, sight: Sight) -> Encoded:
        """`GET /object_info` for such a caller."""
        key = self.nodes.key(sight)
        found = self._encoded.get(key)
        metrics.looked_up("object_info", was_there=found is not None)
        if found is None:
            # One at a time: those who come together make the same answer once, and none of
            # them fills the threads that others' large answers are read in.
            async with self._encoding:
                found = self._encoded.get(key)
                if found is None:
                    found = await asyncio.to_thread(self.nodes.all, sight)
                    self._encoded.put(key, found)
        return found


async def fetch(known: Catalog | None) -> Catalog:
    """Ask ComfyUI. What has not changed since `known` is not taken apart again, and what was
    made of it for callers still holds.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    started = monotonic()
    try:
        async with asyncio.timeout(upstream.JSON_SECONDS):
            nodes, lists, files = await _answers(known)
    except TimeoutError as error:
        raise UpstreamTimeout from error
    return await asyncio.to_thread(_read, nodes, lists, files, started, known)


class _Nodes(NamedTuple):
    """`GET /object_info`: its bytes, what stands for them, and what they say; None: as known."""

    raw: bytes
    digest: bytes
    info: Any


async def _answers(known: Catalog | None) -> tuple[_Nodes, dict[str, bytes | None], bytes]:
    """Nodes; models by folder; input files.

    The lists of models are asked for when ComfyUI has made up those of its nodes: a model that
    comes between the two must not stand in the latter alone, unknown.
    """
    answer = await upstream.stream("GET", "/object_info")
    try:
        if answer.status != 200:
            raise UpstreamUnreachable(_UNTOLD)
        return await asyncio.gather(_nodes(answer, known), _lists(), _body(_INPUT_FILES))
    finally:
        answer.close()


async def _nodes(answer: upstream.UpstreamStream, known: Catalog | None) -> _Nodes:
    raw = await answer.read(upstream.MAX_JSON_BYTES)

    def parsed() -> _Nodes:
        digest = _digest([raw])
        is_known = known is not None and known.digests and known.digests.nodes == digest
        with _collector_paused():
            return _Nodes(raw, digest, None if is_known else comfyjson.parsed(raw))

    return await asyncio.to_thread(parsed)


async def _lists() -> dict[str, bytes | None]:
    """Models by folder; None of a folder that ComfyUI cannot read."""
    folders = _names(await _body("/models"))
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(folder: str) -> bytes | None:
        # Megabytes of other people's Python, which ComfyUI would look through each time.
        if folder == PYTHON_FILES:
            return b""
        async with slots:
            status, body = await upstream.get_body(f"/models/{upstream.segment(folder)}")
        return body if status == 200 else b"" if status == 404 else None

    lists = await asyncio.gather(*(one(folder) for folder in folders))
    return dict(zip(folders, lists, strict=True))


async def _body(path: str) -> bytes:
    """An answer of ComfyUI's; nothing of what it does not have."""
    status, body = await upstream.get_body(path)
    if status not in (200, 404):
        raise UpstreamUnreachable(_UNTOLD)
    return body if status == 200 else b""


def _read(
    nodes: _Nodes,
    answers: Mapping[str, bytes | None],
    input_files: bytes,
    fetched_at: float,
    known: Catalog | None,
) -> Catalog:
    lists = {folder: body or b"" for folder, body in answers.items()}
    unread = frozenset(folder for folder, body in answers.items() if body is None)
    of_models = _digest([*map(str.encode, lists), *lists.values()])
    digests = Digests(nodes.digest, of_models, _digest([input_files]))
    before = known.digests if known is not None else None
    if known is not None and before == digests:
        return replace(known, fetched_at=fetched_at, unread=unread)
    info = nodes.info or comfyjson.parsed(nodes.raw)
    if not isinstance(info, dict):
        raise UpstreamUnreachable(_UNTOLD)
    with _collector_paused():
        diffusers = _diffusers(lists, info)
        is_same = before is not None and before.models == of_models
        if known is not None and is_same and diffusers.items() <= known.models.folders.items():
            models = known.models
        else:
            listed = {folder: _names(body) for folder, body in lists.items()}
            models = KnownModels(listed | diffusers)
        found = Catalog.read(info, models, frozenset(_names(input_files)), fetched_at, digests)
    if unread:
        logger.warning("ComfyUI cannot list the model folders %s", ", ".join(sorted(unread)))
    return replace(found, unread=unread)


def _diffusers(lists: Mapping[str, bytes], info: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The models of ComfyUI's folder `diffusers`: each is a folder, which ComfyUI lists only in
    its node for them (nodes.py, DiffusersLoader.INPUT_TYPES)."""
    if DIFFUSERS not in lists:
        return {}
    found = [
        name
        for definition in definitions(info.get("DiffusersLoader"))
        for name in definition.definition.texts()
        if definition.own_name == "model_path"
    ]
    return {DIFFUSERS: tuple(dict.fromkeys((*_names(lists[DIFFUSERS]), *found)))}


def _digest(parts: Sequence[bytes]) -> bytes:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(b"%d:" % len(part))
        hashed.update(part)
    return hashed.digest()


def _names(body: bytes) -> tuple[str, ...]:
    """A list of names. Raises UpstreamUnreachable for anything else but nothing."""
    found = comfyjson.parsed(body) if body else []
    if not isinstance(found, list):
        raise UpstreamUnreachable(_UNTOLD)
    return tuple(name for name in found if isinstance(name, str))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without Python's search for garbage: it goes through all that is being built, again and
    again, which doubles the time. Nothing in there makes cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
