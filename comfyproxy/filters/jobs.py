"""Queue items and history entries as jobs: the one shape that newer ComfyUI has for both.

The shape is that of comfy_execution/jobs.py (ComfyUI 0.6 to master of autumn 2026). All of a
job is made here, of what the owner may see: `visible_queue` and `visible_entry` come before.
"""

from typing import Any, Final

from comfyproxy.filters import outcome
from comfyproxy.filters.joboutputs import shown_outputs, summary_of
from comfyproxy.filters.outcome import outcome_of
from comfyproxy.filters.queue import SHOWN_EXTRA, Owners, Ownership

Job = dict[str, Any]

PENDING: Final = "pending"
IN_PROGRESS: Final = "in_progress"
QUEUED: Final = frozenset({PENDING, IN_PROGRESS})
# What the gateway's records call them.
ENDED: Final = {
    "completed": outcome.SUCCESS,
    "failed": outcome.ERROR,
    "cancelled": outcome.INTERRUPTED,
}
STATUSES: Final = (PENDING, IN_PROGRESS, *ENDED)
_STATUS_OF: Final = {state: status for status, state in ENDED.items()}


def queue_jobs(queue: dict[str, list[Any]], owners: Owners) -> list[Job]:
    """The jobs of a `visible_queue`, running ones first, in order of execution."""
    return [
        queued_job(item, status, owners.get(item[1]))
        for part, status in (("queue_running", IN_PROGRESS), ("queue_pending", PENDING))
        for item in queue[part]
    ]


def queued_job(
    item: list[Any], status: str, owner: Ownership | None = None, *, detail: bool = False
) -> Job:
    """An item of `visible_queue` as a job; `detail` adds its workflow."""
    number, prompt_id, graph, extra_data, *_ = item
    job = {
        "id": prompt_id,
        "status": status,
        "priority": _priority(number),
        "create_time": _created(owner, None),
        "outputs_count": 0,
        "previewable_outputs_count": 0,
        "workflow_id": _workflow_id(extra_data),
    }
    more = {"workflow": {"prompt": graph, "extra_data": extra_data}} if detail else {}
    return {**_without_none(job), **more}


def ended_job(
    prompt_id: str, entry: dict[str, Any], owner: Ownership | None = None, *, detail: bool = False
) -> Job:
    """A `visible_entry` as a job; `detail` adds outputs, status and workflow."""
    number, _, graph, extra_data, *_ = entry["prompt"]
    status = entry.get("status")
    end = outcome_of(entry)
    made = summary_of(entry.get("outputs"))
    job = {
        "id": prompt_id,
        "status": _STATUS_OF[end.state],
        "priority": _priority(number),
        "create_time": _created(owner, end.started_ms),
        "execution_start_time": _whole(end.started_ms),
        "execution_end_time": _whole(end.finished_ms),
        "execution_error": _error(status),
        "outputs_count": made.count,
        "previewable_outputs_count": made.previewable,
        "preview_output": made.preview,
        "workflow_id": _workflow_id(extra_data),
    }
    more = {
        "outputs": shown_outputs(entry.get("outputs")),
        "execution_status": status,
        "workflow": {"prompt": graph, "extra_data": extra_data},
    }
    return {**_without_none(job), **(more if detail else {})}


def _created(owner: Ownership | None, started_ms: float | None) -> int:
    """When the gateway wrote the prompt down. One it knows nothing of gets the best there is:
    ComfyUI's page gives up a whole list over one job without a number here."""
    return int(started_ms or 0) if owner is None else owner.created_ms


def _priority(number: Any) -> int | float | None:
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    return number if is_number else None


def _workflow_id(extra_data: Any) -> str | None:
    """The id that the page gave the workflow; the page takes no other than text."""
    found = extra_data
    for name in (SHOWN_EXTRA, "workflow", "id"):
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) else None


def _error(status: Any) -> dict[str, Any] | None:
    messages = status.get("messages") if isinstance(status, dict) else None
    for message in reversed(messages) if isinstance(messages, list) else ():
        if isinstance(message, list) and len(message) == 2 and message[0] == "execution_error":
            return message[1] if isinstance(message[1], dict) else None
    return None


def _whole(ms: float | None) -> int | None:
    return None if ms is None else int(ms)


def _without_none(job: Job) -> Job:
    return {name: value for name, value in job.items() if value is not None}
