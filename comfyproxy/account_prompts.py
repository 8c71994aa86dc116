"""A person's own prompts, for our extension of ComfyUI's page: what waits, runs and has ended."""

from collections.abc import Iterable
from typing import Any, Final

from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import HasIdentity, caller
from accounts.api.base import GatewayView
from accounts.capabilities import Capability
from comfyproxy import reconcile
from comfyproxy.filters.queue import ids_in
from comfyproxy.models import FileOwner, PromptRecord
from comfyproxy.shownfiles import address_of, is_picture

MAX_ENDED: Final = 20
MAX_WAITING: Final = 100
# Of one prompt: a batch may have made hundreds.
MAX_PICTURES: Final = 8
MAX_FILES: Final = 1000


class OwnPromptsView(GatewayView):
    """GET: the caller's prompts, those that wait or run first, then the latest that ended.

    {prompts: [{prompt_id, state, ahead, created_at, execution_seconds, pictures: [address]}]}.
    `state` is `running`, `waiting` or how it ended; `ahead`, of a waiting one, how many
    prompts of anybody come before it.
    """

    permission_classes = (HasIdentity,)

    def get(self, request: Request) -> Response:
        _, identity = caller(request)
        identity.require(Capability.ACCESS_API)
        queue = async_to_sync(reconcile.settle)(identity.user_id).queue
        places = places_of(queue)
        own = PromptRecord.objects.filter(user=identity.user_id)
        under_way = list(
            own.filter(state__in=PromptRecord.UNFINISHED).order_by("created_at")[:MAX_WAITING]
        )
        under_way.sort(key=lambda row: places.get(str(row.pk), len(places)))
        ended = list(own.exclude(state__in=PromptRecord.UNFINISHED)[:MAX_ENDED])
        pictures = _pictures(ended)
        return Response(
            {
                "prompts": [
                    _as_json(row, places.get(str(row.pk)), pictures.get(str(row.pk), []))
                    for row in (*under_way, *ended)
                ]
            }
        )


def places_of(queue: Any) -> dict[str, int]:
    """Prompt id → how many prompts come before it, of those that wait; -1 of one that runs."""
    running = ids_in(queue, "queue_running")
    waiting = ids_in(queue, "queue_pending")
    before = {prompt_id: len(running) + at for at, prompt_id in enumerate(waiting)}
    return {**before, **dict.fromkeys(running, -1)}


def _as_json(row: PromptRecord, place: int | None, pictures: list[str]) -> dict[str, Any]:
    state = row.state
    if state in PromptRecord.UNFINISHED:
        state = "running" if place == -1 else "waiting"
    return {
        "prompt_id": str(row.pk),
        "state": state,
        "ahead": place if state == "waiting" else None,
        "created_at": row.created_at,
        "execution_seconds": row.execution_seconds,
        "pictures": pictures,
    }


def _pictures(rows: Iterable[PromptRecord]) -> dict[str, list[str]]:
    """Prompt id → addresses of what it made."""
    found: dict[str, list[str]] = {}
    files = FileOwner.objects.filter(prompt__in=rows, file__quarantined_at=None)
    for owned in files.select_related("file").order_by("-pk")[:MAX_FILES]:
        addresses = found.setdefault(str(owned.prompt_id), [])
        if is_picture(owned.file.ref) and len(addresses) < MAX_PICTURES:
            addresses.append(address_of(owned.file.ref))
    return {prompt_id: addresses[::-1] for prompt_id, addresses in found.items()}
