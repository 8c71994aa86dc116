"""What ComfyUI offers: its nodes and its models, asked for at most every 30 s for everyone.

`object_info` is megabytes of JSON; it is parsed and taken apart in a thread, once per change,
and handed out as finished bytes. While ComfyUI is away, the last known serves whoever only
reads; a prompt is judged by what is known now.
"""

import asyncio
import hashlib
import logging
from collections.abc import Collection, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final

import orjson

from accounts.capabilities import Capability
from accounts.errors import UpstreamTimeout, UpstreamUnreachable
from accounts.identity import Identity
from comfyproxy import filerecords, upstream
from comfyproxy.filters.models import Allowed, KnownModels, everything
from comfyproxy.kept import Kept
from comfyproxy.nodeinfo import Encoded, NodeInfo, Sight
from comfyproxy.prompts.specs import NodeSpecs

logger = logging.getLogger(__name__)

MAX_AGE_SECONDS: Final = 30.0
# Up to that age it serves readers while it is fetched anew.
STALE_SECONDS: Final = 120.0
# Whoever insists on fresh data (the frontend's refresh) gets what is at most this old.
MIN_AGE_SECONDS: Final = 2.0
# How long readers wait for a ComfyUI that does not answer, if there is something to show.
PATIENCE_SECONDS: Final = 10.0
# Between two fetches that names make necessary which the last one did not know.
SPACING_SECONDS: Final = 0.25
# Finished answers that are kept, a few hundred kilobytes each: one for each kind of caller,
# and one for each user who has uploaded something.
MAX_ENCODED_BYTES: Final = 32_000_000
# Where the page's mask editor keeps the layers of what it paints: several files for each
# mask. ComfyUI's own lists do not show them either.
CLIPSPACE: Final = "clipspace"
_INPUT_FILES: Final = "/internal/files/input"
_UNTOLD: Final = "ComfyUI does not tell which nodes and models it has."
_PARALLEL: Final = 8


def _kept_answers() -> Kept[Hashable, Encoded]:
    return Kept(MAX_ENCODED_BYTES, lambda answer: len(answer.zipped))


@dataclass(frozen=True)
class Catalog:
    """One fetch. `digest` stands for the bytes that ComfyUI answered."""

    specs: NodeSpecs
    models: KnownModels
    nodes: NodeInfo
    fetched_at: float
    digest: bytes = b""
    _encoded: Kept[Hashable, Encoded] = field(default_factory=_kept_answers, compare=False)

    @classmethod
    def read(
        cls,
        info: Mapping[str, Any],
        models: KnownModels,
        input_files: frozenset[str],
        fetched_at: float,
        digest: bytes = b"",
    ) -> "Catalog":
        """Of ComfyUI's answers. `input_files`: names at the top of its input folder."""
        pieces = {name: orjson.dumps(node) for name, node in info.items()}
        specs = NodeSpecs(pieces, models, input_files)
        nodes = NodeInfo.read(info, pieces, models, input_files)
        return cls(specs, models, nodes, fetched_at, digest)

    async def read_specs(self, classes: Collection[str]) -> None:
        """See to it that these node classes' specs can be looked up without work."""
        unread = self.specs.unread(classes)
        if unread:
            await asyncio.to_thread(lambda: [self.specs[name] for name in unread])

    async def object_info(self, sight: Sight) -> Encoded:
        """`GET /object_info` for such a caller."""
        key = self.nodes.key(sight)
        found = self._encoded.get(key)
        if found is None:
            found = await asyncio.to_thread(self.nodes.all, sight)
            self._encoded.put(key, found)
        return found


def allowed_models(identity: Identity) -> Allowed:
    """Which models this caller may know of and use."""
    return everything if identity.can(Capability.VIEW_ALL_COMFYUI_ITEMS) else identity.grants


def sight_of(identity: Identity) -> Sight:
    """What this caller may know of."""
    sees_all = identity.can(Capability.VIEW_ALL_HISTORY)
    return Sight(allowed_models(identity), None if sees_all else identity.namespace)


async def sight_with_inputs(identity: Identity) -> Sight:
    """The same with the caller's own input files, as they are recorded just now."""
    own = await filerecords.of_user(
        identity.user_id,
        "input",
        limit=filerecords.MAX_LISTED,
        except_in=f"{identity.namespace}/{CLIPSPACE}",
    )
    return replace(sight_of(identity), own_inputs=tuple(own))


_current: Catalog | None = None
_fetching: asyncio.Task[Catalog] | None = None
# Whether readers are being shown what is known from before; said once.
_is_behind = False


