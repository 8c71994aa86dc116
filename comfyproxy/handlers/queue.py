"""The queue: seen, emptied and interrupted by each user for their own prompts only."""

from typing import Any, Final

import orjson

from accounts import errors
from accounts.capabilities import Capability
from comfyproxy import upstream
from comfyproxy.calls import Call, Reply, empty_reply, json_reply
from comfyproxy.cancel import interrupt, remove_waiting
from comfyproxy.filters.queue import ids_in, may_see_prompt, visible_queue
from comfyproxy.queuewatch import look
from comfyproxy.sharing import counts, reaches, sees

# Each is looked up; pages name one at a time.
MAX_NAMED: Final = 1000


async def queue_list(call: Call) -> Reply:
    """`GET /queue`."""
    snapshot = await look()
    return json_reply(visible_queue(snapshot.queue, snapshot.owners, sees(call.identity)))


async def prompt_count(call: Call) -> Reply:
    """`GET /prompt`: how many of the caller's own prompts wait or run."""
    snapshot = await look()
    own = snapshot.own_set(counts(call.identity))
    return json_reply({"exec_info": {"queue_remaining": len(own)}})


async def queue_change(call: Call) -> Reply:
    """`POST /queue`: `{clear: true}` the caller's pending prompts, `{delete: [ids]}` those of
    the ids that are the caller's (who manages the backend: anybody's)."""
    wanted = await call.json_object()
    ids = deletion_ids(wanted)
    clear = bool(wanted.get("clear"))
    snapshot = await look()
    pending = ids_in(snapshot.queue, "queue_pending")
    own_id = call.identity.user_id
    reach = reaches(call.identity)
    chosen = {pid for pid in ids if may_see_prompt(pid, snapshot.owners, reach)}
    if clear:
        chosen |= {pid for pid in pending if may_see_prompt(pid, snapshot.owners, own_id)}
    gone = [pid for pid in pending if pid in chosen]
    if gone:
        await remove_waiting(gone)
    return empty_reply()


def deletion_ids(wanted: dict[str, Any]) -> list[str]:
    """The `delete` member: a list of ids, absent or null for none.

    Raises:
        BadRequest
    """
    ids = wanted.get("delete")
    return [] if ids is None else id_list(ids, "delete")


def id_list(ids: Any, field: str) -> list[str]:
    """A list of prompt ids that came under the name `field`.

    Raises:
        BadRequest
    """
    if not isinstance(ids, list) or not all(isinstance(pid, str) for pid in ids):
        raise errors.BadRequest(f"{field} must be a list of prompt ids.", field=field)
    if len(ids) > MAX_NAMED:
        raise errors.BadRequest(f"Name at most {MAX_NAMED} prompts at once.", field=field)
    return ids


async def interrupt_own(call: Call) -> Reply:
    """`POST /interrupt`: stops the running prompt if it is the caller's; always 200.

    ComfyUI takes a body without a usable `prompt_id` for "whatever runs". Only who manages
    the backend gets that far; for everyone else the running prompt is named.
    """
    named = _named_prompt(await call.read())
    if call.identity.can(Capability.MANAGE_BACKEND):
        await upstream.request_json("POST", "/interrupt", {"prompt_id": named} if named else {})
        return empty_reply()
    snapshot = await look()
    for pid in ids_in(snapshot.queue, "queue_running"):
        owned = may_see_prompt(pid, snapshot.owners, call.identity.user_id)
        if owned and named in (None, pid):
            await interrupt(pid)
    return empty_reply()


def _named_prompt(body: bytes) -> str | None:
    try:
        wanted = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    prompt_id = wanted.get("prompt_id") if isinstance(wanted, dict) else None
    # As in ComfyUI: what is empty names nothing, anything else some prompt, maybe unknown.
    return str(prompt_id) if prompt_id else None


async def free_memory(call: Call) -> Reply:
    """`POST /free` {unload_models, free_memory}."""
    wanted = await call.json_object()
    flags = {name: wanted.get(name) is True for name in ("unload_models", "free_memory")}
    await upstream.request_json("POST", "/free", flags)
    return empty_reply()
