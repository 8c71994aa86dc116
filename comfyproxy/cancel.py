"""Stop prompts wherever they are: waiting ones leave the queue, a running one is interrupted."""

from collections.abc import Collection

from comfyproxy import ownership, upstream
from comfyproxy.entries import history_entries
from comfyproxy.filters.queue import ids_in, prompt_ids
from comfyproxy.queuewatch import look


async def cancel(wanted: Collection[str]) -> set[str]:
    """Stop those of the prompts that wait or run; which they were.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    snapshot = await look()
    pending = [pid for pid in ids_in(snapshot.queue, "queue_pending") if pid in wanted]
    running = [pid for pid in ids_in(snapshot.queue, "queue_running") if pid in wanted]
    if pending:
        await remove_waiting(pending)
        # One of them may have begun to run meanwhile.
        now_running = ids_in((await look()).queue, "queue_running")
        running += [pid for pid in now_running if pid in pending]
    for pid in running:
        await interrupt(pid)
    return {*pending, *running}


async def remove_waiting(pending: list[str]) -> None:
    """Take prompts out of the queue, and mark those as cancelled that really left it so: one
    may have begun to run meanwhile."""
    await upstream.request_json("POST", "/queue", {"delete": pending})
    still_there = set(prompt_ids((await look()).queue))
    entries = await history_entries(pid for pid in pending if pid not in still_there)
    await ownership.cancelled(pid for pid, entry in entries.items() if entry is None)


async def interrupt(prompt_id: str) -> None:
    """Interrupt this prompt, and no other, if it runs now."""
    await upstream.request_json("POST", "/interrupt", {"prompt_id": prompt_id})
