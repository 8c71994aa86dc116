"""Whose files are those that no namespace tells of: records, remembered for a few seconds."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.dbthread import in_db_thread
from comfyproxy.files import FileRef
from comfyproxy.models import FileOwner, FileRecord

logger = logging.getLogger(__name__)

MAX_REMEMBERED: Final = 20_000
# So many of a user's own files are listed at most.
MAX_LISTED: Final = 1000
# A file can become another's (a node writes the same name again), also in another process.
REMEMBERED_SECONDS: Final = 5.0
# ComfyUI empties its temp folder whenever it starts.
TEMP_KEPT_FOR: Final = timedelta(days=30)
# SQLite bounds the parameters of one statement.
_CHUNK: Final = 500

_memory: OrderedDict[tuple[str, int], float] = OrderedDict()
_lock = threading.Lock()


async def is_owner(ref: FileRef, user_id: int) -> bool:
    """Whether this file is recorded as that user's."""
    place = (FileRecord.key_of(ref), user_id)
    if _memory.get(place, 0.0) > monotonic():
        return True
    owners = FileOwner.objects.filter(file__key=place[0], user_id=user_id)
    if not await in_db_thread(owners.exists):
        return False
    _remember([place])
    return True


async def with_other_owners(refs: Iterable[FileRef], user_id: int) -> set[FileRef]:
    """Those of the files that are recorded as somebody else's (too)."""
    by_key = {FileRecord.key_of(ref): ref for ref in refs}
    found = await in_db_thread(_with_other_owners, list(by_key), user_id)
    return {by_key[key] for key in found}


def _with_other_owners(keys: list[str], user_id: int) -> set[str]:
    return {
        key
        for start in range(0, len(keys), _CHUNK)
        for key in FileOwner.objects.filter(file__key__in=keys[start : start + _CHUNK])
        .exclude(user_id=user_id)
        .values_list("file__key", flat=True)
    }


async def add(
    refs: Collection[FileRef],
    user_id: int,
    prompt_id: str | None,
    *,
    taken_over: Collection[FileRef] = (),
    made_at: datetime | None = None,
) -> None:
    """Record files as that user's, made by that prompt (None: uploaded) at that moment (None:
    now). Those that were `taken_over` are nobody else's from now on."""
    if not refs:
        return
    await in_db_thread(_add, list(refs), user_id, prompt_id, list(taken_over), made_at)
    gone = {FileRecord.key_of(ref) for ref in taken_over}
    if gone:
        with _lock:
            for place in [place for place in _memory if place[0] in gone]:
                del _memory[place]
    _remember((FileRecord.key_of(ref), user_id) for ref in refs)


def _add(
    refs: list[FileRef],
    user_id: int,
    prompt_id: str | None,
    taken_over: list[FileRef],
    moment: datetime | None = None,
) -> None:
    try:
        for start in range(0, len(refs), _CHUNK):
            with transaction.atomic():
                _add_chunk(refs[start : start + _CHUNK], user_id, prompt_id, taken_over, moment)
    except IntegrityError:
        logger.info("files of %s are nobody's: their user was deleted meanwhile", prompt_id)


def _add_chunk(
    refs: list[FileRef],
    user_id: int,
    prompt_id: str | None,
    taken_over: list[FileRef],
    moment: datetime | None,
) -> None:
    # In one order everywhere: two processes may write the same ones.
    rows = sorted((FileRecord.of(ref, moment) for ref in refs), key=lambda row: row.key)
    FileRecord.objects.bulk_create(rows, ignore_conflicts=True)
    keys = [row.key for row in rows]
    found = FileRecord.objects.filter(key__in=keys).values_list("pk", flat=True)
    former = [FileRecord.key_of(ref) for ref in taken_over if ref in refs]
    if former:
        FileOwner.objects.filter(file__key__in=former).exclude(user_id=user_id).delete()
    FileOwner.objects.bulk_create(
        [FileOwner(file_id=pk, user_id=user_id, prompt_id=prompt_id) for pk in found],
        ignore_conflicts=True,
    )


def _remember(places: Iterable[tuple[str, int]]) -> None:
    deadline = monotonic() + REMEMBERED_SECONDS
    with _lock:
        for place in places:
            _memory[place] = deadline
            _memory.move_to_end(place)
        while len(_memory) > MAX_REMEMBERED:
            _memory.popitem(last=False)


async def of_user(
    user_id: int, kind: str, *, limit: int, except_in: str | None = None
) -> list[str]:
    """The user's own files in that folder of ComfyUI's, as a path below it, newest first;
    those that lie directly in the sub folder `except_in` are left out."""
    files = FileRecord.objects.filter(type=kind, owners__user_id=user_id)
    if except_in is not None:
        files = files.exclude(subfolder=except_in)
    rows = (
        files.order_by("-created_at", "-pk").values_list("subfolder", "filename").distinct()[:limit]
    )
    return [FileRef(kind, *row).path for row in await in_db_thread(list, rows)]


def forget_old_temp() -> int:
    """Delete records of temp files that ComfyUI has long removed; how many."""
    old = FileRecord.objects.filter(type="temp", created_at__lt=timezone.now() - TEMP_KEPT_FOR)
    return old.delete()[1].get("comfyproxy.FileRecord", 0)
