"""Whose prompt is it? Written before ComfyUI is asked, remembered in memory afterwards.

An owner changes only when a user is deleted, and nobody comes as that user any more: what was
once read stays true enough. The memory is bounded.
"""

import hashlib
import hmac
import threading
import uuid
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone

from accounts import metrics
from accounts.compiled import OfUser
from accounts.dbthread import in_db_thread, in_writing_thread
from accounts.errors import Conflict, TokenRevoked
from accounts.models import User
from comfyproxy import tombstones
from comfyproxy.filters.outcome import Outcome
from comfyproxy.filters.queue import Ownership
from comfyproxy.models import PromptRecord

T = TypeVar("T")

# Twice what ComfyUI keeps in its history.
MAX_REMEMBERED: Final = 20_000
# A record that was never confirmed counts as lost after this long: the request it belongs
# to has run into its time-out by then.
UNCONFIRMED: Final = timedelta(minutes=5)
# SQLite bounds the parameters of one statement, and a client may name any number of ids.
_CHUNK: Final = 1000
_SUBMITTING: Final = (PromptRecord.State.SUBMITTING,)
# A lost one may turn up after all, or be one that is being cancelled: whoever looks between its
# leaving the queue and the word about it finds it nowhere.
_NOT_SEEN_TO_END: Final = (*PromptRecord.UNFINISHED, PromptRecord.State.LOST)
# Looked after at once; older ones wait for their turn.
MAX_UNFINISHED: Final = 10_000
# The pages that polls ask for.
_SHORT_PAGE: Final = 64

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


@dataclass(frozen=True, slots=True)
class NewPrompt:
    """What is written down of a prompt before ComfyUI is asked. `prompt_id` None: one is made."""

    prompt_id: str | None
    client_id: str | None
    result_nodes: frozenset[str] = frozenset()
    workflow_id: str = ""
    size_bytes: int = 0


class MoreMeanwhile(Exception):
    """The user has more unfinished prompts by now than were seen."""


async def record(
    user_id: int, namespace: str, new: NewPrompt, *, seen: tuple[int, int] | None = None
) -> tuple[str, int]:
    """Write down that `user_id` is about to submit a prompt: (its id, the user's number).

    `seen`: the `unfinished_load` by which it was judged that there is a place for it.

    Raises:
        Conflict PROMPT_ID_TAKEN: somebody, not necessarily the caller, has used that id
        TokenRevoked: the user was deleted meanwhile
        MoreMeanwhile: than `seen`, perhaps through another web process
    """
    if new.prompt_id is not None and await tombstones.covers_prompt(new.prompt_id):
        raise _taken()
    identifier = new.prompt_id or str(uuid.uuid4())
    ownership = await in_writing_thread(_record, user_id, namespace, identifier, new, seen)
    _remember(identifier, ownership)
    return identifier, ownership.number


def _taken() -> Conflict:
    return Conflict(
        "This prompt_id was used before. Choose another.",
        code="PROMPT_ID_TAKEN",
        field="prompt_id",
    )


def _record(
    user_id: int, namespace: str, prompt_id: str, new: NewPrompt, seen: tuple[int, int] | None
) -> Ownership:
    try:
        return _recorded(user_id, namespace, prompt_id, new, seen)
    except IntegrityError:
        # Foreign keys are looked at when the transaction ends.
        raise TokenRevoked from None


