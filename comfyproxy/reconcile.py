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

from django.db import Error as DatabaseError

from accounts.errors import GatewayError
from comfyproxy import filerecords, fileversions, ownership
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
# What was written this long after a prompt's end is not its.
_SLACK_SECONDS: Final = 2.0
# A file system's clock is a few milliseconds behind (a tick of the kernel's).
_CLOCK_SECONDS: Final = 0.01
# Of one prompt. Of a file outside the namespaces ComfyUI is asked whether the run wrote it.
MAX_OWN_FILES: Final = 1000
MAX_OUTSIDE_FILES: Final = 200
_PARALLEL: Final = 8

# Prompts whose end this process wrote down: an entry does not change any more.
MAX_NOTED: Final = 20_000
_noted: dict[str, None] = {}
_noting: "dict[str, asyncio.Task[None]]" = {}

# A lock lives as long as somebody holds it or waits for it.
_turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
_last_look: dict[int, float] = {}


async def settle(user_id: int | None) -> Snapshot:
    """Find out how those prompts of a user (None: everybody's) ended whose end was not seen;
    the queue as it was meanwhile.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    return await settle_these(await ownership.unfinished(user_id))


async def settle_these(unfinished: dict[str, bool]) -> Snapshot:
    """As `settle`, of these (`ownership.unfinished`)."""
    # In this order, records, queue, history: what ComfyUI had taken when the record was read,
    # and is in neither queue nor history later, is gone for good.
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
    """Write down what history entries (id → entry or None) tell: ends, times, files. Of those
    who come with the same prompt at the same time one does it."""
    told = {pid: entry for pid, entry in entries.items() if isinstance(entry, dict)}
    owners = await ownership.owners(pid for pid in told if pid not in _noted)
    tasks = {pid: _under_way(pid) or _begin(pid, owner, told[pid]) for pid, owner in owners.items()}
    if tasks:
        # One who leaves must not end the work of the others.
        await asyncio.shield(asyncio.gather(*tasks.values()))


def _under_way(prompt_id: str) -> "asyncio.Task[None] | None":
    task = _noting.get(prompt_id)
    # One that was cancelled, or failed a moment ago, has not written anything down.
    return None if task is None or task.done() else task


def _begin(prompt_id: str, owner: Ownership, entry: Any) -> "asyncio.Task[None]":
    task = _noting[prompt_id] = asyncio.ensure_future(_note(prompt_id, owner, entry))
    task.add_done_callback(lambda _: _forget(prompt_id, task))
    return task


def _forget(prompt_id: str, task: "asyncio.Task[None]") -> None:
    if _noting.get(prompt_id) is task:
        del _noting[prompt_id]


async def _note(prompt_id: str, owner: Ownership, entry: Any) -> None:
    outcome = outcome_of(entry)
    # Files first: once a prompt counts as finished, nobody looks at it again.
    try:
        await attribute(prompt_id, owner, output_files(entry.get("outputs")), outcome)
    except (GatewayError, DatabaseError):
        raise
    except Exception:
        # Whatever a node reports: one odd entry must not keep all others from being noted.
        logger.exception("the files of prompt %s could not be noted", prompt_id)
    await ownership.finished({prompt_id: outcome})
    _noted[prompt_id] = None
    while len(_noted) > MAX_NOTED:
        _noted.pop(next(iter(_noted)), None)


async def attribute(
    prompt_id: str,
    owner: Ownership,
    refs: Iterable[FileRef],
    outcome: Outcome,
    *,
    outside_only: int | None = None,
) -> None:
    """Record the files that a prompt reported as its owner's: those in their own folder, and
    those in nobody's that its run wrote. A node may report any name, and ComfyUI's cache a
    file of an earlier run; what the run did not write is its owner's only if it was before.

    `outside_only`: only so many, and none of the own folder.
    """
    found = [ref for ref in dict.fromkeys(refs) if is_attributable(ref, owner.namespace)]
    own = [ref for ref in found if is_own(ref, owner.namespace)]
    outside = [ref for ref in found if not is_own(ref, owner.namespace)]
    files = {} if outside_only is not None else dict.fromkeys(own[:MAX_OWN_FILES], "")
    slots = asyncio.Semaphore(_PARALLEL)

    async def version(ref: FileRef) -> tuple[FileRef, str | None]:
        async with slots:
            return ref, await _own_version(ref, owner.user_id, outcome)

    looked = outside[: MAX_OUTSIDE_FILES if outside_only is None else outside_only]
    for ref, tag in await asyncio.gather(*map(version, looked)):
        if tag is not None:
            files[ref] = tag
    await filerecords.add(files, owner.user_id, prompt_id, made_at=outcome.finished_at)


async def _own_version(ref: FileRef, user_id: int, outcome: Outcome) -> str | None:
    """The present version of a file outside the namespaces, if it is the user's: written by
    the run, or by an earlier one of theirs."""
    present = await fileversions.version_of(ref.filename, ref.subfolder, ref.type)
    if present is None:
        return None
    if _was_written(present.written, outcome):
        return present.tag
    return present.tag if present.tag in await filerecords.versions_of(ref, user_id) else None


def _was_written(moment: float, outcome: Outcome) -> bool:
    """Whether something was written by that run; not, where its start is not known."""
    start, end = outcome.started_ms, outcome.finished_ms
    if start is None or moment < start / 1000 - _CLOCK_SECONDS:
        return False
    return end is None or moment <= end / 1000 + _SLACK_SECONDS


async def settle_soon(user_id: int) -> None:
    """As `settle`, for somebody who asks for a file that nobody knows: at most once in
    `SPACING_SECONDS` for each user, and once for all who wait for it."""
    if not await ownership.unfinished(user_id, limit=1):
        return
    turn = _turns.setdefault(user_id, asyncio.Lock())
    asked_at = monotonic()
    async with turn:
        last = _last_look.get(user_id, float("-inf"))
        if last > asked_at:
            return
        await asyncio.sleep(last + SPACING_SECONDS - monotonic())
        _last_look[user_id] = monotonic()
        await settle(user_id)
