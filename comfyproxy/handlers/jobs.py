"""Jobs: newer ComfyUI's one list of queue and history, made here of what is the caller's own.

ComfyUI's own `/api/jobs` is never asked: it knows no users, and older versions lack it.
"""

from collections.abc import Collection
from typing import Final

from accounts import errors
from accounts.identity import Identity
from comfyproxy import ownership, reconcile
from comfyproxy.calls import Call, Reply, json_reply
from comfyproxy.cancel import cancel
from comfyproxy.entries import history_entries
from comfyproxy.filters.history import visible_entry
from comfyproxy.filters.jobquery import JobQuery, parse_query
from comfyproxy.filters.jobs import (
    ENDED,
    IN_PROGRESS,
    PENDING,
    Job,
    ended_job,
    queue_jobs,
    queued_job,
)
from comfyproxy.filters.queue import may_see_prompt, prompt_ids, visible_queue
from comfyproxy.handlers.history import (
    MAX_OWN,
    PAGE,
    Entries,
    newest_pages,
    shown_entries,
    turn_of,
)
from comfyproxy.handlers.queue import id_list
from comfyproxy.queuewatch import Snapshot, look
from comfyproxy.sharing import reaches, sees

# How often a page is filled up again because ComfyUI has forgotten some of it: after its
# restart that may be all that a user has.
_TRIES: Final = MAX_OWN // PAGE + 1


async def jobs_list(call: Call) -> Reply:
    """`GET /api/jobs`: `{jobs, pagination: {offset, limit, total, has_more}}`.

    Parameters: status (comma separated), workflow_id, sort_by (created_at,
    execution_duration), sort_order (desc, asc), limit, offset. `total` counts what the caller
    sees and asks for. An answer has at most 1000 jobs.

    Raises:
        BadRequest, UpstreamUnreachable, UpstreamTimeout
    """
    query = parse_query(call.first_params())
    user_id = sees(call.identity)
    if not query.ended:
        found = _queued(query, await look(), user_id) if query.queued else []
        page, total = query.page(found), len(found)
    else:
        async with turn_of(call.identity):
            if query.is_by_record and user_id is not None:
                page, total = await _page_by_record(query, user_id)
            else:
                page, total = await _page_of_all(query, call.identity)
    return json_reply({"jobs": page, "pagination": query.pagination(total)})


def _queued(query: JobQuery, snapshot: Snapshot, user_id: int | None) -> list[Job]:
    visible = visible_queue(snapshot.queue, snapshot.owners, user_id)
    return query.matching(queue_jobs(visible, snapshot.owners))


async def _page_by_record(query: JobQuery, user_id: int) -> tuple[list[Job], int]:
    """The page and the total, by the user's records: ComfyUI is asked for no more entries than
    the page shows.

    An entry that ComfyUI has forgotten leaves page and total once a page meets it; until then
    `total` counts it. Where very many are gone a page may be short of what `total` promises.
    """
    queued = _queued(query, await reconcile.settle(user_id), user_id)
    states = [ENDED[status] for status in query.ended]
    # However the queue's jobs lie between them, these ended ones come before the page.
    skipped = max(query.offset - len(queued), 0)
    reach = query.offset - skipped + max(query.size, PAGE)
    made: dict[str, Job] = {}
    page: list[Job] = []
    for attempt in range(_TRIES):
        rows = dict(
            await ownership.ended_part(
                user_id, states, newest=query.descending, skip=skipped, limit=reach
            )
        )
        ended = [{"id": pid, "create_time": created} for pid, created in rows.items()]
        # What ended since the look at the queue is there once.
        queued = [job for job in queued if job["id"] not in rows]
        page = query.page([*ended, *queued], skipped)
        # Where some are gone more may be: then all that may come up.
        shown = [job["id"] for job in (ended if attempt else page)]
        if not await _make([pid for pid in shown if pid in rows and pid not in made], made):
            break
    total = len(queued) + await ownership.count_ended(user_id, states)
    jobs = [made.get(job["id"], job) for job in page]
    return [job for job in jobs if "status" in job], total


async def _make(ids: list[str], made: dict[str, Job]) -> bool:
    """Add the jobs of these ended prompts to `made`; whether ComfyUI has forgotten any."""
    forgotten = False
    for start in range(0, len(ids), PAGE):
        entries, gone = await shown_entries(ids[start : start + PAGE])
        made.update((job["id"], job) for job in await _ended(entries))
        forgotten = forgotten or bool(gone)
    return forgotten


async def _ended(entries: Entries) -> list[Job]:
    owners = await ownership.owners(entries)
    return [ended_job(pid, entry, owners.get(pid)) for pid, entry in entries.items()]


