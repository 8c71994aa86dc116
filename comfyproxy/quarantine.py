"""Files that administrators put out of everybody's reach, kept in memory for 5 s."""

import logging
import time
from collections.abc import Collection
from datetime import timedelta
from time import monotonic
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.bus import bus
from accounts.capabilities import ADMIN_RANK
from accounts.dbthread import in_db_thread
from accounts.identity import Identity
from comfyproxy import erasure
from comfyproxy.files import FileRef
from comfyproxy.models import FileRecord

logger = logging.getLogger(__name__)

TTL_SECONDS: Final = 5.0
# After this long they are deleted, where this machine can.
KEPT_FOR: Final = timedelta(days=30)

_keys: frozenset[str] = frozenset()
_deadline = float("-inf")
_changes = 0


async def hides(ref: FileRef, identity: Identity) -> bool:
    """Whether a file is out of this caller's reach. It costs a query at most every 5 s; a
    change that was not heard of is noticed that much later."""
    keys = await _current()
    return bool(keys) and FileRecord.key_of(ref) in keys and identity.rank < ADMIN_RANK


def put(records: Collection[int]) -> int:
    """Put files out of reach; how many were not already."""
    rows = FileRecord.objects.filter(pk__in=records, quarantined_at=None)
    number = rows.update(quarantined_at=timezone.now())
    changed()
    return number


def restore(records: Collection[int]) -> int:
    """Give files back; how many that were."""
    rows = FileRecord.objects.filter(pk__in=records, quarantined_at__isnull=False)
    number = rows.update(quarantined_at=None)
    changed()
    return number


def due(kept_for: timedelta = KEPT_FOR) -> QuerySet[FileRecord]:
    """What lies in quarantine longer than that."""
    return FileRecord.objects.filter(quarantined_at__lt=timezone.now() - kept_for)


def delete(record: FileRecord) -> bool:
    """Delete a file for good; False where it cannot be from here: it stays hidden."""
    folder = settings.COMFYUI_FOLDERS.get(record.type)
    if folder is None:
        return False
    if not erasure.remove_file(folder, record.ref, written_before=time.time()):
        return False
    record.delete()
    return True


def purge() -> tuple[int, int]:
    """Delete what lies in quarantine too long: (how many are gone, how many cannot be deleted
    from here and stay hidden)."""
    deleted = [delete(record) for record in due()]
    gone = sum(deleted)
    if gone:
        changed()
    return gone, len(deleted) - gone


def _forget() -> None:
    global _changes, _deadline
    _changes += 1
    _deadline = float("-inf")


_forget_everywhere = bus.everywhere("quarantine", _forget)


def changed() -> None:
    """Files were put here or given back just now: read again."""
    transaction.on_commit(_forget_everywhere)


async def _current() -> frozenset[str]:
    # A database that does not answer raises: nothing is shown that may be hidden.
    global _keys, _deadline
    if monotonic() >= _deadline:
        until, changes = monotonic() + TTL_SECONDS, _changes
        _keys = await in_db_thread(_read)
        if changes == _changes:
            _deadline = until
    return _keys


def _read() -> frozenset[str]:
    rows = FileRecord.objects.filter(quarantined_at__isnull=False)
    return frozenset(rows.values_list("key", flat=True))
