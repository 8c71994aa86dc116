"""Clears away what deleted users left: in ComfyUI's queue and history, and on the disk.

Run as often as one likes: what cannot be done yet (ComfyUI is down, a folder is not on this
machine) stays written down in its `FormerNamespace`.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils import timezone

from accounts.errors import GatewayError, UpstreamUnreachable
from comfyproxy import erasure, reconcile, upstream, variants
from comfyproxy.cancel import cancel
from comfyproxy.filters.queue import ids_in, prompt_ids
from comfyproxy.models import FileRecord, FormerNamespace
from comfyproxy.queuewatch import look

logger = logging.getLogger(__name__)

# An interrupted node may go on for a while; then the next run looks again.
WAIT_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.2
_CHUNK: Final = 1000
# File times are whole seconds in places, and another machine's clock.
_SLACK_SECONDS: Final = 2.0


def clear() -> int:
    """Clear away what there is; behind how many users something is left for a later run."""
    rows = list(FormerNamespace.objects.filter(done_at=None).order_by("deleted_at"))
    if not rows:
        return 0
    stopped = {pid for row in rows for pid in row.prompt_ids}
    removed = {pid for row in rows if not row.keep_files for pid in row.prompt_ids}
    try:
        left, known_until = asyncio.run(_clear_comfyui(stopped, removed))
    except GatewayError as error:
        logger.info("deleted users' prompts could not be cleared away yet: %s", error)
        left, known_until = stopped, None
    return sum(not _noted(row, left, known_until) for row in rows)


def _noted(row: FormerNamespace, left: Collection[str], known_until: float | None) -> bool:
    """Clear this one's files and write down how far it got; whether all is done."""
    row.prompt_ids = [pid for pid in row.prompt_ids if pid in left]
    # Before the prompts have ended, too: it may take long, and hidden is not deleted.
    erased = row.keep_files or _erased(row, known_until)
    row.done_at = timezone.now() if erased and not row.prompt_ids else None
    # Another run may have finished it meanwhile.
    FormerNamespace.objects.filter(pk=row.pk, done_at=None).update(
        prompt_ids=row.prompt_ids, done_at=row.done_at
    )
    return row.done_at is not None


async def _clear_comfyui(
    stopped: set[str], removed: Collection[str]
) -> tuple[set[str], float | None]:
    """Stop these prompts and remove those from the history. Which are left, and until when it
    is known who wrote which file (seconds since the epoch).

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    try:
        left = await _stop(stopped) if stopped else set()
        ended = sorted(set(removed) - left)
        for start in range(0, len(ended), _CHUNK):
            chunk = ended[start : start + _CHUNK]
            status, _ = await upstream.request_json("POST", "/history", {"delete": chunk})
            if status != 200:
                raise UpstreamUnreachable("ComfyUI did not remove history entries.")
        return left, await _known_until()
    finally:
        await upstream.close()


async def _stop(prompts: set[str]) -> set[str]:
    """Stop those prompts; which are still there after a while."""
    deadline = time.monotonic() + WAIT_SECONDS
    await cancel(prompts)
    while True:
        left = prompts.intersection(prompt_ids((await look()).queue))
        if not left or time.monotonic() >= deadline:
            return left
        await asyncio.sleep(_PAUSE_SECONDS)


async def _known_until() -> float:
    """Files written before this moment are recorded as their owners'. A prompt's are when it
    has ended, and it cannot have written any before it was queued."""
    now = time.time()
    snapshot = await reconcile.settle(None)
    running = ids_in(snapshot.queue, "queue_running")
    begun = [snapshot.owners[pid].created_ms / 1000 for pid in running if pid in snapshot.owners]
    return min([now, *begun]) - _SLACK_SECONDS


def _erased(row: FormerNamespace, known_until: float | None) -> bool:
    """Delete the user's folders, workflows included, and their files elsewhere; whether none is
    left."""
    done = True
    for saved in (settings.USERDATA_DIR, variants.folder()):
        done &= not saved.exists() or erasure.remove_namespace(saved, row.namespace)
    for kind, folder in settings.COMFYUI_FOLDERS.items():
        done &= folder is not None and (
            _removed_by_comfyui(kind, folder) or erasure.remove_namespace(folder, row.namespace)
        )
    for record in row.files.filter(owners=None):
        gone = _file_erased(record, known_until)
        if gone:
            record.delete()
        done &= gone
    return done


def _file_erased(record: FileRecord, known_until: float | None) -> bool:
    folder = settings.COMFYUI_FOLDERS.get(record.type)
    if folder is None:
        return False
    if _removed_by_comfyui(record.type, folder):
        return True
    if known_until is None:
        return False
    return erasure.remove_file(folder, record.ref, written_before=known_until)


def _removed_by_comfyui(kind: str, folder: Path) -> bool:
    """Whether a folder is not there because ComfyUI is not: it removes its temp folder whenever
    it starts and ends (its main.py, cleanup_temp)."""
    return kind == "temp" and not folder.exists()
