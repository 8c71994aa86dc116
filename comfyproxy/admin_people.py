"""What the admin's list of users and the page of one tell of ComfyUI: prompts, storage, workflows,
and the models as that user sees them."""

from collections.abc import Callable
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from accounts.admin_users import UserAdmin
from accounts.admin_usertabs import MAX_ROWS, Tab
from accounts.errors import GatewayError
from accounts.middleware import page_identity
from accounts.models import User
from comfyproxy import catalog
from comfyproxy.admin_files import types_seen_of
from comfyproxy.api import effective_models
from comfyproxy.filekeeping import Holder
from comfyproxy.models import FileOwner, PromptRecord, StorageUse
from comfyproxy.modeltree import models_by_folder
from comfyproxy.shownfiles import address_of, is_picture

MAX_PROMPTS: Final = 24
# Of all these prompts: each may have made a thousand, and the first picture of each is shown.
MAX_FILES: Final = 2000


class TellsUse(UserAdmin):
    """Of the users' admin: its columns about what they do."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
        today = PromptRecord.objects.filter(user=OuterRef("pk"), created_at__gte=midnight)
        number = Subquery(today.order_by().values("user").annotate(n=Count("pk")).values("n"))
        kept = StorageUse.objects.filter(user=OuterRef("pk"))
        return (
            super()
            .get_queryset(request)
            .annotate(
                today=Coalesce(number, 0, output_field=IntegerField()),
                kept=Subquery(kept.values("total_bytes")),
            )
        )

    @admin.display(description="prompts today", ordering="today")
    def prompts_today(self, user: Any) -> int:
        return int(user.today)

    @admin.display(description="storage", ordering="kept")
    def storage(self, user: Any) -> str:
        return "" if user.kept is None else filesizeformat(user.kept)


EXPORTED: Final[dict[str, Callable[[Any], str]]] = {
    "prompts_today": lambda user: str(user.today),
    "storage_bytes": lambda user: "" if user.kept is None else str(user.kept),
}


# --- tabs ----------------------------------------------------------------------------------


def _prompts(request: HttpRequest, user: User) -> dict[str, Any]:
    rows = list(PromptRecord.objects.filter(user=user)[:MAX_PROMPTS])
    seen = types_seen_of(page_identity(request), user.pk)
    pictures: dict[Any, str] = {}
    files = FileOwner.objects.filter(prompt__in=rows).select_related("file").order_by("file_id")
    for owned in files[:MAX_FILES]:
        ref = owned.file.ref
        if owned.prompt_id not in pictures and is_picture(ref) and ref.type in seen:
            pictures[owned.prompt_id] = f"{address_of(ref)}&preview=webp;70"
    return {
        "prompts": [(row, pictures.get(row.pk)) for row in rows],
        "hidden": not seen,
    }


def _workflows(request: HttpRequest, user: User) -> dict[str, Any]:
    holder = Holder.of_user(user)
    entries = sorted(holder.tree.files(), key=lambda entry: entry.saved, reverse=True)
    use = StorageUse.objects.filter(user=user).first()
    return {
        "tree": holder.key,
        "entries": entries[:MAX_ROWS],
        "more": max(0, len(entries) - MAX_ROWS),
        "use": use,
    }


def _sees(request: HttpRequest, user: User) -> dict[str, Any]:
    """The lists of models as this user gets them, from what is known; nothing of theirs is used
    to ask."""
    try:
        found = models_by_folder(async_to_sync(catalog.to_show)().models.folders)
    except GatewayError as error:
        messages.warning(request, error.message)
        found = {}
    shown: dict[str, list[tuple[str, str]]] = {
        folder: [] for folder, names in found.items() if names
    }
    for item in effective_models(user, found):
        through = ", ".join(f"{each['holder']} {each['name']}" for each in item["through"])
        shown[item["folder"]].append((item["item_name"], through))
    return {"folders": [(folder, shown[folder], len(found[folder])) for folder in shown]}


_FOLDER: Final = "admin/accounts/user/tabs"

PROMPTS: Final = Tab(
    "prompts",
    "Prompts",
    "comfyproxy.PromptRecord",
    f"{_FOLDER}/prompts.html",
    "What this user had ComfyUI run, the latest first.",
    _prompts,
)
WORKFLOWS: Final = Tab(
    "workflows",
    "Workflows",
    "comfyproxy.UserTree",
    f"{_FOLDER}/workflows.html",
    "The workflows and other files this user saved in ComfyUI's page.",
    _workflows,
)
SEES: Final = Tab(
    "sees",
    "View as",
    "accounts.ModelGrant",
    f"{_FOLDER}/sees.html",
    "The lists of models as this user sees them in ComfyUI.",
    _sees,
)
