"""`POST /prompt`: checked, rewritten for its owner, recorded, then given to ComfyUI."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any, Final
from weakref import WeakValueDictionary

from django.conf import settings

from accounts import errors
from accounts.capabilities import Capability
from accounts.identity import Identity
from comfyproxy import catalog, ownership, upstream
from comfyproxy.access import resolve
from comfyproxy.calls import Call, Reply, json_reply
from comfyproxy.cancel import cancel
from comfyproxy.catalog import Catalog
from comfyproxy.files import FileRef
from comfyproxy.filters.errors import shown_refusal
from comfyproxy.filters.folders import without_foreign
from comfyproxy.filters.queue import ids_in
from comfyproxy.hub import hub
from comfyproxy.ownership import NewPrompt
from comfyproxy.promptchecks import (
    known_for,
    off_loop,
    refuse,
    refuse_blocked_nodes,
    refuse_hidden_models,
    unknown_node,
)
from comfyproxy.prompts.mapping import FileUse, Refused, file_uses, foreign_mentions, rewritten
from comfyproxy.prompts.shape import MAX_BODY_BYTES, Graph, Submission, parse_submission
from comfyproxy.queuewatch import look
from comfyproxy.sharing import shares

logger = logging.getLogger(__name__)

# ComfyUI core's node that sends finished pictures over the socket instead of saving them.
RESULT_NODE: Final = "SaveImageWebsocket"
# A larger prompt is looked at in a thread: everybody else waits for the event loop.
LARGE_BYTES: Final = 64 * 1024
# Files one prompt may name: ComfyUI is asked about each.
MAX_FILES: Final = 2000
_PARALLEL: Final = 8
# Of all prompts of a user that wait: ComfyUI holds them in memory.
MAX_WAITING_BYTES: Final = 128 * 1024 * 1024

_submitting: set[asyncio.Task[Reply]] = set()
# A lock lives as long as somebody holds it or waits for it.
_turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()


async def prompt_submit(call: Call) -> Reply:
    """Answer as ComfyUI does: `{prompt_id, number, node_errors}`, or its own 400."""
    body = await call.read(MAX_BODY_BYTES)
    _require_size(len(body), call.identity)
    is_large = len(body) > LARGE_BYTES
    submission = await off_loop(
        is_large, parse_submission, body, max_nodes=settings.MSS_MAX_PROMPT_NODES
    )
    identity = call.identity
    known = await known_for(submission.graph, identity, is_large=is_large)
    await off_loop(is_large, refuse_blocked_nodes, submission.graph, identity)
    await off_loop(is_large, refuse_hidden_models, submission.graph, known, identity)
    graph = await _own_graph(submission.graph, known, identity, is_large)
    refusal = unknown_node(graph, known, identity)
    if refusal is not None:
        return json_reply(refusal, 400)
    # To the end even if the client leaves: ComfyUI may have taken the prompt already, and
    # then its record has to say so.
    new = await off_loop(is_large, _new_prompt, submission, graph, len(body))
    task = asyncio.ensure_future(_submit(submission, graph, known, identity, new))
    _submitting.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


def _require_size(size: int, identity: Identity) -> None:
    limit = identity.max_prompt_bytes
    if limit is not None and size > limit:
        raise errors.TooLarge(f"Your role's prompts may have at most {limit} bytes.")


def _new_prompt(submission: Submission, graph: Graph, size: int) -> NewPrompt:
    """What is written down of it."""
    return NewPrompt(
        submission.prompt_id,
        submission.client_id,
        result_nodes=frozenset(
            node_id for node_id, node in graph.items() if node["class_type"] == RESULT_NODE
        ),
        workflow_id=submission.workflow_id,
        size_bytes=size,
    )


def _ended(task: asyncio.Task[Reply]) -> None:
    _submitting.discard(task)
    # Its caller may have left; then nobody else hears of what went wrong.
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, errors.GatewayError):
        logger.error("a prompt was not submitted as it should be", exc_info=error)


async def _own_graph(graph: Graph, known: Catalog, identity: Identity, is_large: bool) -> Graph:
    """The graph with its files and prefixes inside the caller's folders."""
    sees_all = identity.can(Capability.VIEW_ALL_HISTORY)
    namespace = identity.namespace

    def named() -> tuple[list[Refused], list[FileUse]]:
        foreign = foreign_mentions(
            graph, known.specs, namespace, sees_all=sees_all, shares=shares(identity)
        )
        refused, uses = list(foreign), list(file_uses(graph, known.specs))
        refused += [use for use in uses if isinstance(use, Refused)]
        return refused, [use for use in uses if isinstance(use, FileUse)]

    refused, uses = await off_loop(is_large, named)
    refs = await _resolved({use.ref for use in uses}, identity)
    files = {(use.place, use.text): ref for use in uses if (ref := refs[use.ref]) is not None}
    refused += [Refused(use.place, use.text) for use in uses if refs[use.ref] is None]
    result, outside = await off_loop(
        is_large, rewritten, graph, known.specs, namespace, files, sees_all=sees_all
    )
    if refused or outside:
        # One text may be refused for several reasons; the place is marked once.
        places = [
            (place, "Choose a file of your own, or a name inside your own folder.")
            for place in dict.fromkeys(item.place for item in (*refused, *outside))
        ]
        refuse(errors.FileNotAllowed, "file_not_allowed", graph, places)
    return result


