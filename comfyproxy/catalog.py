"""What ComfyUI offers: its nodes and its models, asked for at most every 30 s for everyone.

While ComfyUI is away, what was known last serves whoever only reads; a prompt is judged by
what is known now.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from accounts import metrics
from accounts.bus import bus
from accounts.capabilities import Capability
from accounts.errors import UpstreamTimeout, UpstreamUnreachable
from accounts.identity import Identity
from comfyproxy import filerecords
from comfyproxy.filters.models import Allowed, everything
from comfyproxy.nodeinfo import Sight
from comfyproxy.offer import Catalog, fetch

logger = logging.getLogger(__name__)

MAX_AGE_SECONDS: Final = 30.0
# From that age on it is fetched anew, while it still serves readers.
RENEWAL_SECONDS: Final = 15.0
# Whoever insists on fresh data (the frontend's refresh) gets what is at most this old.
MIN_AGE_SECONDS: Final = 2.0
# How long readers wait for a ComfyUI that does not answer, if there is something to show: who
# insists, and who does not.
PATIENCE_SECONDS: Final = 10.0
SHORT_PATIENCE_SECONDS: Final = 2.0
# Between two fetches that names make necessary which the last one did not know: at least so
# long, and so many times as long as the last one took, of which most is ComfyUI's time.
SPACING_SECONDS: Final = 0.25
SPACING_FACTOR: Final = 5
MAX_SPACING_SECONDS: Final = 10.0
# Of these one user may cause so many at once, and then one in so many seconds.
WISHES: Final = 20
WISH_SECONDS: Final = 1.0
CHANGED: Final = "catalog"
# Where the page's mask editor keeps the layers of what it paints: several files for each
# mask. ComfyUI's own lists do not show them either.
CLIPSPACE: Final = "clipspace"


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
# How long the last fetch took, in seconds.
_took = 0.0
# Whether readers are being shown what is known from before; said once.
_is_behind = False
# Whether another process said that ComfyUI has something new: it need not be told that again.
_was_told = False
_expired_at = float("-inf")


async def current(max_age_seconds: float = MAX_AGE_SECONDS) -> Catalog:
    """The catalog, at most that old. Callers who come together share one fetch.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    is_fresh = _current is not None and _age(_current) < max_age_seconds
    metrics.looked_up("catalog", was_there=is_fresh)
    if _current is not None and is_fresh:
        return _current
    # Shielded: one caller who leaves must not end the fetch of the others.
    return await asyncio.shield(_fetch_once())


async def prepare() -> None:
    """Ask before anybody has to wait for it. If ComfyUI is not there, whoever needs it hears."""
    with suppress(UpstreamUnreachable, UpstreamTimeout):
        await current()


def expire() -> None:
    """What is known may be old: whoever wants it next waits for a new look."""
    global _current, _expired_at
    _expired_at = monotonic()
    if _current is not None:
        _current = replace(_current, fetched_at=float("-inf"))


def changed() -> None:
    """ComfyUI has something new: every web process looks again. From any thread of any process."""
    global _was_told
    _was_told = True
    expire()
    bus.announce(CHANGED)


def listen() -> None:
    """From now on it counts when another process found something new at ComfyUI."""

    def told(what: dict[str, Any]) -> None:
        global _was_told
        _was_told = True
        expire()

    bus.on(CHANGED, told)
    bus.on_gap(expire)


async def close() -> None:
    """Give up a fetch that is under way: this event loop ends."""
    if _fetching is not None and not _fetching.done():
        _fetching.cancel()
        with suppress(asyncio.CancelledError):
            await _fetching


async def to_show(*, insists: bool = False) -> Catalog:
    """The catalog for somebody who only reads: what is known, while a newer one is on its way
    or ComfyUI is away. Who `insists` waits for one that is at most 2 s old, if there is any.

    Raises:
        UpstreamUnreachable, UpstreamTimeout: and nothing is known from before
    """
    known = _current
    if known is None:
        return await current()
    if _age(known) < (MIN_AGE_SECONDS if insists else RENEWAL_SECONDS):
        return known
    fetching = _fetch_once()
    if insists or _age(known) >= MAX_AGE_SECONDS:
        patience = PATIENCE_SECONDS if insists else SHORT_PATIENCE_SECONDS
        await asyncio.wait((fetching,), timeout=patience)
        with suppress(UpstreamUnreachable, UpstreamTimeout):
            return fetching.result() if fetching.done() else known
    return known


# user id → when the user will have all their wishes again.
_wishes: dict[int, float] = {}


async def fresh(user_id: int | None = None) -> Catalog:
    """The catalog, asked for after this call: for names that the present one does not know.

    Callers wait for their turn rather than get an older one: a model that came a moment ago
    must not pass for a text. `user_id`: on whose account it is; who causes many waits longer.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    if user_id is not None:
        await _turn_of(user_id)
    called_at = monotonic()
    while _current is None or _current.fetched_at < called_at:
        if _current is not None:
            await asyncio.sleep(_current.fetched_at + _spacing() - monotonic())
        if _current is None or _current.fetched_at < called_at:
            await current(max_age_seconds=0)
    return _current


def _spacing() -> float:
    return min(MAX_SPACING_SECONDS, max(SPACING_SECONDS, SPACING_FACTOR * _took))


async def _turn_of(user_id: int) -> None:
    now = monotonic()
    for other in [other for other, full in _wishes.items() if full <= now]:
        del _wishes[other]
    full = _wishes[user_id] = max(_wishes.get(user_id, now), now) + WISH_SECONDS
    await asyncio.sleep(max(0.0, full - now - WISHES * WISH_SECONDS))


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
    global _current, _took, _was_told
    started, former, was_told = monotonic(), _current, _was_told
    _was_told = False
    _current = await fetch(former)
    _took = monotonic() - started
    if started < _expired_at:
        expire()
    is_new = former is not None and former.digests != _current.digests
    if is_new and not was_told:
        bus.announce(CHANGED)
    return _current
