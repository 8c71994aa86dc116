"""What the worker does about pictures: judges new ones, and all of them when somebody asks."""

import asyncio
import logging
from time import monotonic
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from filelock import FileLock, Timeout

from accounts.dbthread import in_db_thread, in_writing_thread
from accounts.errors import GatewayError
from accounts.models import User
from comfyproxy import nsfwpolicy, scoring, upstream, verdicts
from comfyproxy.models import ContentVerdict, FileContent, FileRecord, NsfwScan
from comfyproxy.nsfw.kinds import may_be_visual
from comfyproxy.nsfw.standing import Decision, Policy, decide

logger = logging.getLogger(__name__)

# One run of the task: what is left is done by the next, so that others get their turn.
SLICE_SECONDS: Final = 20.0
_CHUNK: Final = 20


def judge_pictures() -> bool:
    """Judge pictures for a while, new ones first; whether some are left. One worker of this
    machine does; for a second that comes there is nothing to do."""
    try:
        with FileLock(settings.MSS_DATA_DIR / "judging.lock", timeout=0):
            until = monotonic() + SLICE_SECONDS
            policy = nsfwpolicy.policy_now()
            # In this order: a scan may take hours.
            return asyncio.run(_judge(policy, until))
    except Timeout:
        return False
    except GatewayError as error:
        logger.info("pictures could not be judged: %s", error)
        return False


async def _judge(policy: Policy, until: float) -> bool:
    try:
        return await _new_ones(policy, until) or await _scan(policy, until)
    finally:
        await upstream.close()


# --- new ones -----------------------------------------------------------------------------------


async def _new_ones(policy: Policy, until: float) -> bool:
    rows = FileRecord.objects.filter(unscored_since__isnull=False).order_by("unscored_since")
    if policy.classifier is None:
        # Only people tag; a picture's content is looked at when somebody asks for it. One that
        # is out of order for now is another matter: its pictures wait.
        if nsfwpolicy.kind() is None:
            await in_writing_thread(rows.update, unscored_since=None)
        return False
    while found := await in_db_thread(list, rows[:_CHUNK]):
        for record in found:
            await _look(record, policy)
            # Whatever came of it: who asks for it has it looked at again.
            same = FileRecord.objects.filter(pk=record.pk, unscored_since=record.unscored_since)
            await in_writing_thread(same.update, unscored_since=None)
            if monotonic() >= until:
                return True
    return False


async def _look(record: FileRecord, policy: Policy) -> None:
    """Raises UpstreamUnreachable, UpstreamTimeout: then nothing more can be looked at."""
    try:
        await scoring.look(record.ref, policy)
    except GatewayError:
        raise
    except Exception:
        # One odd file must not keep all others from being judged.
        logger.exception("%s could not be judged", record)


# --- a scan -------------------------------------------------------------------------------------


def begin_scan(actor: User | None) -> NsfwScan:
    """Have all known pictures judged that are not; the scan that runs already, if one does."""
    try:
        with transaction.atomic():
            total = FileRecord.objects.count()
            return NsfwScan.objects.create(started_by=actor, total=total)
    except IntegrityError:
        return NsfwScan.objects.get(status=NsfwScan.Status.RUNNING)


def stop_scan() -> bool:
    """Stop the scan that runs; whether one did."""
    rows = NsfwScan.objects.filter(status=NsfwScan.Status.RUNNING)
    return bool(rows.update(status=NsfwScan.Status.STOPPED, finished_at=timezone.now()))


async def _scan(policy: Policy, until: float) -> bool:
    running = NsfwScan.objects.filter(status=NsfwScan.Status.RUNNING)
    scan = await in_db_thread(running.first)
    while scan is not None:
        rows = FileRecord.objects.order_by("-pk")
        if scan.last_id is not None:
            rows = rows.filter(pk__lt=scan.last_id)
        found = await in_db_thread(list, rows[:_CHUNK])
        if not found:
            done = {"status": NsfwScan.Status.DONE, "finished_at": timezone.now()}
            await in_writing_thread(running.filter(pk=scan.pk).update, **done)
            return False
        for record in found:
            flagged = await _scanned(record, policy)
            step = {
                "last_id": record.pk,
                "done": F("done") + 1,
                "flagged": F("flagged") + int(flagged),
            }
            await in_writing_thread(running.filter(pk=scan.pk).update, **step)
            if monotonic() >= until:
                return True
        scan = await in_db_thread(running.first)
    return False


async def _scanned(record: FileRecord, policy: Policy) -> bool:
    """Whether a file is not to be shown; looked at if its present version was not."""
    if not may_be_visual(record.filename):
        return False
    latest = FileContent.objects.filter(file=record).select_related("content").order_by("-seen_at")
    known = await in_db_thread(latest.first)
    if known is None or decide(verdicts.standing_of(known.content), policy) is Decision.LOOK:
        await _look(record, policy)
        known = await in_db_thread(latest.first)
    return (
        known is not None and decide(verdicts.standing_of(known.content), policy) is Decision.BLOCK
    )


# --- what administrators do ---------------------------------------------------------------------


def forget_scores() -> int:
    """Forget what classifiers said; people's tags stay. How many contents that concerns."""
    return _forget(ContentVerdict.objects.filter(scored_at__isnull=False))


def look_again() -> int:
    """Have the worker look again at what came to nothing, or was judged by another classifier
    than the present one; at how many files."""
    policy = nsfwpolicy.policy_now()
    stale = ContentVerdict.objects.filter(score=None)
    if policy.classifier is not None:
        name, version = policy.classifier
        stale |= ContentVerdict.objects.exclude(classifier=name, classifier_version=version)
    _forget(stale)
    files = FileRecord.objects.filter(contents__content__in=stale)
    # Those that were never looked at, too.
    files |= FileRecord.objects.filter(contents=None, type__in=("output", "input"))
    return FileRecord.objects.filter(pk__in=files.values("pk")).update(
        unscored_since=timezone.now()
    )


def _forget(rows: QuerySet[ContentVerdict]) -> int:
    number = rows.update(
        score=None,
        label="",
        classifier="",
        classifier_version="",
        reason="",
        is_final=False,
        attempts=0,
        scored_at=None,
    )
    verdicts.changed()
    return number
