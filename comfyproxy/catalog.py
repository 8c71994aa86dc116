"""What ComfyUI offers: its nodes and its models, asked for at most every 30 s for everyone.

`object_info` is megabytes of JSON; it is parsed and taken apart in a thread, once per fetch,
and handed out as finished bytes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final

from accounts.capabilities import Capability
from accounts.errors import UpstreamUnreachable
from accounts.identity import Identity
from comfyproxy import filerecords, upstream
from comfyproxy.filters.models import Allowed, KnownModels, everything
from comfyproxy.nodeinfo import Encoded, NodeInfo, Sight
from comfyproxy.prompts.specs import NodeSpec, node_spec

MAX_AGE_SECONDS: Final = 30.0
# Whoever insists on fresh data (the frontend's refresh) gets what is at most this old.
MIN_AGE_SECONDS: Final = 2.0
# Between two fetches that names make necessary which the last one did not know.
SPACING_SECONDS: Final = 0.25
# Finished answers that are kept, a few hundred kilobytes each: one for each kind of caller,
# and one for each user who has uploaded something.
MAX_ENCODED: Final = 64
# Where the page's mask editor keeps the layers of what it paints: several files for each
# mask. ComfyUI's own lists do not show them either.
CLIPSPACE: Final = "clipspace"
_PARALLEL: Final = 8


@dataclass(frozen=True)
class Catalog:
    """One fetch."""

    specs: Mapping[str, NodeSpec]
    models: KnownModels
    nodes: NodeInfo
    fetched_at: float
    _encoded: OrderedDict[Sight, Encoded] = field(default_factory=OrderedDict, compare=False)

    @classmethod
    def read(
        cls,
        info: Mapping[str, Any],
        models: KnownModels,
        input_files: frozenset[str],
        fetched_at: float,
    ) -> "Catalog":
        """Of ComfyUI's answers. `input_files`: names at the top of its input folder."""
        specs = {name: node_spec(node, models, input_files) for name, node in info.items()}
        return cls(specs, models, NodeInfo.read(info, models, input_files), fetched_at)

    async def object_info(self, sight: Sight) -> Encoded:
        """`GET /object_info` for such a caller."""
        key = self.nodes.key(sight)
        found = self._encoded.get(key)
        if found is None:
            found = self._encoded[key] = await asyncio.to_thread(self.nodes.all, key)
        self._encoded.move_to_end(key)
        while len(self._encoded) > MAX_ENCODED:
            self._encoded.popitem(last=False)
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


async def current(max_age_seconds: float = MAX_AGE_SECONDS) -> Catalog:
    """The catalog, at most that old. Callers who come together share one fetch.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    global _fetching
    if _current is not None and monotonic() - _current.fetched_at < max_age_seconds:
        return _current
    if _fetching is None or _fetching.done():
        _fetching = asyncio.ensure_future(_fetch())
    # Shielded: one caller who leaves must not end the fetch of the others.
    return await asyncio.shield(_fetching)


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


async def _fetch() -> Catalog:
    global _current
    started = monotonic()
    info, folders, input_files = await asyncio.gather(
        upstream.get_json("/object_info"),
        upstream.get_json("/models"),
        upstream.get_json("/internal/files/input"),
    )
    if not isinstance(info, dict) or not isinstance(folders, list):
        raise UpstreamUnreachable("ComfyUI does not tell which nodes and models it has.")
    models = KnownModels(await _models([name for name in folders if isinstance(name, str)]))
    files = frozenset(name for name in input_files or () if isinstance(name, str))
    _current = await asyncio.to_thread(Catalog.read, info, models, files, started)
    return _current


async def _models(folders: list[str]) -> dict[str, tuple[str, ...]]:
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(folder: str) -> tuple[str, ...]:
        async with slots:
            names = await upstream.get_json(f"/models/{upstream.segment(folder)}")
        return tuple(name for name in names or () if isinstance(name, str))

    lists = await asyncio.gather(*(one(folder) for folder in folders))
    return dict(zip(folders, lists, strict=True))
