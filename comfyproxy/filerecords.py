"""Whose files are those that no namespace tells of: records of who made them, and which version.

A file outside the namespaces is somebody's as long as it is the version that their prompt
wrote. A node may write the same name again for somebody else, or report a name that it was
merely told; neither makes the file theirs.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.dbthread import in_db_thread, in_writing_thread, later
from comfyproxy import wake
from comfyproxy.files import FileRef
from comfyproxy.models import FileOwner, FileRecord
from comfyproxy.nsfw.kinds import may_be_visual

logger = logging.getLogger(__name__)

# So many of a user's own files are listed at most.
MAX_LISTED: Final = 1000
# ComfyUI empties its temp folder whenever it starts.
TEMP_KEPT_FOR: Final = timedelta(days=30)
# SQLite bounds the parameters of one statement.
_CHUNK: Final = 500


async def versions_of(ref: FileRef, user_id: int | None) -> set[str]:
    """The versions of this file that are that user's (None: anybody's); empty: none."""
    rows = FileOwner.objects.filter(file__key=FileRecord.key_of(ref))
    if user_id is not None:
        rows = rows.filter(user_id=user_id)
    return set(await in_db_thread(list, rows.values_list("version", flat=True)))


async def add(
    files: Mapping[FileRef, str],
    user_id: int,
    prompt_id: str | None,
    *,
    made_at: datetime | None = None,
) -> None:
    """Record files, each with its version, as that user's, made by that prompt (None:
    uploaded) at that moment (None: now)."""
    if files:
        await in_writing_thread(_add, files, user_id, prompt_id, made_at)


def _add(
    files: Mapping[FileRef, str],
    user_id: int,
    prompt_id: str | None,
    made_at: datetime | None = None,
) -> None:
    moment = made_at or timezone.now()
    refs = list(files)
    try:
        for start in range(0, len(refs), _CHUNK):
            part = {ref: files[ref] for ref in refs[start : start + _CHUNK]}
            with transaction.atomic():
                _add_chunk(part, user_id, prompt_id, moment)
        later(wake.scorer)
    except IntegrityError:
        logger.info("files of %s are nobody's: their user was deleted meanwhile", prompt_id)


def _add_chunk(
    files: Mapping[FileRef, str], user_id: int, prompt_id: str | None, moment: datetime
) -> None:
    prompt = None if prompt_id is None else UUID(prompt_id)
    versions = {FileRecord.key_of(ref): version for ref, version in files.items()}
    owners = [
        FileOwner(
            file=row,
            user_id=user_id,
            prompt_id=prompt,
            type=row.type,
            version=versions[row.key],
            made_at=moment,
        )
        for row in _written(files, moment)
    ]
    FileOwner.objects.bulk_create(owners, ignore_conflicts=True)
    for row in owners:
        if row.version:
            # Written once more by the same prompt.
            same = FileOwner.objects.filter(file_id=row.file_id, user_id=user_id)
            same.filter(prompt_id=prompt).exclude(version=row.version).update(version=row.version)


def _written(refs: Iterable[FileRef], moment: datetime) -> list[FileRecord]:
    """The records of these files, which were there or are from now on."""
    by_key = {row.key: row for row in (FileRecord.of(ref, moment) for ref in refs)}
    # In one order everywhere: two processes may write the same ones.
    rows = [by_key[key] for key in sorted(by_key)]
    pictures = [row for row in rows if may_be_visual(row.filename)]
    others = [row for row in rows if not may_be_visual(row.filename)]
    for row in pictures:
        # For the worker that judges pictures; the message to it may be lost, this is not.
        row.unscored_since = moment
    FileRecord.objects.bulk_create(
        pictures, update_conflicts=True, unique_fields=["key"], update_fields=["unscored_since"]
    )
    FileRecord.objects.bulk_create(others, ignore_conflicts=True)
    # Where an insert may meet a row that is there, and from SQLite before 3.35, no id comes back.
    unknown = [row.key for row in rows if row.pk is None]
    found = FileRecord.objects.filter(key__in=unknown) if unknown else ()
    return [*(row for row in rows if row.pk is not None), *found]


async def of_user(
    user_id: int, kind: str, *, limit: int, except_in: str | None = None
) -> list[str]:
    """The user's own files in that folder of ComfyUI's, as a path below it, newest first;
    those that lie directly in the sub folder `except_in` are left out."""
    return await in_db_thread(_of_user, user_id, kind, limit, except_in)


def _of_user(user_id: int, kind: str, limit: int, except_in: str | None) -> list[str]:
    rows = FileOwner.objects.filter(user_id=user_id, type=kind).order_by("-made_at", "-pk")
    if except_in is not None:
        rows = rows.exclude(file__subfolder=except_in)
    # A file of several prompts is there several times.
    found = rows.values_list("file__subfolder", "file__filename")[: 2 * limit]
    return list(dict.fromkeys(FileRef(kind, *row).path for row in found))[:limit]


def forget_old_temp() -> int:
    """Delete records of temp files that ComfyUI has long removed; how many."""
    old = FileRecord.objects.filter(type="temp", created_at__lt=timezone.now() - TEMP_KEPT_FOR)
    return old.delete()[1].get("comfyproxy.FileRecord", 0)
