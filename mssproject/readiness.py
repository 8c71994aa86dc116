"""`GET /readyz`: can people work? Database, ComfyUI and its worker, each named. Open to all: it
tells load balancers and monitors, and nothing about anybody."""

import asyncio
from time import monotonic
from typing import Final

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.dbthread import in_db_thread
from accounts.errors import GatewayError, MethodNotAllowed
from comfyproxy import stall, upstream
from comfyproxy.models import Backend

OK: Final = "ok"
ANSWER_SECONDS: Final = 5.0
# However often it is asked, ComfyUI and the database are asked once in so long.
KEPT_SECONDS: Final = 2.0
NOT_LOOKED: Final = "Nobody looked for a while. Is the gateway's worker running?"

_kept: tuple[float, dict[str, str]] | None = None
_turn = asyncio.Lock()


@csrf_exempt  # it changes nothing, and would refuse other methods with a page
async def ready(request: HttpRequest) -> HttpResponse:
    """200 if people can work, also with a warning; 503 if they cannot."""
    if request.method not in ("GET", "HEAD"):
        refused = MethodNotAllowed(headers={"Allow": "GET, HEAD"})
        headers = {**refused.headers, "Cache-Control": "no-store"}
        return JsonResponse(refused.body(), status=refused.status, headers=headers)
    parts = await _parts()
    fatal = (parts["database"], parts["comfyui"]) != (OK, OK) or parts["comfyui_worker"] in (
        stall.DEAD,
        stall.UNREACHABLE,
    )
    status = "unavailable" if fatal else OK if set(parts.values()) == {OK} else "degraded"
    answer = JsonResponse({"status": status, **parts}, status=503 if fatal else 200)
    answer["Cache-Control"] = "no-store"
    return answer


async def _parts() -> dict[str, str]:
    global _kept
    async with _turn:
        if _kept is None or monotonic() - _kept[0] > KEPT_SECONDS:
            comfyui, (database, worker) = await asyncio.gather(_comfyui(), _records())
            parts = {"database": database, "comfyui": comfyui, "comfyui_worker": worker}
            _kept = monotonic(), parts
        return _kept[1]


async def _comfyui() -> str:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await upstream.get_json("/prompt")
    except (TimeoutError, GatewayError):
        return stall.UNREACHABLE
    return OK if isinstance(answer, dict) else stall.UNREACHABLE


async def _records() -> tuple[str, str]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            row = await in_db_thread(Backend.objects.first)
    except (TimeoutError, DatabaseError):
        return "The database does not answer.", "unknown"
    if row is None or not stall.is_looked_after(row):
        return OK, NOT_LOOKED
    return OK, row.fault or OK
