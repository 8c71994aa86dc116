"""comfyproxy.reconcile: a prompt that moves on while the history is asked for is never taken for
lost."""

import itertools
from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from comfyproxy import entries, ownership, reconcile, upstream
from comfyproxy.entries import MAX_KEPT_BYTES
from comfyproxy.filters.queue import Ownership
from comfyproxy.handlers import history
from comfyproxy.kept import Kept
from comfyproxy.queuewatch import Snapshot
from tests.comfyproxy.upstreamsockets import ALICE, MINE, identity

STAGES = ("recorded", "waiting", "accepted", "running", "ended")


class World:
    """One prompt, that moves on by so many stages before each question."""

    def __init__(self, stage: int, steps: Iterable[int], answers: bool = True) -> None:
        self.stage = stage
        self.answers = answers
        self.lost: set[str] = set()
        self.noted: set[str] = set()
        self._steps = iter(steps)

    def _now(self) -> str:
        self.stage = min(self.stage + next(self._steps, 0), len(STAGES) - 1)
        return STAGES[self.stage]

    async def unfinished(self, user_id: int) -> dict[str, bool]:
        now = self._now()
        # ComfyUI's answer is written down some time after it took the prompt.
        return {} if self.noted else {MINE: STAGES.index(now) >= STAGES.index("accepted")}

    async def ended(self, user_id: int, **limits: int) -> ownership.EndedPage:
        return ownership.EndedPage([MINE] if self.noted else [], has_more=False)

    async def unfinished_and_ended(
        self, user_id: int, **limits: int
    ) -> tuple[dict[str, bool], ownership.EndedPage]:
        return await self.unfinished(user_id), await self.ended(user_id)

    async def note_entries(self, entries: dict[str, Any]) -> None:
        self.noted |= {pid for pid, entry in entries.items() if entry}

    async def look(self) -> Snapshot:
        now = self._now()
        item = [0, MINE, {}, {}]
        return Snapshot(
            {
                "queue_running": [item] if now == "running" else [],
                "queue_pending": [item] if now in ("waiting", "accepted") else [],
            },
            {},
        )

    async def get_body(self, path: str) -> tuple[int, bytes]:
        assert path == f"/history/{MINE}"
        now = self._now()
        if not self.answers:
            return 500, b""
        there = {MINE: {"prompt": [0, MINE, {}, {}, []]}} if now == "ended" else {}
        return 200, orjson.dumps(there)

    async def set_lost(self, prompt_ids: Iterable[str]) -> None:
        self.lost |= set(prompt_ids)

    async def owners(self, prompt_ids: Iterable[str]) -> dict[str, Ownership]:
        return {prompt_id: Ownership(ALICE, None, 7) for prompt_id in prompt_ids}


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(world: World) -> World:
        monkeypatch.setattr(ownership, "unfinished", world.unfinished)
        monkeypatch.setattr(ownership, "ended", world.ended)
        monkeypatch.setattr(ownership, "unfinished_and_ended", world.unfinished_and_ended)
        monkeypatch.setattr(ownership, "unlisted", world.set_lost)
        monkeypatch.setattr(reconcile, "note_entries", world.note_entries)
        monkeypatch.setattr(ownership, "lost", world.set_lost)
        monkeypatch.setattr(ownership, "owners", world.owners)
        monkeypatch.setattr(reconcile, "look", world.look)
        monkeypatch.setattr(upstream, "get_body", world.get_body)
        # What another case's world had is not in this one.
        monkeypatch.setattr(entries, "_kept", Kept(MAX_KEPT_BYTES, lambda entry: entry.size))
        return world

    return use


@pytest.mark.parametrize("stage", range(len(STAGES)), ids=STAGES)
async def test_prompt_on_its_way_is_never_lost(stage: int, enter: Any) -> None:
    for steps in itertools.product(range(len(STAGES)), repeat=3):
        world = enter(World(stage, steps))
        shown = await history.newest(identity(ALICE), 5)
        assert world.lost == set(), steps
        assert set(shown) <= {MINE}
    # Once it has ended it is shown.
    enter(World(STAGES.index("ended"), ()))
    assert list(await history.newest(identity(ALICE), 5)) == [MINE]


async def test_answer_that_is_none_is_no_proof_that_an_entry_is_gone(enter: Any) -> None:
    world = enter(World(STAGES.index("ended"), (), answers=False))
    assert await history.newest(identity(ALICE), 5) == {}
    assert world.lost == set()