async def _resolved(
    named: Collection[FileRef], identity: Identity
) -> dict[FileRef, FileRef | None]:
    """For each named file the one that is meant, or None where the caller may use none."""
    if len(named) > MAX_FILES:
        raise errors.BadRequest(f"A prompt may name at most {MAX_FILES} files.", field="prompt")
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(ref: FileRef) -> tuple[FileRef, FileRef | None]:
        async with slots:
            try:
                return ref, await resolve(ref, identity, moves_outputs=True)
            except errors.NotFound:
                return ref, None

    return dict(await asyncio.gather(*(one(ref) for ref in named)))


async def _submit(
    submission: Submission, graph: Graph, known: Catalog, identity: Identity, new: NewPrompt
) -> Reply:
    """Write down whose the prompt is, then give it to ComfyUI."""
    prompt_id, number = await _recorded(new, identity)
    payload = _payload(submission, graph, prompt_id, identity)
    # ComfyUI repeats in its words what a prompt holds.
    is_large = new.size_bytes > LARGE_BYTES
    with hub.submission(identity.user_id, prompt_id) as accepted:
        try:
            status, answer = await upstream.request_json("POST", "/prompt", payload)
        except errors.UpstreamBroke:
            # As after a time-out the record stays: ComfyUI may have taken the prompt.
            raise
        except errors.UpstreamUnreachable:
            await ownership.not_accepted(prompt_id)
            raise
        if status != 200:
            await ownership.not_accepted(prompt_id)
            return await off_loop(is_large, _refused, status, answer, known, identity)
        if not isinstance(answer, dict):
            # Taken, with an answer that cannot be read (a bare NaN): ours says enough.
            answer = {"node_errors": {}}
        accepted()
    if not await ownership.accepted(prompt_id, identity.user_id):
        # Who cleared up behind the deleted user did not find this one.
        await cancel([prompt_id])
        raise errors.TokenRevoked
    shown = await off_loop(is_large, _shown, answer, known, identity)
    return json_reply({**shown, "prompt_id": prompt_id, "number": number})


async def _recorded(new: NewPrompt, identity: Identity) -> tuple[str, int]:
    """(id, number) of the prompt, if the caller has a place left in the queue.

    Raises:
        QuotaExceeded, Conflict
    """
    limit = identity.max_waiting_prompts
    if limit is None:
        return await ownership.record(identity.user_id, identity.namespace, new)
    # One at a time for a user with a limit: two could see the last place free. Who comes through
    # another process meanwhile is seen when the prompt is written down.
    turn = _turns.setdefault(identity.user_id, asyncio.Lock())
    async with turn:
        while True:
            number, size = seen = await ownership.unfinished_load(identity.user_id)
            # Only who may be over a limit needs a look at the queue.
            if number >= limit or size + new.size_bytes > MAX_WAITING_BYTES:
                await _require_place(identity.user_id, limit, new.size_bytes)
            try:
                return await ownership.record(identity.user_id, identity.namespace, new, seen=seen)
            except ownership.MoreMeanwhile:
                continue


async def _require_place(user_id: int, limit: int, size: int) -> None:
    """Raise QuotaExceeded where too many of the user's prompts wait or are on their way, or
    too large ones."""
    unfinished = await ownership.unfinished(user_id)
    snapshot = await look()
    running = set(ids_in(snapshot.queue, "queue_running"))
    pending = set(ids_in(snapshot.queue, "queue_pending"))
    waiting = [
        pid
        for pid, is_confirmed in unfinished.items()
        if pid in pending or (pid not in running and not is_confirmed)
    ]
    if len(waiting) >= limit:
        raise errors.QuotaExceeded(limit=limit)
    owners = await ownership.owners(waiting)
    if size + sum(owner.size_bytes for owner in owners.values()) > MAX_WAITING_BYTES:
        raise errors.QuotaExceeded(
            "Your waiting prompts are too large together. Wait for some to finish."
        )


def _payload(
    submission: Submission, graph: Graph, prompt_id: str, identity: Identity
) -> dict[str, Any]:
    client_id = ownership.upstream_client_id(identity.namespace, submission.client_id)
    payload: dict[str, Any] = {
        "prompt": graph,
        "prompt_id": prompt_id,
        "client_id": client_id,
        "extra_data": {**submission.extra_data, "client_id": client_id},
    }
    if submission.targets is not None:
        payload["partial_execution_targets"] = submission.targets
    if identity.can(Capability.MANAGE_BACKEND):
        if submission.front:
            payload["front"] = True
        if submission.number is not None:
            payload["number"] = submission.number
    return payload


def _refused(status: int, answer: Any, known: Catalog, identity: Identity) -> Reply:
    if status == errors.TooLarge.status:
        raise errors.TooLarge
    if status >= 500 or not isinstance(answer, dict):
        raise errors.UpstreamUnreachable("ComfyUI failed on this prompt. Check its nodes.")
    return json_reply(_shown(answer, known, identity), status)


def _shown(answer: dict[str, Any], known: Catalog, identity: Identity) -> dict[str, Any]:
    """ComfyUI's answer without what its `node_errors` tell of others' things."""
    sight = catalog.sight_of(identity)
    shown = shown_refusal(answer, known.models, sight.allowed)
    return shown if sight.namespace is None else without_foreign(shown, sight.namespace)
