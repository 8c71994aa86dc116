"""The history: each user's own, counted and paged within their own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from weakref import WeakValueDictionary

from accounts import errors
from accounts.capabilities import Capability
from accounts.identity import Identity
from comfyproxy import filerecords, ownership, reconcile, upstream
from comfyproxy.calls import Call, Reply, empty_reply, json_reply
from comfyproxy.entries import KEPT_SECONDS, history_entries
from comfyproxy.files import TYPES
from comfyproxy.filters.history import visible_entry
from comfyproxy.filters.queue import may_see_prompt, prompt_ids
from comfyproxy.handlers.queue import deletion_ids
from comfyproxy.queuewatch import look
from comfyproxy.sharing import sees

Entries = dict[str, Any]

# The most that a user is shown of their own. Each entry is asked for by its id: ComfyUI's
# whole history, everyone's up to 10 000 prompts, would cost far more.
MAX_OWN: Final = 1000
# And no more than are so large together, by what was sent.
MAX_OWN_BYTES: Final = 32 * 1024 * 1024
# Entries are in memory together.
PAGE: Final = 64
PAGE_BYTES: Final = 8 * 1024 * 1024
MAX_CLEARED: Final = 50_000
# A lock lives as long as somebody holds it or waits for it.
_turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()


async def history_list(call: Call) -> Reply:
    """`GET /history?max_items=&offset=`: oldest first; `max_items` alone means the newest,
    with `offset` it counts from the oldest (ComfyUI 0.3.64, PromptQueue.get_history)."""
    params = call.first_params()
    max_items = _whole_number(params, "max_items")
    offset = _whole_number(params, "offset")
    async with turn_of(call.identity):
        if offset is None or offset < 0:
            entries = await newest(call.identity, max_items)
        else:
            every = list((await newest(call.identity, None)).items())
            end = None if max_items is None else offset + max_items
            entries = dict(every[offset:end])
        return json_reply(entries)


def turn_of(identity: Identity) -> asyncio.Lock:
    """Lists of entries are large: a user gets one at a time."""
    turn = _turns.get(identity.user_id)
    if turn is None:
        turn = _turns[identity.user_id] = asyncio.Lock()
    return turn


def _whole_number(params: dict[str, str], name: str) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    try:
        return max(int(text[:20]), -1)
    except ValueError:
        raise errors.BadRequest(f"{name} must be a whole number.", field=name) from None


async def history_one(call: Call) -> Reply:
    """`GET /history/{prompt_id}`: another's id answers `{}`, as an unknown one does."""
    prompt_id = call.params["prompt_id"]
    owners = await ownership.owners([prompt_id])
    if not may_see_prompt(prompt_id, owners, sees(call.identity)):
        return json_reply({})
    entries = await history_entries([prompt_id])
    await reconcile.note_entries(entries)
    return json_reply(await _visible(entries))


async def history_change(call: Call) -> Reply:
    """`POST /history`: `{clear: true}`, `{delete: [ids]}`, of the caller's own entries."""
    wanted = await call.json_object()
    ids = deletion_ids(wanted)
    user_id = call.identity.user_id
    owners = await ownership.owners(ids)
    chosen = {pid for pid in ids if may_see_prompt(pid, owners, user_id)}
    # What waits or runs is no history yet; ComfyUI would keep it, so its record stays too.
    snapshot = await reconcile.settle(user_id)
    if wanted.get("clear"):
        chosen |= set((await ownership.ended(user_id, limit=MAX_CLEARED)).ids)
    chosen -= set(prompt_ids(snapshot.queue))
    if chosen:
        await upstream.request_json("POST", "/history", {"delete": sorted(chosen)})
        await ownership.unlisted(chosen)
    return empty_reply()


async def own_files(call: Call) -> Reply:
    """`GET /internal/files/{type}`: names of the caller's own files, newest first, as
    LoadImageOutput's list asks for them; for `input` the unowned ones at its top as well."""
    kind = call.params["directory_type"]
    if kind not in TYPES:
        raise errors.BadRequest("Invalid directory type", field="directory_type")
    if kind != "input":
        await reconcile.settle(call.identity.user_id)
    own = await filerecords.of_user(call.identity.user_id, kind, limit=filerecords.MAX_LISTED)
    if kind != "input":
        return json_reply(own)
    top = await upstream.get_json("/internal/files/input")
    return json_reply([*own, *(top if isinstance(top, list) else ())])


async def newest(identity: Identity, count: int | None) -> Entries:
    """The newest `count` entries the caller may see (None: all), oldest first."""
    found: list[tuple[str, Any]] = []
    async for page in newest_pages(identity, count):
        found += page.items()
    return dict(reversed(found))


async def newest_pages(identity: Identity, count: int | None) -> AsyncIterator[Entries]:
    """As `newest`, but newest first and some at a time: each may be megabytes."""
    user_id = sees(identity)
    if count is not None and count <= 0:
        return
    if user_id is None:
        if not identity.can(Capability.VIEW_ALL_HISTORY):
            count = MAX_OWN if count is None else min(count, MAX_OWN)
        yield dict(reversed((await _everyones(count)).items()))
        return
    left = MAX_OWN if count is None else min(count, MAX_OWN)
    left_bytes = MAX_OWN_BYTES
    limit = min(PAGE, left)
    unfinished, page = await ownership.unfinished_and_ended(
        user_id, limit=limit, max_bytes=PAGE_BYTES
    )
    if unfinished:
        await reconcile.settle_these(unfinished)
        page = await ownership.ended(user_id, limit=limit, max_bytes=PAGE_BYTES)
    elif not page.ids:
        await look()  # a ComfyUI that is down must not look like an empty history
    while page.ids:
        entries, _ = await shown_entries(page.ids)
        left -= len(entries)
        owners = await ownership.owners(entries)
        left_bytes -= sum(owner.size_bytes for owner in owners.values())
        yield entries
        if not page.has_more or left <= 0 or left_bytes <= 0:
            return
        page = await ownership.ended(
            user_id,
            before=page.ids[-1],
            limit=min(PAGE, left),
            max_bytes=min(PAGE_BYTES, left_bytes),
        )


async def shown_entries(ids: list[str]) -> tuple[Entries, list[str]]:
    """The entries of some prompts that ComfyUI's history may hold, in that order and as their
    owners may see them; and which prompts it has no more: those are not asked for again."""
    entries = await history_entries(ids, max_age=KEPT_SECONDS)
    gone = [pid for pid in ids if entries.get(pid, pid) is None]
    if gone:
        await ownership.unlisted(gone)
    return await _visible({pid: entries[pid] for pid in ids if pid in entries}), gone


async def _visible(entries: Entries) -> Entries:
    """Those entries that are shaped like ComfyUI's, as their owners may see them."""
    owners = await ownership.owners(entries)
    return {
        pid: entry
        for pid, raw in entries.items()
        if (entry := visible_entry(raw, owners.get(pid))) is not None
    }


async def _everyones(count: int | None) -> Entries:
    """From one fetch, for who sees all: ComfyUI's whole history, or its newest part."""
    part = {} if count is None else {"max_items": count}
    history = await upstream.get_json("/history", **part)
    if not isinstance(history, dict):
        raise errors.UpstreamUnreachable("ComfyUI does not tell its history.")
    return await _visible(history)