async def current(max_age_seconds: float = MAX_AGE_SECONDS) -> Catalog:
    """The catalog, at most that old. Callers who come together share one fetch.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    if _current is not None and _age(_current) < max_age_seconds:
        return _current
    # Shielded: one caller who leaves must not end the fetch of the others.
    return await asyncio.shield(_fetch_once())


async def to_show(*, insists: bool = False) -> Catalog:
    """The catalog for somebody who only reads: what is known, while a newer one is on its way
    or ComfyUI is away. Who `insists` waits for one that is at most 2 s old, if there is any.

    Raises:
        UpstreamUnreachable, UpstreamTimeout: and nothing is known from before
    """
    known = _current
    if known is None:
        return await current()
    if _age(known) < (MIN_AGE_SECONDS if insists else MAX_AGE_SECONDS):
        return known
    fetching = _fetch_once()
    if insists or _age(known) >= STALE_SECONDS:
        await asyncio.wait((fetching,), timeout=PATIENCE_SECONDS)
        with suppress(UpstreamUnreachable, UpstreamTimeout):
            return fetching.result() if fetching.done() else known
    return known


async def fresh() -> Catalog:
    """The catalog, asked for after this call: for names that the present one does not know.

    Callers wait for their turn rather than get an older one: a model that came a moment ago
    must not pass for a text.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    called_at = monotonic()
    while _current is None or _current.fetched_at < called_at:
        if _current is not None:
            await asyncio.sleep(_current.fetched_at + SPACING_SECONDS - monotonic())
        if _current is None or _current.fetched_at < called_at:
            await current(max_age_seconds=0)
    return _current


def _age(known: Catalog) -> float:
    return monotonic() - known.fetched_at


def _fetch_once() -> asyncio.Task[Catalog]:
    """The fetch that is under way, or one that begins now."""
    global _fetching
    if _fetching is None or _fetching.done():
        _fetching = asyncio.ensure_future(_fetch())
        _fetching.add_done_callback(_fetched)
    return _fetching


def _fetched(task: asyncio.Task[Catalog]) -> None:
    global _is_behind
    error = None if task.cancelled() else task.exception()
    if error is None:
        _is_behind = False
    elif not isinstance(error, (UpstreamUnreachable, UpstreamTimeout)):
        logger.error("what ComfyUI offers could not be read", exc_info=error)
    elif _current is not None and not _is_behind:
        _is_behind = True
        logger.warning("ComfyUI does not tell what it offers; what is known is shown meanwhile")


async def _fetch() -> Catalog:
    global _current
    started = monotonic()
    answers = await asyncio.gather(*map(_body, ("/object_info", "/models", _INPUT_FILES)))
    names = _names(answers[1])
    lists = await _lists(names)
    _current = await asyncio.to_thread(
        _read, answers, dict(zip(names, lists, strict=True)), started
    )
    return _current


async def _lists(folders: Sequence[str]) -> list[bytes]:
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(folder: str) -> bytes:
        async with slots:
            return await _body(f"/models/{upstream.segment(folder)}")

    return await asyncio.gather(*(one(folder) for folder in folders))


async def _body(path: str) -> bytes:
    """An answer of ComfyUI's; nothing of what it does not have. Where it fails, what it has is
    not known, and an unknown model would pass for a text."""
    status, body = await upstream.get_body(path)
    if status not in (200, 404):
        raise UpstreamUnreachable(_UNTOLD)
    return body if status == 200 else b""


def _read(answers: Sequence[bytes], lists: Mapping[str, bytes], fetched_at: float) -> Catalog:
    """The catalog of ComfyUI's answers: nodes, folders, input files; models by folder. What
    has not changed is not read again, and what was made of it for callers still holds."""
    hashed = hashlib.sha256()
    for part in (*answers, *lists.values()):
        hashed.update(b"%d:" % len(part))
        hashed.update(part)
    digest = hashed.digest()
    known = _current
    if known is not None and known.digest == digest:
        return replace(known, fetched_at=fetched_at)
    info = upstream.parsed(answers[0])
    if not isinstance(info, dict):
        raise UpstreamUnreachable(_UNTOLD)
    models = KnownModels({folder: _names(body) for folder, body in lists.items()})
    return Catalog.read(info, models, frozenset(_names(answers[2])), fetched_at, digest)


def _names(body: bytes) -> tuple[str, ...]:
    """A list of names. Raises UpstreamUnreachable for anything else but nothing."""
    found = upstream.parsed(body) if body else []
    if not isinstance(found, list):
        raise UpstreamUnreachable(_UNTOLD)
    return tuple(name for name in found if isinstance(name, str))
