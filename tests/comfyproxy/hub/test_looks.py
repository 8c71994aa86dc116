"""One look at the queue serves all who ask meanwhile, and is never older than the question."""

import asyncio
from typing import Any

import pytest

from accounts.errors import UpstreamUnreachable
from comfyproxy import comfyjson, queuewatch, upstream


class Queue:
    """ComfyUI's queue, counting who asks; each answer takes a moment."""

    def __init__(self) -> None:
        self.asked = 0
        self.running: list[Any] = []
        self.broken = False

    async def get_json(self, path: str) -> Any:
        self.asked += 1
        running = list(self.running)
        await asyncio.sleep(0.02)
        if self.broken:
            raise UpstreamUnreachable
        return {"queue_running": running, "queue_pending": []}


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    made = Queue()
    monkeypatch.setattr(upstream, "get_json", made.get_json)
    return made


async def test_crowd_that_asks_at_once_costs_two_looks(queue: Queue) -> None:
    first = asyncio.ensure_future(queuewatch.look())
    await asyncio.sleep(0)
    crowd = await asyncio.gather(*(queuewatch.look() for _ in range(50)))
    assert queue.asked == 2
    assert all(snapshot is crowd[0] for snapshot in crowd)
    assert await first is not crowd[0]


async def test_late_comer_sees_what_happened_before_it_asked(queue: Queue) -> None:
    first = asyncio.ensure_future(queuewatch.look())
    await asyncio.sleep(0.005)
    queue.running = [[0, "not-a-uuid", {}, {}, []]]
    late = await queuewatch.look()
    assert (await first).queue["queue_running"] == []
    assert late.queue["queue_running"] == queue.running


async def test_failed_look_is_nobody_elses_and_one_who_leaves_ends_none(queue: Queue) -> None:
    queue.broken = True
    first = asyncio.ensure_future(queuewatch.look())
    await asyncio.sleep(0.005)
    second = asyncio.ensure_future(queuewatch.look())
    third = asyncio.ensure_future(queuewatch.look())
    await asyncio.sleep(0.005)
    second.cancel()
    with pytest.raises(UpstreamUnreachable):
        await first
    queue.broken = False
    assert (await third).queue == {"queue_running": [], "queue_pending": []}


def test_bare_nan_of_a_node_makes_no_answer_unreadable() -> None:
    assert comfyjson.parsed(b'{"a": [NaN, -Infinity, 1.5], "b": "NaN"}') == {
        "a": [None, None, 1.5],
        "b": "NaN",
    }
    assert comfyjson.parsed(b"[" * 100_000) is None
    assert comfyjson.parsed(b"no json") is None
