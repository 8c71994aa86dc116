"""What `GET /api/jobs` asks for: which jobs, in which order, which page of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from accounts.errors import BadRequest
from comfyproxy.filters.jobs import ENDED, QUEUED, STATUSES, Job

# The most of one answer, asked for or not; `has_more` tells that there are others.
MAX_PAGE: Final = 1000
# Nobody has so many. A database and JSON end at 64 bits.
MAX_OFFSET: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class JobQuery:
    """The parameters, checked. `limit` None: not given."""

    statuses: frozenset[str] = frozenset(STATUSES)
    workflow_id: str = ""
    by_duration: bool = False
    descending: bool = True
    limit: int | None = None
    offset: int = 0

    @property
    def queued(self) -> frozenset[str]:
        """Those of the statuses that the queue has."""
        return self.statuses & QUEUED

    @property
    def ended(self) -> frozenset[str]:
        """Those of the statuses that the history has."""
        return self.statuses & ENDED.keys()

    @property
    def is_by_record(self) -> bool:
        """Whether records say what is on a page, without the entries."""
        return not self.by_duration and not self.workflow_id

    @property
    def size(self) -> int:
        """The most jobs of the page."""
        return self.limit or MAX_PAGE

    @property
    def end(self) -> int:
        """How many jobs there are up to the page's end."""
        return self.offset + self.size

    def matching(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of the jobs that are asked for."""
        return [
            job
            for job in jobs
            if job["status"] in self.statuses
            and self.workflow_id in ("", job.get("workflow_id", ""))
        ]

    def page(self, jobs: Iterable[Job], skipped: int = 0) -> list[Job]:
        """The page of jobs, sorted. They come oldest first, which counts where the order
        leaves them equal. `skipped`: how many at the front of the order are not among them."""
        ordered = sorted(jobs, key=_duration if self.by_duration else _created)
        if self.descending:
            ordered.reverse()
        return ordered[self.offset - skipped : self.end - skipped]

    def pagination(self, total: int) -> dict[str, int | bool | None]:
        """What is told about the page."""
        return {
            "offset": self.offset,
            "limit": self.limit,
            "total": total,
            "has_more": self.end < total,
        }


def parse_query(params: Mapping[str, str]) -> JobQuery:
    """The query as ComfyUI reads it (server.py get_jobs): an empty `status` or `workflow_id`
    asks for all, a negative `offset` counts as 0, and `status=,` asks for nothing.

    Raises:
        BadRequest: with the parameter as `field`
    """
    limit = _number(params, "limit")
    if limit is not None and limit <= 0:
        raise BadRequest("limit must be more than 0.", field="limit")
    return JobQuery(
        statuses=_statuses(params.get("status", "")),
        workflow_id=params.get("workflow_id", ""),
        by_duration=_choice(params, "sort_by", ("created_at", "execution_duration")) == 1,
        descending=_choice(params, "sort_order", ("desc", "asc")) == 0,
        limit=None if limit is None else min(limit, MAX_PAGE),
        offset=min(max(_number(params, "offset") or 0, 0), MAX_OFFSET),
    )


def _statuses(text: str) -> frozenset[str]:
    if not text:
        return frozenset(STATUSES)
    named = {part.strip().lower() for part in text.split(",")} - {""}
    if not named <= set(STATUSES):
        raise BadRequest(f"status takes any of {', '.join(STATUSES)}.", field="status")
    return frozenset(named)


def _choice(params: Mapping[str, str], name: str, choices: tuple[str, str]) -> int:
    text = params.get(name, choices[0]).lower()
    if text not in choices:
        raise BadRequest(f"{name} must be {' or '.join(choices)}.", field=name)
    return choices.index(text)


def _number(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f"{name} must be a whole number.", field=name) from None


def _created(job: Job) -> int:
    return int(job["create_time"])


def _duration(job: Job) -> int:
    start, end = job.get("execution_start_time"), job.get("execution_end_time")
    return int(end - start) if start and end else 0
