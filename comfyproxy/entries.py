"""ComfyUI's history entries by their ids, and what they say of their prompts."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from comfyproxy import upstream

_PARALLEL: Final = 16


async def history_entries(ids: Iterable[str]) -> dict[str, Any]:
    """ComfyUI's history entries, asked for one by one. None where it has none; ids about
    which it gave no usable answer are left out.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(pid: str) -> tuple[str, Any]:
        async with slots:
            return pid, await upstream.get_json(f"/history/{upstream.segment(pid)}")

    answers = await asyncio.gather(*(one(pid) for pid in ids))
    return {pid: answer.get(pid) for pid, answer in answers if isinstance(answer, dict)}
