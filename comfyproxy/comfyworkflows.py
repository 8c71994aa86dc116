"""ComfyUI's own saved workflows, which everybody may read: its user/default/workflows."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from accounts import errors
from comfyproxy import upstream
from comfyproxy.userdata.entries import Entry
from comfyproxy.userdata.names import WORKFLOWS, parse

logger = logging.getLogger(__name__)

MAX_AGE_SECONDS: Final = 30.0
# Who lists files waits no longer for a ComfyUI that does not answer.
PATIENCE_SECONDS: Final = 5.0
MAX_FILES: Final = 5000
MAX_BYTES: Final = 100 * 1024 * 1024
_LISTING: Final = f"/userdata?dir={WORKFLOWS}&recurse=true&full_info=true"

_known: dict[str, Entry] = {}
_asked_at: float | None = None
_asking: asyncio.Task[None] | None = None


async def listed() -> Mapping[str, Entry]:
    """ComfyUI's workflows by path; those known last while it is away."""
    global _asking
    if _asked_at is None or monotonic() - _asked_at >= MAX_AGE_SECONDS:
        if _asking is None or _asking.done():
            _asking = asyncio.ensure_future(_ask())
        # Not awaited itself: who leaves must not end it for the others.
        await asyncio.wait((_asking,), timeout=PATIENCE_SECONDS)
    return _known


async def read(path: str) -> tuple[Entry, bytes]:
    """One of them.

    Raises:
        NotFound: ComfyUI lists none of that name
        UpstreamUnreachable, UpstreamTimeout
    """
    entry = (await listed()).get(path)
    if entry is None:
        raise errors.NotFound
    answer = await upstream.stream("GET", f"/userdata/{upstream.segment(path)}")
    try:
        if answer.status != 200:
            raise errors.NotFound
        return entry, await answer.read(MAX_BYTES)
    finally:
        answer.close()


async def _ask() -> None:
    global _known, _asked_at
    found: Any = None
    with suppress(errors.UpstreamUnreachable, errors.UpstreamTimeout):
        path, _, query = _LISTING.partition("?")
        status, found = await upstream.request_json("GET", path, query=query.encode())
        if status == 404:  # nobody has saved one there
            found = []
    _asked_at = monotonic()
    if isinstance(found, list):
        entries = [_entry(each) for each in found[:MAX_FILES]]
        _known = {entry.path: entry for entry in entries if entry is not None}


def _entry(info: Any) -> Entry | None:
    """One of ComfyUI's list; None for what could not be asked for."""
    if not isinstance(info, dict) or not isinstance(info.get("path"), str):
        return None
    try:
        path = parse(f"{WORKFLOWS}/{info['path']}")
        return Entry(path, int(info["size"]), float(info["modified"]), float(info["created"]))
    except (errors.BadRequest, KeyError, TypeError, ValueError, OverflowError):
        return None
