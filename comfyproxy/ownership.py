"""Whose prompt is it? Written before ComfyUI is asked, remembered in memory afterwards.

An owner never changes, so what was once read stays true; the memory is bounded.
"""

import hashlib
import hmac
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from accounts.dbthread import in_db_thread
from accounts.errors import Conflict
from comfyproxy.filters.queue import Ownership
from comfyproxy.models import PromptRecord

MAX_REMEMBERED: Final = 50_000
# A record that was never confirmed counts as lost after this long: the request it belongs
# to has run into its time-out by then.
UNCONFIRMED: Final = timedelta(minutes=5)
# SQLite bounds the parameters of one statement, and a client may name any number of ids.
_CHUNK: Final = 1000
_LIVE: Final = (PromptRecord.State.SUBMITTING, PromptRecord.State.ACCEPTED)

_memory: OrderedDict[str, Ownership] = OrderedDict()
_lock = threading.Lock()


def upstream_client_id(namespace: str, client_id: str | None) -> str:
    """The id under which ComfyUI knows a client of this user.

    An HMAC: nobody can reach another's socket by knowing or guessing an id, and a prompt
    without one still has an id that nobody listens to (without any, ComfyUI broadcasts).
    """
    message = f"{namespace}\0{'' if client_id is None else 'c' + client_id}".encode()
    key = hashlib.sha256(b"comfyproxy.client_id\0" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:32]


async def record(
    user_id: int, prompt_id: str | None, client_id: str | None, result_nodes: Iterable[str] = ()
) -> tuple[str, int]:
    """Write down that `user_id` is about to submit a prompt: (its id, the user's number).

    Raises:
        Conflict PROMPT_ID_TAKEN: somebody, not necessarily the caller, has used that id
    """
    identifier = prompt_id or str(uuid.uuid4())
    ownership = await in_db_thread(_record, user_id, identifier, client_id, frozenset(result_nodes))
    _remember(identifier, ownership)
    return identifier, ownership.number


def _record(
    user_id: int, prompt_id: str, client_id: str | None, result_nodes: frozenset[str]
) -> Ownership:
    with transaction.atomic():
        last = PromptRecord.objects.filter(user_id=user_id).aggregate(last=Max("number"))["last"]
        number = 0 if last is None else last + 1
        try:
            with transaction.atomic():
                PromptRecord.objects.create(
                    prompt_id=prompt_id,
                    user_id=user_id,
                    client_id=client_id,
                    number=number,
                    result_nodes=sorted(result_nodes),
                )
        except IntegrityError:
            raise Conflict(
                "This prompt_id was used before. Choose another.",
                code="PROMPT_ID_TAKEN",
                field="prompt_id",
            ) from None
    return Ownership(user_id, client_id, number, result_nodes)


async def accepted(prompt_id: str) -> None:
    """ComfyUI took the prompt."""
    await in_db_thread(_set_state, [prompt_id], PromptRecord.State.ACCEPTED)


async def not_accepted(prompt_id: str) -> None:
    """ComfyUI refused the prompt, or was never asked: no record stays."""
    with _lock:
        _memory.pop(prompt_id, None)
    await in_db_thread(PromptRecord.objects.filter(prompt_id=prompt_id).delete)


async def lost(prompt_ids: Iterable[str]) -> None:
    """ComfyUI has none of these any more."""
    await in_db_thread(_set_state, list(prompt_ids), PromptRecord.State.LOST)


async def removed(prompt_ids: Iterable[str]) -> None:
    """Their owner took them out of the queue or the history."""
    await in_db_thread(_set_state, list(prompt_ids), PromptRecord.State.REMOVED)


def _set_state(prompt_ids: list[str], state: PromptRecord.State) -> None:
    for chunk in _chunks(prompt_ids):
        PromptRecord.objects.filter(prompt_id__in=chunk).update(state=state)


def remembered(prompt_id: str) -> Ownership | None:
    """What this process knows by heart; None says nothing."""
    return _memory.get(prompt_id)


async def owners(prompt_ids: Iterable[str]) -> dict[str, Ownership]:
    """Whose these prompts are; unknown ids are left out. One query per thousand that are not
    known by heart."""
    wanted = set(prompt_ids)
    known = {pid: owner for pid in wanted if (owner := _memory.get(pid)) is not None}
    missing = [pid for pid in wanted if pid not in known and _is_uuid(pid)]
    if missing:
        found = await in_db_thread(_read, missing)
        for pid, owner in found.items():
            _remember(pid, owner)
        known |= found
    return known


def _read(prompt_ids: list[str]) -> dict[str, Ownership]:
    fields = ("prompt_id", "user_id", "client_id", "number", "result_nodes")
    return {
        str(pid): Ownership(user, client, number, frozenset(nodes))
        for chunk in _chunks(prompt_ids)
        for pid, user, client, number, nodes in PromptRecord.objects.filter(
            prompt_id__in=chunk
        ).values_list(*fields)
    }


def _chunks(prompt_ids: list[str]) -> Iterator[list[str]]:
    return (prompt_ids[start : start + _CHUNK] for start in range(0, len(prompt_ids), _CHUNK))


async def live_prompts(user_id: int | None, *, offset: int, limit: int) -> list[tuple[str, bool]]:
    """Prompts that ComfyUI may still know, newest first: (id, whether ComfyUI took it).

    `user_id` None: everybody's.
    """
    return await in_db_thread(_live, user_id, offset, limit)


def _live(user_id: int | None, offset: int, limit: int) -> list[tuple[str, bool]]:
    rows = PromptRecord.objects.filter(state__in=_LIVE).order_by("-created_at", "-prompt_id")
    if user_id is not None:
        rows = rows.filter(user_id=user_id)
    cut = timezone.now() - UNCONFIRMED
    return [
        (str(row.prompt_id), row.state == PromptRecord.State.ACCEPTED or row.created_at < cut)
        for row in rows[offset : offset + limit]
    ]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _remember(prompt_id: str, ownership: Ownership) -> None:
    with _lock:
        _memory[prompt_id] = ownership
        _memory.move_to_end(prompt_id)
        while len(_memory) > MAX_REMEMBERED:
            _memory.popitem(last=False)
