"""What ComfyUI offers: its nodes and its models, asked for at most every 30 s for everyone.

`object_info` is megabytes of JSON; it is parsed and filtered in a thread, once per fetch
and kind of caller, and handed out as finished bytes.
"""

import asyncio
import gzip
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import orjson

from accounts.capabilities import Capability
from accounts.errors import UpstreamUnreachable
from accounts.identity import Identity
from comfyproxy import upstream
from comfyproxy.filters.models import Allowed, KnownModels, everything, nothing, without_models
from comfyproxy.prompts.specs import NodeSpec, node_spec

logger = logging.getLogger(__name__)

MAX_AGE_SECONDS: Final = 30.0
# Whoever insists on fresh data (the frontend's refresh) gets what is at most this old.
MIN_AGE_SECONDS: Final = 2.0
_PARALLEL: Final = 8


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished answer."""

    plain: bytes
    zipped: bytes
    etag: str


@dataclass(frozen=True)
class Catalog:
    """One fetch."""

    info: Mapping[str, Any]
    models: KnownModels
    specs: Mapping[str, NodeSpec]
    fetched_at: float
    _encoded: dict[Allowed, Encoded] = field(default_factory=dict, compare=False)

    async def object_info(self, allowed: Allowed) -> Encoded:
        """`GET /object_info` for a caller who may know of these models."""
        found = self._encoded.get(allowed)
        if found is None:
            found = await asyncio.to_thread(self._encode, allowed)
            self._encoded[allowed] = found
        return found

    def _encode(self, allowed: Allowed) -> Encoded:
        shown = {name: self.node_info(name, allowed) for name in self.info}
        plain = orjson.dumps(shown)
        return Encoded(plain, gzip.compress(plain, 5), hashlib.sha256(plain).hexdigest()[:32])

    def node_info(self, name: str, allowed: Allowed) -> Any:
        """One node's definition for such a caller."""
        info = self.info[name]
        return info if allowed is everything else without_models(info, self.models, allowed)


def allowed_models(identity: Identity) -> Allowed:
    """Which models this caller may know of and use."""
    return everything if identity.can(Capability.VIEW_ALL_COMFYUI_ITEMS) else nothing


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
    specs = await asyncio.to_thread(
        lambda: {name: node_spec(node, models, files) for name, node in info.items()}
    )
    _current = Catalog(info, models, specs, started)
    return _current


async def _models(folders: list[str]) -> dict[str, tuple[str, ...]]:
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(folder: str) -> tuple[str, ...]:
        async with slots:
            names = await upstream.get_json(f"/models/{upstream.segment(folder)}")
        return tuple(name for name in names or () if isinstance(name, str))

    lists = await asyncio.gather(*(one(folder) for folder in folders))
    return dict(zip(folders, lists, strict=True))
