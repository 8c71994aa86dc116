"""What went with deleted users and is hidden from everybody, kept in memory for 5 s."""

from dataclasses import dataclass
from time import monotonic
from typing import Final

from django.db import transaction

from accounts.bus import bus
from accounts.dbthread import in_db_thread
from comfyproxy.files import FileRef
from comfyproxy.models import FileRecord, FormerNamespace

TTL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Gone:
    namespaces: frozenset[str] = frozenset()
    # That ComfyUI may still hold.
    prompt_ids: frozenset[str] = frozenset()


_gone = _Gone()
_deadline = float("-inf")
_changes = 0


async def covers_namespace(namespace: str) -> bool:
    """Whether what lies in that folder is hidden. It costs a query at most every 5 s; a
    deletion that was not heard of is noticed that much later."""
    return namespace in (await _current()).namespaces


async def covers_prompt(prompt_id: str) -> bool:
    """Whether ComfyUI may still hold a prompt of that id which was a deleted user's: whoever
    took the id for theirs would be shown it."""
    return prompt_id in (await _current()).prompt_ids


async def covers_file(ref: FileRef) -> bool:
    """Whether a file outside all namespaces was a deleted user's alone, and nobody's since."""
    rows = FileRecord.objects.filter(
        key=FileRecord.key_of(ref), former__isnull=False, owners__isnull=True
    )
    return await in_db_thread(rows.exists)


def _forget() -> None:
    global _changes, _deadline
    _changes += 1
    _deadline = float("-inf")


_forget_everywhere = bus.everywhere("tombstones", _forget)


def changed() -> None:
    """Somebody was deleted just now: read again."""
    transaction.on_commit(_forget_everywhere)


async def _current() -> _Gone:
    # A database that does not answer raises: nothing is shown that may be hidden.
    global _gone, _deadline
    if monotonic() >= _deadline:
        until, changes = monotonic() + TTL_SECONDS, _changes
        _gone = await in_db_thread(_read)
        if changes == _changes:
            _deadline = until
    return _gone


def _read() -> _Gone:
    rows = FormerNamespace.objects.filter(keep_files=False)
    held = rows.filter(done_at=None).values_list("prompt_ids", flat=True)
    return _Gone(
        frozenset(rows.values_list("namespace", flat=True)),
        frozenset(prompt_id for ids in held for prompt_id in ids),
    )
