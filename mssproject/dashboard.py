"""The admin's first page: who is on, what ComfyUI does, what waits for whoever administrates.

Each part is shown to whoever may see the list it is taken from. What changes by the second is a
part of the page (`live`) that its script asks for again.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest
from django.utils import timezone

from accounts import dashboard as people
from accounts.adminbase import actor_of
from accounts.dashboard import Notice
from comfyproxy import dashboard as comfyui
from comfyproxy.dashboard import Memory, Now, Use
from downloads import dashboard as downloads

DAYS: Final = 14
MAX_USERS: Final = 5
CHART_SECONDS: Final = 60
# A disk with less than this is low.
LOW_BYTES: Final = 5 * 1024**3
LOW_SHARE: Final = 0.05
# Beside each other in a bar and told apart by people who see colours otherwise (Okabe and Ito).
COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8a8a99")


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that the gateway or ComfyUI writes to."""

    name: str
    used: int
    total: int
    free: int

    @property
    def is_low(self) -> bool:
        return self.free < min(LOW_BYTES, LOW_SHARE * self.total)

    def as_memory(self) -> Memory:
        return Memory(f"Disk: {self.name}", self.used, self.total)


def page(request: HttpRequest) -> dict[str, Any]:
    """The whole page."""
    now = async_to_sync(comfyui.look_now)()
    context = live(request, now)
    if actor_of(request).is_superuser:
        context["notices"] = sorted(_notices(now), key=lambda notice: not notice.urgent)
    if _may_see(request, "comfyproxy.PromptRecord"):
        context |= _charts()
    return context


def live(request: HttpRequest, now: Now | None = None) -> dict[str, Any]:
    """What changes by the second."""
    parts: dict[str, Any] = {"links_users": _may_see(request, "accounts.User")}
    if _may_see(request, "accounts.Session"):
        present = people.who_is_on()
        shown = present[: comfyui.MAX_SHOWN]
        parts |= {"present": shown, "more_present": len(present) - len(shown)}
    if _may_see(request, "comfyproxy.PromptRecord"):
        found = now or async_to_sync(comfyui.look_now)()
        memory = [*found.memory, *(disk.as_memory() for disk in disks())]
        parts |= {"now": found, "memory": memory, "latest": comfyui.latest()}
    if _may_see(request, "downloads.DownloadJob"):
        jobs, total = downloads.active()
        parts |= {"jobs": jobs, "total_jobs": total}
    if _may_see(request, "accounts.AuditEntry"):
        parts["failed_logins"] = people.failed_logins()
    return parts


def _may_see(request: HttpRequest, model: str) -> bool:
    model_admin = admin.site.get_model_admin(apps.get_model(model))
    return bool(model_admin.has_view_permission(request))


# --- what wants putting right --------------------------------------------------------------


def _notices(now: Now) -> Iterator[Notice]:
    yield from comfyui.notices(now)
    yield from people.notices()
    for disk in disks():
        if disk.is_low:
            left = f"{disk.free / 1024**3:.1f} GB"
            yield Notice(
                f"The disk of {disk.name} is nearly full: {left} are left.",
                "Delete outputs or models, or give it more room.",
                urgent=True,
            )
    if _pending():
        yield Notice(
            "The database is older than the program: an update of its schema is pending.",
            "Stop the gateway and start it again with ./run, which updates it.",
            urgent=True,
        )
    if _is_guessable(settings.SECRET_KEY):
        yield Notice(
            "SECRET_KEY looks like an example: whoever guesses it can log in as anybody.",
            "Leave it out, and the gateway makes one; or set 50 random characters.",
            urgent=True,
        )


def _pending() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _is_guessable(key: str) -> bool:
    """As Django's own check (security.W009), whose shortest length is not ours."""
    return len(set(key)) < 5 or key.startswith("django-insecure-") or "change" in key.lower()


def disks() -> list[Disk]:
    """The file systems of this machine that are written to, each once."""
    places: dict[str, Path | None] = {
        "the gateway": settings.MSS_DATA_DIR,
        "models": settings.COMFYUI_MODELS_DIR,
        "outputs": settings.COMFYUI_FOLDERS["output"],
        "inputs": settings.COMFYUI_FOLDERS["input"],
    }
    found: dict[int, tuple[list[str], Path]] = {}
    for name, path in places.items():
        try:
            device = None if path is None else path.stat().st_dev
        except OSError:
            continue
        if path is not None and device is not None:
            found.setdefault(device, ([], path))[0].append(name)
    shown = []
    for names, path in found.values():
        usage = shutil.disk_usage(path)
        shown.append(Disk(", ".join(names), usage.total - usage.free, usage.total, usage.free))
    return shown


# --- charts --------------------------------------------------------------------------------


def _charts() -> dict[str, Any]:
    # Kept for a minute, as it counts everybody's prompts of two weeks. The first is seen at once.
    shown: dict[str, Any] = cache.get("dashboard-charts") or _counted()
    if shown["uses"]:
        cache.add("dashboard-charts", shown, CHART_SECONDS)
    return shown


def _counted() -> dict[str, Any]:
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    uses = comfyui.use_by_day(days, MAX_USERS)
    if not uses:
        return {"uses": []}
    return {
        "uses": uses,
        "days": DAYS,
        "prompts_chart": _chart(days, uses, lambda use: use.prompts),
        "minutes_chart": _chart(
            days, uses, lambda use: [round(seconds / 60, 1) for seconds in use.seconds]
        ),
        "chart_options": json.dumps(_OPTIONS),
    }


_OPTIONS: Final = {
    "maintainAspectRatio": False,
    "animation": False,
    "plugins": {"legend": {"display": True, "position": "bottom"}},
    "scales": {"x": {"stacked": True, "grid": {"display": False}}, "y": {"stacked": True}},
}


def _chart(days: list[datetime], uses: list[Use], values: Callable[[Use], Any]) -> str:
    """As Chart.js takes it."""
    return json.dumps(
        {
            "labels": [f"{day:%d %b}" for day in days],
            "datasets": [
                {"label": use.name, "data": list(values(use)), "backgroundColor": colour}
                for use, colour in zip(uses, COLOURS, strict=False)
            ],
        }
    )
