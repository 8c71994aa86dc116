"""What machines ask the gateway: `/healthz` (does it live?), `/readyz` (can people work? each part
named), `/metrics` (numbers, for Prometheus). None tells anything of anybody.

They are answered before host names, https and IP rules are looked at: who watches comes by the
machine's address, over plain http, and wants to know also what is broken.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from hmac import compare_digest
from time import monotonic
from typing import Final

import orjson
from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from accounts.addresses import address
from accounts.bus import RedisAway, bus
from accounts.credentials import header
from accounts.dbthread import in_db_thread
from accounts.errors import (
    AuthRequired,
    GatewayError,
    MethodNotAllowed,
    PermissionDenied,
    TokenInvalid,
)
from accounts.unexpected import refusal_of
from comfyproxy import stall, upstream
from comfyproxy.asgitypes import Scope
from comfyproxy.calls import JSON_TYPE, Reply, refusal
from comfyproxy.models import Backend
from mssproject import exposition
from mssproject.models import TaskRun

logger = logging.getLogger(__name__)

OK: Final = "ok"
ANSWER_SECONDS: Final = 5.0
# However often it is asked, ComfyUI and the database are asked once in so long.
KEPT_SECONDS: Final = 2.0
# The worker's and the downloader's clocks tick every 15 s (`mssproject.celery`).
SILENT: Final = timedelta(seconds=60)
_TICKS: Final = {
    "worker": "comfyproxy.tasks.reconcile_prompts",
    "downloader": "downloads.tasks.work",
}
NOT_LOOKED: Final = "Nobody looked for a while. Is the gateway's worker running?"
NO_WORKER: Final = "No worker has reported for a while. Start one: ./run worker"
NO_DATABASE: Final = "The database does not answer."
NO_REDIS: Final = "Redis does not answer."
UNKNOWN: Final = "unknown"
_NO_STORE: Final = (b"cache-control", b"no-store")
_PLAIN: Final = (b"content-type", exposition.CONTENT_TYPE.encode())
# What a proxy adds: its client is not this machine, although the proxy may be.
_FORWARDED: Final = (b"x-forwarded-for", b"x-real-ip", b"forwarded", b"via")

Probe = Callable[[Scope, str], Awaitable[Reply]]

_kept: tuple[float, dict[str, str]] | None = None
_turn = asyncio.Lock()


async def answer(scope: Scope, peer: str) -> Reply | None:
    """The answer to a probe; None if the request is none.

    `peer`: the address at the other end of the connection, whatever its headers say.
    """
    probe = PROBES.get(scope["raw_path"])
    if probe is None:
        return None
    if scope["method"] not in ("GET", "HEAD"):
        return refusal(MethodNotAllowed(headers={"Allow": "GET, HEAD"}))
    try:
        return await probe(scope, peer)
    except GatewayError as refused:
        return refusal(refused)
    except Exception as error:
        logger.exception("unexpected error at %s", scope["raw_path"].decode("latin-1"))
        return refusal(refusal_of(error))


async def alive(scope: Scope, peer: str) -> Reply:
    """200: this process answers. It asks nobody else."""
    return Reply(200, [JSON_TYPE, _NO_STORE], orjson.dumps({"status": OK}))


async def ready(scope: Scope, peer: str) -> Reply:
    """200 if people can work, also with a warning; 503 if they cannot."""
    found = await parts()
    fatal = (found["database"], found["comfyui"]) != (OK, OK) or found["comfyui_worker"] in (
        stall.DEAD,
        stall.UNREACHABLE,
    )
    status = "unavailable" if fatal else OK if set(found.values()) == {OK} else "degraded"
    body = orjson.dumps({"status": status, **found})
    return Reply(503 if fatal else 200, [JSON_TYPE, _NO_STORE], body)


async def metrics(scope: Scope, peer: str) -> Reply:
    """Prometheus's text format, for whoever has MSS_METRICS_TOKEN, or, if there is none, asks
    from this machine itself.

    Raises:
        AuthRequired, TokenInvalid, PermissionDenied
    """
    _admit(scope, peer)
    found = await parts()
    body = await asyncio.to_thread(exposition.text, found)
    return Reply(200, [_PLAIN, _NO_STORE], body)


PROBES: Final[Mapping[bytes, Probe]] = {
    b"/healthz": alive,
    b"/readyz": ready,
    b"/metrics": metrics,
}


def _admit(scope: Scope, peer: str) -> None:
    if settings.MSS_METRICS_TOKEN is None:
        came_from = address(peer)
        is_here = came_from is not None and came_from.is_loopback
        if not is_here or any(header(scope["headers"], name) for name in _FORWARDED):
            raise PermissionDenied("Only from this machine itself, or with MSS_METRICS_TOKEN.")
        return
    given = header(scope["headers"], b"authorization") or ""
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer":
        raise AuthRequired
    if not compare_digest(token.strip().encode(), settings.MSS_METRICS_TOKEN.encode()):
        raise TokenInvalid


async def parts() -> dict[str, str]:
    """Each part by its name: `ok`, or what is wrong with it."""
    global _kept
    async with _turn:
        if _kept is None or monotonic() - _kept[0] > KEPT_SECONDS:
            comfyui, broker, records = await asyncio.gather(_comfyui(), _broker(), _records())
            _kept = monotonic(), {"comfyui": comfyui, "broker": broker, **records}
        return _kept[1]


async def _comfyui() -> str:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            found = await upstream.get_json("/prompt")
    except (TimeoutError, GatewayError):
        return stall.UNREACHABLE
    return OK if isinstance(found, dict) else stall.UNREACHABLE


async def _broker() -> str:
    """Redis; what is embedded is a folder, as the database may be, and there is nobody to ask."""
    if not bus.exists:
        return OK
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await bus.command(lambda client: client.execute_command("PING"))
    except (TimeoutError, RedisAway):
        return NO_REDIS
    return OK


async def _records() -> dict[str, str]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            row, reported = await in_db_thread(_read)
    except (TimeoutError, DatabaseError):
        unknown = dict.fromkeys(("comfyui_worker", *_TICKS), UNKNOWN)
        return {"database": NO_DATABASE, **unknown}
    looked = NOT_LOOKED if row is None or not stall.is_looked_after(row) else row.fault or OK
    workers = {name: OK if task in reported else NO_WORKER for name, task in _TICKS.items()}
    return {"database": OK, "comfyui_worker": looked, **workers}


def _read() -> tuple[Backend | None, set[str]]:
    since = timezone.now() - SILENT
    recent = TaskRun.objects.filter(task__in=_TICKS.values(), started_at__gt=since)
    return Backend.objects.first(), set(recent.values_list("task", flat=True))
