"""ComfyUI's history entries by their ids, and what they say of their prompts."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

from accounts import metrics
from comfyproxy import comfyjson, upstream
from comfyproxy.connections import last_broke
from comfyproxy.kept import Kept

# At a time, for all callers together: each may be megabytes, and ComfyUI has one loop.
_PARALLEL: Final = 32
# An entry does not change once it is there; it may go, with others when ComfyUI has ten thousand
# of them, or with all others when ComfyUI restarts, which is noticed. A page polls its list every
# second or two.
KEPT_SECONDS: Final = 30.0
# As ComfyUI sent them; in memory they take several times as much.
MAX_KEPT_BYTES: Final = 16 * 1024 * 1024

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class _Entry:
    """As ComfyUI sent it, everything of everybody's still in it. Never to be changed."""

    value: Any
    size: int
    asked_at: float


_kept: Kept[str, _Entry] = Kept(MAX_KEPT_BYTES, lambda entry: entry.size)


async def history_entries(ids: Iterable[str], *, max_age: float = 0.0) -> dict[str, Any]:
    """ComfyUI's history entries, asked for one by one. None where it has none; ids about
    which it gave no usable answer are left out. `max_age`: how many seconds ago an entry that
    is there may have been asked for.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    loop = asyncio.get_running_loop()
    slots = _slots.setdefault(loop, asyncio.Semaphore(_PARALLEL))
    found: dict[str, Any] = {}

    async def one(pid: str) -> None:
        async with slots:
            status, raw = await upstream.get_body(f"/history/{upstream.segment(pid)}")
        answer = await comfyjson.parsed_aside(raw)
        if status != 200 or not isinstance(answer, dict):
            return
        found[pid] = answer.get(pid)
        if found[pid] is None:
            _kept.forget(pid)
        else:
            _kept.put(pid, _Entry(found[pid], len(raw), asked_at))

    asked = []
    asked_at = monotonic()
    since = max(asked_at - max_age, last_broke())
    _kept.shed(lambda entry: entry.asked_at < asked_at - KEPT_SECONDS)
    for pid in ids:
        entry = _kept.get(pid) if max_age else None
        is_fresh = entry is not None and entry.asked_at > since
        if max_age:
            metrics.looked_up("history", was_there=is_fresh)
        if entry is not None and is_fresh:
            found[pid] = entry.value
        else:
            asked.append(pid)
    if asked:
        await asyncio.gather(*(one(pid) for pid in asked))
    return found
