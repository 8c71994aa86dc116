"""Records brought up to date with ComfyUI: how prompts ended, when, and which files they made.

The relay sees most ends as they happen. What it misses (a restart of either side, a client
without a socket) is found here: by the worker every few seconds, and whenever somebody asks
for something that may depend on it.
"""

import asyncio
import logging
from collections.abc import Iterable
from time import monotonic
from typing import Any, Final
from weakref import WeakValueDictionary

from comfyproxy import filerecords, ownership, upstream
from comfyproxy.entries import history_entries
from comfyproxy.files import FileRef, is_attributable, is_own
from comfyproxy.filters.outcome import Outcome, outcome_of
from comfyproxy.filters.outputs import output_files
from comfyproxy.filters.queue import Ownership, prompt_ids
from comfyproxy.queuewatch import Snapshot, look

logger = logging.getLogger(__name__)

# Entries are in memory together; each may be megabytes.
_PAGE: Final = 64
# Between two looks for a file that nobody knows, for each user.
SPACING_SECONDS: Final = 1.0
# File times are rounded up to whole seconds (aiohttp); what was written this long after a
# prompt's end is not its.
_SLACK_SECONDS: Final = 2.0

# Prompts whose end this process wrote down: an entry does not change any more.
MAX_NOTED: Final = 50_000
_noted: dict[str, None] = {}

# A lock lives as long as somebody holds it or waits for it.
_turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
_last_look: dict[int, float] = {}


async def settle(user_id: int | None) -> Snapshot:
    """Find out how those prompts of a user (None: everybody's) ended whose end was not seen;
    the queue as it was meanwhile.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    # In this order, records, queue, history: what ComfyUI had taken when the record was read,
    # and is in neither queue nor history later, is gone for good.
    unfinished = await ownership.unfinished(user_id)
    snapshot = await look()
    waiting = set(prompt_ids(snapshot.queue))
    gone = [pid for pid in unfinished if pid not in waiting]
    for start in range(0, len(gone), _PAGE):
        entries = await history_entries(gone[start : start + _PAGE])
        await note_entries(entries)
        lost = [pid for pid, entry in entries.items() if entry is None and unfinished[pid]]
        if lost:
            logger.info("ComfyUI knows %d prompts no more", len(lost))
            await ownership.lost(lost)
    return snapshot


async def ended(prompt_id: str) -> None:
    """Note a prompt whose end was just announced.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    await note_entries(await history_entries([prompt_id]))


async def note_entries(entries: dict[str, Any]) -> None:
    """Write down what history entries (id → entry or None) tell: ends, times, files."""
    told = {
        pid: entry
        for pid, entry in entries.items()
        if isinstance(entry, dict) and pid not in _noted
    }
    if not told:
        return
    owners = await ownership.owners(told)
    outcomes = {pid: outcome_of(entry) for pid, entry in told.items() if pid in owners}
    # Files first: once a prompt counts as finished, nobody looks at it again.
    for pid, outcome in outcomes.items():
        refs = output_files(told[pid].get("outputs"))
        await attribute(pid, owners[pid], refs, outcome)
    await ownership.finished(outcomes)
    for pid in outcomes:
        _noted[pid] = None
    while len(_noted) > MAX_NOTED:
        _noted.pop(next(iter(_noted)), None)


async def attribute(
    prompt_id: str, owner: Ownership, refs: Iterable[FileRef], outcome: Outcome
) -> None:
    """Record the files that a prompt reported as its owner's.

    ComfyUI's cache may report a file to several users' prompts; then it is theirs together.
    A name that was written anew belongs to whose prompt wrote it.
    """
    found = [
        ref
        for ref in dict.fromkeys(refs)
        if is_attributable(ref, owner.namespace, owner.named_files)
    ]
    outside = [ref for ref in found if not is_own(ref, owner.namespace)]
    contested = await filerecords.with_other_owners(outside, owner.user_id) if outside else ()
    verdicts = {ref: await _written(ref, outcome) for ref in contested}
    await filerecords.add(
        [ref for ref in found if verdicts.get(ref) is not None or ref not in verdicts],
        owner.user_id,
        prompt_id,
        taken_over=[ref for ref, is_new in verdicts.items() if is_new],
        made_at=outcome.finished_at,
    )


async def _written(ref: FileRef, outcome: Outcome) -> bool | None:
    """Whether the run wrote the file (True) or found it in the cache (False); None where that
    cannot be told, or the file was written after the run. What was written within the second
    before its start counts as the run's."""
    if outcome.started_ms is None:
        return None
    written = await upstream.written_at(ref.filename, ref.subfolder, ref.type)
    if written is None:
        return None
    end = None if outcome.finished_ms is None else outcome.finished_ms / 1000
    if end is not None and written > end + _SLACK_SECONDS:
        return None
    return written >= outcome.started_ms / 1000


async def settle_soon(user_id: int) -> bool:
    """As `settle`, for somebody who asks for a file that nobody knows; False, and nothing
    done, if that was only just tried."""
    turn = _turns.setdefault(user_id, asyncio.Lock())
    asked_at = monotonic()
    async with turn:
        last = _last_look.get(user_id, float("-inf"))
        if last > asked_at:
            # Somebody looked while this one waited: that serves both.
            return True
        if monotonic() - last < SPACING_SECONDS:
            return False
        await settle(user_id)
        _last_look[user_id] = monotonic()
        return True
