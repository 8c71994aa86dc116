"""Is ComfyUI's worker alive? HTTP answers as if all were well after the worker has died.

Two signs: prompts wait and none runs; or one prompt runs for very long and nothing is heard
of it. ComfyUI has no way to ask; a restart is the cure (NOTES of 0.3.64, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.dbthread import later
from comfyproxy.models import Backend

# Between two prompts the worker may unload models or collect garbage.
IDLE_FOR: Final = timedelta(seconds=60)
# Nobody looked for longer: the gateway's own worker does not run.
LOOKED_WITHIN: Final = timedelta(minutes=2)
UNREACHABLE: Final = "ComfyUI does not answer. Start it, or correct COMFYUI_URL."
DEAD: Final = (
    "Prompts wait and none runs: ComfyUI's worker has died. Restart ComfyUI; what waits there is "
    "lost with it."
)
STUCK: Final = (
    "The running prompt shows no sign of life: ComfyUI's worker is stuck or has died. Interrupt "
    "the prompt; if that does not help, restart ComfyUI."
)
# Progress is told hundreds of times a second and written once in so long.
_PROGRESS_STEP_SECONDS: Final = 30.0
_last_progress = float("-inf")


@dataclass(frozen=True, slots=True)
class Signs:
    """What was seen so far: which prompt runs, since when it shows no progress; since when
    prompts wait while none runs."""

    running_id: str = ""
    running_since: datetime | None = None
    idle_since: datetime | None = None


def judge(
    former: Signs,
    running: Sequence[str],
    pending: Sequence[str],
    now: datetime,
    stuck_after: timedelta,
) -> tuple[Signs, str]:
    """The signs after one more look at the queue (ids of its parts), and what is wrong: a
    sentence, or nothing."""
    if running:
        same = running[0] == former.running_id and former.running_since is not None
        since = former.running_since if same else now
        signs = Signs(running[0], since)
        return signs, STUCK if since is not None and now - since >= stuck_after else ""
    if not pending:
        return Signs(), ""
    since = former.idle_since or now
    return Signs(idle_since=since), DEAD if now - since >= IDLE_FOR else ""


def is_looked_after(row: Backend | None) -> bool:
    """Whether the gateway's worker looked lately: it does every 15 s, if it runs."""
    if row is None or row.checked_at is None:
        return False
    return timezone.now() - row.checked_at <= LOOKED_WITHIN


def observe(running: Sequence[str], pending: Sequence[str], now: datetime | None = None) -> Backend:
    """Write down one more look at the queue."""
    now = now or timezone.now()
    with transaction.atomic():
        row, _ = Backend.objects.select_for_update().get_or_create(name="comfyui")
        former = Signs(row.running_id, row.running_since, row.idle_since)
        signs, fault = judge(
            former, running, pending, now, timedelta(minutes=settings.MSS_STALL_MINUTES)
        )
        row.running_id = signs.running_id[:300]
        row.running_since, row.idle_since = signs.running_since, signs.idle_since
        return _noted(row, fault, now)


def unreachable(now: datetime | None = None) -> Backend:
    """Write down that ComfyUI did not answer."""
    now = now or timezone.now()
    with transaction.atomic():
        row, _ = Backend.objects.select_for_update().get_or_create(name="comfyui")
        # What is seen next is another life of it, or may be.
        row.running_id, row.running_since, row.idle_since = "", None, None
        return _noted(row, UNREACHABLE, now)


def _noted(row: Backend, fault: str, now: datetime) -> Backend:
    if fault != row.fault:
        row.fault, row.fault_since = fault, now if fault else None
    row.checked_at = now
    row.save()
    return row


def progress() -> None:
    """Something was heard of the running prompt."""
    global _last_progress
    if monotonic() - _last_progress >= _PROGRESS_STEP_SECONDS:
        _last_progress = monotonic()
        later(_note_progress)


def _note_progress() -> None:
    Backend.objects.exclude(running_id="").update(running_since=timezone.now())