def _recorded(
    user_id: int, namespace: str, prompt_id: str, new: NewPrompt, seen: tuple[int, int] | None
) -> Ownership:
    now = timezone.now()
    with transaction.atomic():
        # A user's prompts one after the other, whichever processes they come through: for their
        # numbers, and for who has a limit. SQLite lets one write at a time anyway.
        owner = User.objects.select_for_update(no_key=True).filter(pk=user_id)
        if not owner.values_list("pk"):
            raise TokenRevoked
        if seen is not None:
            number_now, size_now = _unfinished_load(user_id)
            if number_now > seen[0] or size_now > seen[1]:
                raise MoreMeanwhile
        last = PromptRecord.objects.filter(user_id=user_id).aggregate(last=Max("number"))["last"]
        number = 0 if last is None else last + 1
        try:
            with transaction.atomic():
                PromptRecord.objects.create(
                    prompt_id=prompt_id,
                    user_id=user_id,
                    client_id=new.client_id,
                    number=number,
                    result_nodes=sorted(new.result_nodes),
                    workflow_id=new.workflow_id,
                    size_bytes=new.size_bytes,
                    created_at=now,
                )
        except IntegrityError:
            raise _taken() from None
    return Ownership(
        user_id,
        new.client_id,
        number,
        new.result_nodes,
        namespace,
        _ms(now),
        new.size_bytes,
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


async def accepted(prompt_id: str, user_id: int) -> bool:
    """ComfyUI took the prompt; False if its user was deleted meanwhile."""
    return await in_writing_thread(_accepted, prompt_id, user_id)


def _accepted(prompt_id: str, user_id: int) -> bool:
    own = PromptRecord.objects.filter(prompt_id=prompt_id, user_id=user_id)
    changed = own.filter(state__in=_SUBMITTING).update(state=PromptRecord.State.ACCEPTED)
    metrics.prompts_became("accepted", changed)
    # It may have ended already.
    return changed > 0 or own.exists()


async def not_accepted(prompt_id: str) -> None:
    """ComfyUI refused the prompt, or was never asked: no record stays."""
    forget([prompt_id])
    await in_writing_thread(PromptRecord.objects.filter(prompt_id=prompt_id).delete)


def forget(prompt_ids: Iterable[str]) -> None:
    """Drop these from the memory: their records are gone or somebody else's now."""
    with _lock:
        for prompt_id in prompt_ids:
            _memory.pop(prompt_id, None)


async def cancelled(prompt_ids: Iterable[str]) -> None:
    """These were taken out of the queue before they ran."""
    change = {"state": PromptRecord.State.CANCELLED, "listed": False}
    await in_writing_thread(_set_state, list(prompt_ids), _NOT_SEEN_TO_END, **change)


async def lost(prompt_ids: Iterable[str]) -> None:
    """ComfyUI has none of these any more, and their end was not seen."""
    change = {"state": PromptRecord.State.LOST, "listed": False}
    await in_writing_thread(_set_state, list(prompt_ids), PromptRecord.UNFINISHED, **change)


async def unlisted(prompt_ids: Iterable[str]) -> None:
    """ComfyUI's history has none of these any more: removed by their owner, or forgotten."""
    await in_writing_thread(_set_state, list(prompt_ids), PromptRecord.State.values, listed=False)


async def finished(outcomes: Mapping[str, Outcome]) -> None:
    """These ended as ComfyUI's history says."""
    await in_writing_thread(_finish, outcomes)


def _finish(outcomes: Mapping[str, Outcome]) -> None:
    # In one order everywhere: two processes may write the same ones.
    for prompt_id, outcome in sorted(outcomes.items()):
        _set_state(
            [prompt_id],
            _NOT_SEEN_TO_END,
            state=outcome.state,
            listed=True,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at or timezone.now(),
            execution_seconds=outcome.seconds,
        )


def _set_state(prompt_ids: list[str], among: Iterable[str], **change: Any) -> None:
    for chunk in _chunks(prompt_ids):
        rows = PromptRecord.objects.filter(prompt_id__in=chunk, state__in=among)
        changed = rows.update(**change)
        if "state" in change:
            # Whoever comes second finds no such row: each end counts once.
            metrics.prompts_became(str(change["state"]), changed)


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
        found, settled = await in_db_thread(_read, missing)
        for pid in settled:
            _remember(pid, found[pid])
        known |= found
    return known


def _read(prompt_ids: list[str]) -> tuple[dict[str, Ownership], list[str]]:
    """Owners, and of which prompts they are sure to stay: the record of one that ComfyUI has
    not taken yet may go, and its id become another's."""
    fields = (
        "prompt_id",
        "user_id",
        "client_id",
        "number",
        "result_nodes",
        "user__namespace",
        "created_at",
        "size_bytes",
        "state",
    )
    found: dict[str, Ownership] = {}
    settled: list[str] = []
    for chunk in _chunks(prompt_ids):
        rows = PromptRecord.objects.filter(prompt_id__in=chunk).values_list(*fields)
        for pid, user, client, number, nodes, namespace, created, size, state in rows:
            found[str(pid)] = Ownership(
                user, client, number, frozenset(nodes), namespace, _ms(created), size
            )
            if state != PromptRecord.State.SUBMITTING:
                settled.append(str(pid))
    return found, settled


def _chunks(prompt_ids: list[str]) -> Iterator[list[str]]:
    return (prompt_ids[start : start + _CHUNK] for start in range(0, len(prompt_ids), _CHUNK))


async def unfinished_load(user_id: int) -> tuple[int, int]:
    """How many of the user's prompts have no end yet that was seen, and their bytes together.
    Not more than these wait."""
    return await in_db_thread(_unfinished_load, user_id)


def _unfinished_load(user_id: int) -> tuple[int, int]:
    rows = PromptRecord.objects.filter(user_id=user_id, state__in=PromptRecord.UNFINISHED)
    counted = rows.aggregate(number=Count("pk"), size=Sum("size_bytes"))
    return counted["number"], counted["size"] or 0


async def unfinished(user_id: int | None, *, limit: int = MAX_UNFINISHED) -> dict[str, bool]:
    """Prompts whose end was not seen, newest first: id → whether ComfyUI took it.

    `user_id` None: everybody's.
    """
    return await in_db_thread(_unfinished, user_id, limit)


def _unfinished(user_id: int | None, limit: int) -> dict[str, bool]:
    if user_id is not None and limit == MAX_UNFINISHED:
        rows = _unfinished_of(user_id)
    else:
        rows = iter(_unfinished_rows(user_id)[:limit])
    cut = timezone.now() - UNCONFIRMED
    return {
        str(pid): state == PromptRecord.State.ACCEPTED or created_at < cut
        for pid, state, created_at in rows
    }


def _unfinished_rows(user_id: int | None) -> "QuerySet[PromptRecord, tuple[Any, ...]]":
    rows = PromptRecord.objects.filter(state__in=PromptRecord.UNFINISHED).order_by("-created_at")
    if user_id is not None:
        rows = rows.filter(user_id=user_id)
    return rows.values_list("prompt_id", "state", "created_at")


_unfinished_of: Final = OfUser(lambda user_id: _unfinished_rows(user_id)[:MAX_UNFINISHED])


class EndedPage(NamedTuple):
    """Prompts that ComfyUI's history may hold, newest first; whether there are more behind."""

    ids: list[str]
    has_more: bool


async def ended(
    user_id: int, *, before: str | None = None, limit: int, max_bytes: int | None = None
) -> EndedPage:
    """A page of the user's; `before`: of those behind this one; `max_bytes`: no more than are so
    large together, but one."""
    return await in_db_thread(_ended, user_id, before, limit, max_bytes)


async def unfinished_and_ended(
    user_id: int, *, limit: int, max_bytes: int
) -> tuple[dict[str, bool], EndedPage]:
    """The user's `unfinished` prompts, and the first page of those that `ended`."""

    def read() -> tuple[dict[str, bool], EndedPage]:
        # In this order: a prompt that ends in between is in both.
        return _unfinished(user_id, MAX_UNFINISHED), _ended(user_id, None, limit, max_bytes)

    return await in_db_thread(read)


def _ended(user_id: int, before: str | None, limit: int, max_bytes: int | None) -> EndedPage:
    if before is None and limit <= _SHORT_PAGE:
        return _page(_newest_ended(limit + 1)(user_id), limit, max_bytes)
    rows = _ended_rows(user_id)
    if before is not None:
        last = PromptRecord.objects.filter(prompt_id=before).values_list("created_at", flat=True)
        moment = last.first()
        if moment is None:
            return EndedPage([], has_more=False)
        rows = rows.filter(Q(created_at__lt=moment) | Q(created_at=moment, prompt_id__lt=before))
    return _page(iter(rows[: limit + 1]), limit, max_bytes)


def _ended_rows(user_id: int) -> "QuerySet[PromptRecord, tuple[Any, ...]]":
    rows = PromptRecord.objects.filter(user_id=user_id, listed=True)
    rows = rows.exclude(state__in=PromptRecord.UNFINISHED).order_by("-created_at", "-prompt_id")
    return rows.values_list("prompt_id", "size_bytes")


@lru_cache(maxsize=_SHORT_PAGE)
def _newest_ended(number: int) -> OfUser:
    return OfUser(lambda user_id: _ended_rows(user_id)[:number])


def _page(rows: Iterator[tuple[Any, ...]], limit: int, max_bytes: int | None) -> EndedPage:
    found: list[str] = []
    left = max_bytes
    for pid, size in rows:
        if len(found) == limit or (left is not None and found and size > left):
            return EndedPage(found, has_more=True)
        if left is not None:
            left -= size
        found.append(str(pid))
    return EndedPage(found, has_more=False)


async def ended_part(
    user_id: int, states: Collection[str], *, newest: bool, skip: int, limit: int
) -> list[tuple[str, int]]:
    """(id, when it was sent in ms) of some of the prompts that `ended` knows and that ended so,
    oldest first. `skip` and `limit` count from the newest, or with `newest` False from the
    oldest."""
    return await in_db_thread(_ended_part, user_id, states, newest, slice(skip, skip + limit))


def _ended_part(
    user_id: int, states: Collection[str], newest: bool, part: slice
) -> list[tuple[str, int]]:
    order = ("-created_at", "-prompt_id") if newest else ("created_at", "prompt_id")
    rows = _ended_so(states).filter(user_id=user_id).order_by(*order)
    found = [
        (str(pid), _ms(sent)) for pid, sent in rows.values_list("prompt_id", "created_at")[part]
    ]
    return found[::-1] if newest else found


async def count_ended(user_id: int | None, states: Collection[str]) -> int:
    """How many of the user's prompts (None: everybody's) ended so and may still be in ComfyUI's
    history: what it has forgotten meanwhile counts until somebody asks for it."""
    rows = _ended_so(states)
    return await in_db_thread((rows if user_id is None else rows.filter(user_id=user_id)).count)


def _ended_so(states: Collection[str]) -> QuerySet[PromptRecord]:
    return PromptRecord.objects.filter(listed=True, state__in=states)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def _same(value: T) -> T:
    """The object that stands for all that are equal to it."""
    return value


def _remember(prompt_id: str, ownership: Ownership) -> None:
    # Most of it is the same for all of a user's prompts, and need not be there for each.
    ownership = replace(
        ownership,
        client_id=_same(ownership.client_id),
        result_nodes=_same(ownership.result_nodes),
        namespace=_same(ownership.namespace),
    )
    with _lock:
        _memory[prompt_id] = ownership
        _memory.move_to_end(prompt_id)
        while len(_memory) > MAX_REMEMBERED:
            _memory.popitem(last=False)
