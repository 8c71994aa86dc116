"""What is known of contents: which content a file has, what a classifier and people say of it.

Kept in memory for 5 s; a change counts at once, or that much later where it was not heard of.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.bus import bus
from accounts.dbthread import in_db_thread
from accounts.models import User
from comfyproxy.files import FileRef
from comfyproxy.models import ContentVerdict, FileContent, FileRecord
from comfyproxy.nsfw.score import Scored
from comfyproxy.nsfw.standing import Standing

TTL_SECONDS: Final = 5.0
MAX_KEPT: Final = 10_000

# (file, version) → what was read, and until when it holds.
_kept: OrderedDict[tuple[FileRef, str], tuple[Standing | None, float]] = OrderedDict()
_changes = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A content that was looked at: its hash, its size, and what is known of it."""

    sha256: str
    size: int
    standing: Standing | None


async def of_file(ref: FileRef, version: str) -> Standing | None:
    """What is known of the content of a file's version; None: which content it is, or all of
    it, is not known."""
    key = ref, version
    kept = _kept.get(key)
    if kept is not None and monotonic() < kept[1]:
        return kept[0]
    until, changes = monotonic() + TTL_SECONDS, _changes
    found = await in_db_thread(_of_file, ref, version)
    # What is not known yet is about to be, by another process perhaps.
    if found is not None and changes == _changes:
        _kept[key] = found, until
        _kept.move_to_end(key)
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
    return found


def _of_file(ref: FileRef, version: str) -> Standing | None:
    rows = FileContent.objects.filter(file__key=FileRecord.key_of(ref), version=version)
    row = rows.select_related("content").first()
    return None if row is None else standing_of(row.content)


def content_of(ref: FileRef, version: str) -> str | None:
    """The hash of a file's version, if it is known."""
    rows = FileContent.objects.filter(file__key=FileRecord.key_of(ref), version=version)
    return rows.values_list("content_id", flat=True).first()


async def of_content(sha256: str) -> Standing | None:
    """What is known of a content."""
    return await in_db_thread(of_content_now, sha256)


def of_content_now(sha256: str) -> Standing | None:
    row = ContentVerdict.objects.filter(pk=sha256).first()
    return None if row is None else standing_of(row)


def standing_of(row: ContentVerdict) -> Standing:
    """A row as the policy judges it."""
    looked = row.scored_at is not None
    return Standing(
        tag=row.tag,
        score=row.score,
        classifier=(row.classifier, row.classifier_version) if looked else None,
        reason=row.reason,
        is_final=row.is_final,
        attempts=row.attempts,
    )


def save_content(sha256: str, scored: Scored | None, classifier: tuple[str, str] | None) -> None:
    """Write down that there is such a content, and, if one looked, what a classifier (None: a
    mere look at its kind) made of it."""
    row, _ = ContentVerdict.objects.get_or_create(pk=sha256)
    if scored is None:
        return
    name, version = classifier or ("", "")
    is_same = (row.classifier, row.classifier_version) == (name, version)
    rows = ContentVerdict.objects.filter(pk=sha256)
    rows.update(
        score=None if scored.score is None else scored.score.value,
        label="" if scored.score is None else scored.score.label[:60],
        classifier=name[:60],
        classifier_version=version[:60],
        reason=scored.reason[:30],
        is_final=scored.is_final,
        attempts=F("attempts") + 1 if is_same else 1,
        scored_at=timezone.now(),
    )
    changed()


@transaction.atomic
def save_file(ref: FileRef, version: str, sha256: str, size: int) -> None:
    """Write down which content a file's version has; the content must be known."""
    FileRecord.objects.bulk_create([FileRecord.of(ref)], ignore_conflicts=True)
    record = FileRecord.objects.get(key=FileRecord.key_of(ref))
    FileContent.objects.update_or_create(
        file=record,
        version=version,
        defaults={"content_id": sha256, "size": size, "seen_at": timezone.now()},
    )
    FileRecord.objects.filter(pk=record.pk).update(unscored_since=None)
    changed()


@transaction.atomic
def tag(
    hashes: Iterable[str],
    value: str,
    actor: User,
    *,
    score: float | None = None,
    label: str = "",
) -> list[str]:
    """Have contents count as explicit or not (`ContentVerdict.Tag`; empty: as the classifier
    says); those whose tag changed by it."""
    rows = list(ContentVerdict.objects.select_for_update().filter(pk__in=list(hashes)))
    different = [row.sha256 for row in rows if row.tag != value]
    ContentVerdict.objects.filter(pk__in=[row.pk for row in rows]).update(
        tag=value,
        tag_score=score,
        tag_label=label[:60],
        tagged_by=actor,
        tagged_at=timezone.now(),
    )
    transaction.on_commit(changed)
    return different


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _forget() -> None:
    global _changes
    _changes += 1
    _kept.clear()


# What was read is to be read again, by every web process.
changed: Final = bus.everywhere("verdicts", _forget)
