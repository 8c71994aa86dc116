"""What the admin's first page tells of ComfyUI: what runs and waits, its memory, and how much
people had it do."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db.models import Count, Sum
from django.urls import reverse

from accounts.dashboard import Notice
from accounts.errors import GatewayError
from accounts.models import User
from comfyproxy import nsfwapi, stall, upstream
from comfyproxy.filters.queue import ids_in
from comfyproxy.models import Backend, PromptRecord
from comfyproxy.queuewatch import Snapshot, look

# The page must not wait for a ComfyUI that does not answer.
ANSWER_SECONDS: Final = 3.0
MAX_SHOWN: Final = 10
MAX_LATEST: Final = 5
NO_WORKER: Final = "The gateway's worker does not run: nobody looked after ComfyUI for a while."


@dataclass(frozen=True, slots=True)
class Memory:
    """How much of something is used, in bytes."""

    name: str
    used: int
    total: int

    @property
    def percent(self) -> int:
        return round(100 * self.used / self.total) if self.total else 0


@dataclass
class Now:
    """ComfyUI at this moment. Prompts in order of execution; of those that the gateway did not
    send there is no record."""

    answers: bool = False
    version: str = ""
    running: list[PromptRecord] = field(default_factory=list)
    waiting: list[PromptRecord] = field(default_factory=list)
    total_running: int = 0
    total_waiting: int = 0
    memory: list[Memory] = field(default_factory=list)


async def look_now() -> Now:
    """ComfyUI's queue with whose it is, and its memory. No error: `answers` tells."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            snapshot, stats = await asyncio.gather(look(), upstream.get_json("/system_stats"))
    except (TimeoutError, GatewayError):
        return Now()
    return await _described(snapshot, stats)


async def _described(snapshot: Snapshot, stats: Any) -> Now:
    running = ids_in(snapshot.queue, "queue_running")
    waiting = ids_in(snapshot.queue, "queue_pending")
    shown = [pid for pid in [*running, *waiting[:MAX_SHOWN]] if pid in snapshot.owners]
    rows = PromptRecord.objects.filter(pk__in=shown).select_related("user")
    records = {str(row.pk): row async for row in rows}
    return Now(
        answers=True,
        version=version_in(stats),
        running=[records[pid] for pid in running if pid in records],
        waiting=[records[pid] for pid in waiting[:MAX_SHOWN] if pid in records],
        total_running=len(running),
        total_waiting=len(waiting),
        memory=memory_in(stats),
    )


def latest() -> list[PromptRecord]:
    """The prompts that were sent last."""
    return list(PromptRecord.objects.select_related("user")[:MAX_LATEST])


def version_in(stats: Any) -> str:
    """ComfyUI's version, of its answer to `/system_stats`; empty if it does not tell."""
    system = stats.get("system") if isinstance(stats, dict) else None
    version = system.get("comfyui_version") if isinstance(system, dict) else None
    return str(version)[:40] if version else ""


def memory_in(stats: Any) -> list[Memory]:
    """The memory of the machine and its devices, of ComfyUI's answer to `/system_stats` (0.3.64:
    system.ram_total, ram_free; devices[].name, vram_total, vram_free). What it does not tell is
    left out."""
    if not isinstance(stats, dict):
        return []
    system, devices = stats.get("system"), stats.get("devices")
    found = [_memory("RAM", system, "ram")] if isinstance(system, dict) else []
    for device in devices if isinstance(devices, list) else ():
        if isinstance(device, dict) and device.get("type") != "cpu":
            found.append(_memory(str(device.get("name", "GPU"))[:60], device, "vram"))
    return [memory for memory in found if memory is not None]


def _memory(name: str, numbers: dict[str, Any], kind: str) -> Memory | None:
    total, free = numbers.get(f"{kind}_total"), numbers.get(f"{kind}_free")
    if not isinstance(total, int) or not isinstance(free, int) or not 0 <= free <= total > 0:
        return None
    return Memory(name, total - free, total)


def notices(now: Now) -> Iterator[Notice]:
    """What of ComfyUI wants putting right."""
    row = Backend.objects.first()
    page = reverse("admin:comfyproxy_backend_changelist")
    if not now.answers:
        yield Notice(
            "ComfyUI does not answer.", "Start it, or correct COMFYUI_URL.", page, urgent=True
        )
    elif row is not None and row.fault and row.fault_since is not None:
        since = f"{row.fault_since:%d %B %Y, %H:%M} UTC".lstrip("0")
        yield Notice(f"{row.fault} Since {since}.", "Look at ComfyUI's log.", page, urgent=True)
    if not stall.is_looked_after(row):
        yield Notice(NO_WORKER, "The log of ./run says why it ended. Start it again.", page)
    classifier = nsfwapi.classifier()
    if classifier["configured"] != "none" and not classifier["name"]:
        yield Notice(
            f"The classifier {classifier['configured']} does not work: no picture is judged.",
            "The worker's log says why.",
            reverse("admin:comfyproxy_contentverdict_changelist"),
        )


@dataclass(frozen=True, slots=True)
class Use:
    """What somebody had ComfyUI do in a time."""

    name: str
    prompts: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def total_prompts(self) -> int:
        return sum(self.prompts)

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds)


def use_by_day(days: list[datetime], most: int) -> list[Use]:
    """Prompts and seconds of execution of each day that begins at one of `days` (ascending, the
    last is today's), of those `most` users who had most prompts; the others together come last.

    A query a day, each along the index: no database has to work out the day of a row.
    """
    ends = [*days[1:], None]
    counts: dict[int, list[int]] = {}
    seconds: dict[int, list[float]] = {}
    for index, (begin, end) in enumerate(zip(days, ends, strict=True)):
        rows = PromptRecord.objects.filter(created_at__gte=begin)
        rows = rows if end is None else rows.filter(created_at__lt=end)
        found = rows.order_by().values("user").annotate(n=Count("pk"), s=Sum("execution_seconds"))
        for user, number, time in found.values_list("user", "n", "s"):
            counts.setdefault(user, [0] * len(days))[index] = number
            seconds.setdefault(user, [0.0] * len(days))[index] = time or 0.0
    ranked = sorted(counts, key=lambda user: sum(counts[user]), reverse=True)
    names = dict(User.objects.filter(pk__in=ranked[:most]).values_list("pk", "username"))
    shown = [
        Use(names.get(user, "?"), tuple(counts[user]), tuple(seconds[user]))
        for user in ranked[:most]
    ]
    rest = ranked[most:]
    if rest:
        prompts = tuple(sum(counts[user][day] for user in rest) for day in range(len(days)))
        time = tuple(sum(seconds[user][day] for user in rest) for day in range(len(days)))
        shown.append(Use(f"{len(rest)} others", prompts, time))
    return shown
