"""ComfyUI's history entries by their ids, and what they say of their prompts."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

from comfyproxy import upstream

# At a time, for all callers together: each may be megabytes, and ComfyUI has one loop.
_PARALLEL: Final = 32

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def history_entries(ids: Iterable[str]) -> dict[str, Any]:
    """ComfyUI's history entries, asked for one by one. None where it has none; ids about
    which it gave no usable answer are left out.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    loop = asyncio.get_running_loop()
    slots = _slots.setdefault(loop, asyncio.Semaphore(_PARALLEL))

    async def one(pid: str) -> tuple[str, Any]:
        async with slots:
            return pid, await upstream.get_json(f"/history/{upstream.segment(pid)}")

    answers = await asyncio.gather(*(one(pid) for pid in ids))
    return {pid: answer.get(pid) for pid, answer in answers if isinstance(answer, dict)}
