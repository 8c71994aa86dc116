"""The history: each user's own, counted and paged within their own."""

from typing import Any, Final

from accounts import errors
from accounts.identity import Identity
from comfyproxy import ownership, upstream
from comfyproxy.calls import Call, Reply, empty_reply, json_reply
from comfyproxy.files import TYPES, may_see
from comfyproxy.filters.history import visible_entry
from comfyproxy.filters.outputs import output_files
from comfyproxy.filters.queue import may_see_prompt, prompt_ids
from comfyproxy.handlers.queue import deletion_ids, history_entries, sees
from comfyproxy.queuewatch import look

Entries = dict[str, Any]

# The most that a user is shown of their own. Each entry is asked for by its id: ComfyUI's
# whole history, everyone's up to 10 000 prompts, would cost far more.
MAX_OWN: Final = 1000
_PAGE: Final = 64
# How many output files of the caller's are listed for LoadImageOutput.
_LISTED_PROMPTS: Final = 64


async def history_list(call: Call) -> Reply:
    """`GET /history?max_items=&offset=`: oldest first; `max_items` alone means the newest,
    with `offset` it counts from the oldest (ComfyUI 0.3.64, PromptQueue.get_history)."""
    params = call.first_params()
    max_items = _whole_number(params, "max_items")
    offset = _whole_number(params, "offset")
    if offset is None or offset < 0:
        entries = await _newest(call.identity, max_items)
    else:
        every = list((await _newest(call.identity, None)).items())
        end = None if max_items is None else offset + max_items
        entries = dict(every[offset:end])
    return json_reply(entries)


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
    return json_reply(await _visible(await history_entries([prompt_id])))


async def history_change(call: Call) -> Reply:
    """`POST /history`: `{clear: true}`, `{delete: [ids]}`, of the caller's own entries."""
    wanted = await call.json_object()
    ids = deletion_ids(wanted)
    user_id = call.identity.user_id
    owners = await ownership.owners(ids)
    chosen = {pid for pid in ids if may_see_prompt(pid, owners, user_id)}
    if wanted.get("clear"):
        chosen |= await _all_own(user_id)
    # What waits or runs is no history yet; ComfyUI would keep it, so its record stays too.
    # Asked after the records: what they hold and the queue does not, has ended.
    chosen -= set(prompt_ids((await look()).queue))
    if chosen:
        await upstream.request_json("POST", "/history", {"delete": sorted(chosen)})
        await ownership.removed(chosen)
    return empty_reply()


async def _all_own(user_id: int) -> set[str]:
    found: dict[str, bool] = {}
    while page := await ownership.live_prompts(user_id, offset=len(found), limit=1000):
        found |= dict(page)
    return {pid for pid, confirmed in found.items() if confirmed}


async def own_files(call: Call) -> Reply:
    """`GET /internal/files/{type}`: names of the caller's own files, newest first, as
    LoadImageOutput's list asks for them; for `input` the unowned ones at its top."""
    kind = call.params["directory_type"]
    if kind not in TYPES:
        raise errors.BadRequest("Invalid directory type", field="directory_type")
    if kind == "input":
        names = await upstream.get_json("/internal/files/input")
        return json_reply(names if isinstance(names, list) else [])
    entries = await _newest(call.identity, _LISTED_PROMPTS)
    seen: dict[str, None] = {}
    for entry in reversed(entries.values()):
        for ref in output_files(entry.get("outputs")):
            own = may_see(ref, namespace=call.identity.namespace, sees_all=False)
            if ref.type == kind and own:
                seen.setdefault(ref.path)
    return json_reply(list(seen))


async def _newest(identity: Identity, count: int | None) -> Entries:
    """The newest `count` entries the caller may see (None: all), oldest first."""
    user_id = sees(identity)
    if count is not None and count <= 0:
        return {}
    if user_id is None:
        return await _everyones(count)
    count = MAX_OWN if count is None else min(count, MAX_OWN)
    found: list[tuple[str, dict[str, Any]]] = []
    offset = 0
    while len(found) < count:
        page = await ownership.live_prompts(user_id, offset=offset, limit=_PAGE)
        if not page:
            if offset == 0:
                await look()  # a ComfyUI that is down must not look like an empty history
            break
        # In this order, records, queue, history: what ComfyUI had taken when the record was
        # read, and is in neither queue nor history later, is gone for good.
        waiting = set(prompt_ids((await look()).queue))
        ids = [pid for pid, _ in page if pid not in waiting]
        entries = await history_entries(ids)
        gone = {pid for pid, confirmed in page if confirmed and entries.get(pid, pid) is None}
        if gone:
            await ownership.lost(gone)
        offset += len(page) - len(gone)
        shown = await _visible({pid: entries[pid] for pid in ids if pid in entries})
        found += shown.items()
    return dict(reversed(found[:count]))


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
