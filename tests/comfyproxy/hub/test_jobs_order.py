"""comfyproxy.handlers.jobs: a prompt that moves on between the questions is one job, always."""

import itertools
from collections.abc import Collection, Iterable
from typing import Any

import orjson
import pytest

from comfyproxy import entries, ownership, reconcile, upstream
from comfyproxy.calls import Call
from comfyproxy.entries import MAX_KEPT_BYTES
from comfyproxy.filters.queue import Ownership
from comfyproxy.handlers import jobs
from comfyproxy.kept import Kept
from comfyproxy.paths import canonical
from comfyproxy.queuewatch import Snapshot
from tests.comfyproxy.upstreamsockets import ALICE, MINE, identity

STAGES = ("waiting", "running", "ended", "noted")
MOVING = list(itertools.product(range(len(STAGES)), repeat=4))


class World:
    """One prompt that ComfyUI has, and that moves on by so many stages before each question."""

    def __init__(self, steps: Iterable[int]) -> None:
        self.stage = 0
        self.noted = False
        self.gone: set[str] = set()
        self._steps = iter(steps)

    def _now(self) -> str:
        self.stage = min(self.stage + next(self._steps, 0), len(STAGES) - 1)
        # Somebody else, such as the relay, may write its end down.
        self.noted = self.noted or STAGES[self.stage] == "noted"
        return STAGES[self.stage]

    async def unfinished(self, user_id: int) -> dict[str, bool]:
        self._now()
        return {} if self.noted else {MINE: True}

    async def look(self) -> Snapshot:
        now = self._now()
        item = [0, MINE, {}, {}]
        queue = {"queue_running": [], "queue_pending": []}
        if now in ("waiting", "running"):
            queue["queue_running" if now == "running" else "queue_pending"].append(item)
        return Snapshot(queue, await self.owners([MINE]))

    async def get_body(self, path: str) -> tuple[int, bytes]:
        entry = {"prompt": [0, MINE, {}, {}, []], "status": None}
        there = {MINE: entry} if self._now() in ("ended", "noted") else {}
        return 200, orjson.dumps(there)

    async def note_entries(self, entries: dict[str, Any]) -> None:
        self.noted = self.noted or bool(entries.get(MINE))

    async def ended_part(
        self, user_id: int, states: Collection[str], **part: Any
    ) -> list[tuple[str, int]]:
        self._now()
        return [(MINE, 5)] if self.noted and "success" in states else []

    async def count_ended(self, user_id: int, states: Collection[str]) -> int:
        return len(await self.ended_part(user_id, states))

    async def ended(self, user_id: int, **limits: int) -> ownership.EndedPage:
        return ownership.EndedPage([MINE] if self.noted else [], has_more=False)

    async def unfinished_and_ended(
        self, user_id: int, **limits: int
    ) -> tuple[dict[str, bool], ownership.EndedPage]:
        return await self.unfinished(user_id), await self.ended(user_id, **limits)

    async def set_gone(self, prompt_ids: Iterable[str]) -> None:
        self.gone |= set(prompt_ids)

    async def owners(self, prompt_ids: Iterable[str]) -> dict[str, Ownership]:
        return {prompt_id: Ownership(ALICE, None, 7, created_ms=5) for prompt_id in prompt_ids}


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(steps: Iterable[int]) -> World:
        world = World(steps)
        records = ("unfinished", "ended", "unfinished_and_ended", "ended_part", "count_ended")
        for name in (*records, "owners"):
            monkeypatch.setattr(ownership, name, getattr(world, name))
        for name in ("unlisted", "lost"):
            monkeypatch.setattr(ownership, name, world.set_gone)
        monkeypatch.setattr(reconcile, "note_entries", world.note_entries)
        for module in (reconcile, jobs):
            monkeypatch.setattr(module, "look", world.look)
        monkeypatch.setattr(upstream, "get_body", world.get_body)
        # What another case's world had is not in this one.
        monkeypatch.setattr(entries, "_kept", Kept(MAX_KEPT_BYTES, lambda entry: entry.size))
        return world

    return use


def call(query: str = "", **params: str) -> Call:
    async def nothing() -> Any:
        for _ in ():
            yield b""

    path = canonical(b"/api/jobs")
    return Call("GET", path, params, query.encode(), [], identity(ALICE), nothing)


@pytest.mark.parametrize("query", ["", "limit=1", "sort_by=execution_duration", "sort_order=asc"])
async def test_job_that_moves_on_is_listed_once(query: str, enter: Any) -> None:
    for steps in MOVING:
        world = enter(steps)
        answer = orjson.loads((await jobs.jobs_list(call(query))).body)
        assert [job["id"] for job in answer["jobs"]] == [MINE], steps
        assert world.gone == set()
        # If it ends between the last two questions it counts twice, for this one answer.
        assert answer["pagination"]["total"] in (1, 2)
    assert orjson.loads((await jobs.jobs_list(call(query))).body)["pagination"]["total"] == 1


async def test_job_that_moves_on_is_found(enter: Any) -> None:
    for steps in MOVING:
        world = enter(steps)
        job = orjson.loads((await jobs.job_one(call(job_id=MINE))).body)
        assert (job["id"], job["create_time"]) == (MINE, 5), steps
        assert world.gone == set()