async def _page_of_all(query: JobQuery, identity: Identity) -> tuple[list[Job], int]:
    """The page and the total where entries themselves have to tell: the user's newest 1000
    (`MAX_OWN`), for who sees everybody's all of ComfyUI's.

    Who sees everybody's and asks for the newest, as the page does all the time, has no more
    fetched than the page reaches, in ComfyUI's order, that of the ends. Then `total` is what
    the records say, and at least what was found: prompts that came past the gateway have none.
    """
    # First the queue: what ends in between is found twice rather than not at all.
    queued = _queued(query, await look(), sees(identity)) if query.queued else []
    is_newest = query.is_by_record and query.descending and query.ended == ENDED.keys()
    count = query.end + 1 if is_newest and sees(identity) is None else None
    ended: list[Job] = []
    async for entries in newest_pages(identity, count):
        ended += await _ended(entries)
    known = {job["id"] for job in ended}
    found = query.matching(reversed(ended))
    found += [job for job in queued if job["id"] not in known]
    total = len(found)
    if count is not None and len(ended) >= count:
        recorded = await ownership.count_ended(None, list(ENDED.values()))
        total = max(total, len(queued) + recorded)
    return query.page(found), total


async def job_one(call: Call) -> Reply:
    """`GET /api/jobs/{job_id}`: with workflow, outputs and status.

    Raises:
        NotFound: unknown, or another's
    """
    job_id = call.params["job_id"]
    owners = await ownership.owners([job_id])
    if may_see_prompt(job_id, owners, sees(call.identity)):
        # It may end between the looks at either.
        for find in (_one_ended, _one_queued, _one_ended):
            job = await find(job_id)
            if job is not None:
                return json_reply(job)
    raise errors.NotFound("There is no such job.")


async def _one_ended(job_id: str) -> Job | None:
    entries = await history_entries([job_id])
    await reconcile.note_entries(entries)
    owner = (await ownership.owners([job_id])).get(job_id)
    entry = visible_entry(entries.get(job_id), owner)
    return None if entry is None else ended_job(job_id, entry, owner, detail=True)


async def _one_queued(job_id: str) -> Job | None:
    snapshot = await look()
    owner = snapshot.owners.get(job_id)
    # Of an owner that has this one prompt, one item is visible; nobody's is among all.
    user_id, owners = (None, {}) if owner is None else (owner.user_id, {job_id: owner})
    queue = visible_queue(snapshot.queue, owners, user_id)
    for part, status in (("queue_running", IN_PROGRESS), ("queue_pending", PENDING)):
        for item in queue[part]:
            if item[1] == job_id:
                return queued_job(item, status, owner, detail=True)
    return None


async def job_cancel(call: Call) -> Reply:
    """`POST /api/jobs/{job_id}/cancel`: `{cancelled}`; also for another's or an unknown one,
    which stays as it is."""
    job_id = call.params["job_id"]
    owners = await ownership.owners([job_id])
    if not may_see_prompt(job_id, owners, reaches(call.identity)):
        return json_reply({"cancelled": False})
    return json_reply({"cancelled": bool(await cancel([job_id]))})


async def jobs_cancel(call: Call) -> Reply:
    """`POST /api/jobs/cancel` {job_ids: [id, …]}: `{cancelled}`, whether any waited or ran.

    Raises:
        NotFound: one is unknown or another's; then all stay as they are
        BadRequest, InvalidJson
    """
    wanted = await call.json_object()
    ids = set(id_list(wanted.get("job_ids"), "job_ids"))
    if await _has_unknown(ids, call.identity):
        raise errors.NotFound("One of these jobs is not there. None was cancelled.")
    return json_reply({"cancelled": bool(await cancel(ids))})


async def _has_unknown(ids: Collection[str], identity: Identity) -> bool:
    """Whether one of the ids is no job that the caller may stop. A record is enough: jobs may
    end, or be stopped elsewhere, before the page that shows them hears of it."""
    owners = await ownership.owners(ids)
    reach = reaches(identity)
    unknown = [pid for pid in ids if pid not in owners or not may_see_prompt(pid, owners, reach)]
    if not unknown or reach is not None:
        return bool(unknown)
    # Who may stop anybody's may also mean prompts that came past the gateway.
    waiting = set(prompt_ids((await look()).queue))
    unknown = [pid for pid in unknown if pid not in waiting]
    for start in range(0, len(unknown), PAGE):
        entries = await history_entries(unknown[start : start + PAGE])
        if len(entries) < len(unknown[start : start + PAGE]) or None in entries.values():
            return True
    return False
