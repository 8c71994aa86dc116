"""What the worker does for the gateway: look after prompts, clear up behind deleted users."""

import asyncio
import logging

from celery import shared_task

from accounts.errors import GatewayError
from comfyproxy import (
    clearing,
    filerecords,
    nsfwscan,
    quarantine,
    reconcile,
    scoring,
    stall,
    storage,
    upstream,
    wake,
)
from comfyproxy.filters.queue import ids_in
from comfyproxy.queuewatch import Snapshot, look
from comfyproxy.userdata import trees

logger = logging.getLogger(__name__)


@shared_task
def reconcile_prompts() -> None:
    """Bring all records up to date with ComfyUI, and see whether its worker lives."""
    try:
        snapshot = asyncio.run(_settle())
    except GatewayError as error:
        logger.info("records could not be brought up to date: %s", error)
        stall.unreachable()
        return
    row = stall.observe(
        ids_in(snapshot.queue, "queue_running"), ids_in(snapshot.queue, "queue_pending")
    )
    if row.fault:
        logger.error("%s", row.fault)


async def _settle() -> Snapshot:
    try:
        try:
            return await reconcile.settle(None)
        except GatewayError:
            raise
        except Exception:
            # Whether ComfyUI's worker lives is to be seen all the same.
            logger.exception("records could not be brought up to date")
            return await look()
    finally:
        await upstream.close()


@shared_task
def forget_old_temp_files() -> None:
    """Delete records of temp files that ComfyUI has long removed."""
    forgotten = filerecords.forget_old_temp()
    if forgotten:
        logger.info("forgot %d temp files", forgotten)


@shared_task
def judge_pictures() -> None:
    """Tell which new pictures are explicit, and go on with a scan of all."""
    if nsfwscan.judge_pictures():
        wake.scorer()


@shared_task
def purge_quarantine() -> None:
    """Delete what lies in quarantine too long, and temporary files that crashes left."""
    scoring.remove_leftovers()
    gone, left = quarantine.purge()
    if gone or left:
        logger.info("quarantine: %d files deleted, %d cannot be from here", gone, left)


@shared_task
def clear_former() -> None:
    """Clear away what deleted users left and what could not be before."""
    left = clearing.clear()
    if left:
        logger.info("%d deleted users have left something that cannot be cleared away yet", left)


@shared_task
def measure_storage() -> None:
    """Note how much room each user's files take."""
    storage.measure()


@shared_task
def trim_user_files() -> None:
    """Remove versions of people's files that are too old, and what crashes left."""
    for tree in trees.all_trees():
        try:
            tree.trim()
        except (GatewayError, OSError) as error:
            logger.warning("former versions could not be trimmed: %s", error)
