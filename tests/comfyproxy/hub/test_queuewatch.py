"""comfyproxy.queuewatch: a user is told when their own set changed, and then only."""

import asyncio
from collections.abc import Iterator

import pytest

from comfyproxy import queuewatch
from comfyproxy.queuewatch import QueueWatch
from tests.comfyproxy.upstreamsockets import ALICE, BOB, UNREACHABLE, Queue, turns


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    fake = Queue()
    monkeypatch.setattr(queuewatch, "look", fake.look)
    monkeypatch.setattr(queuewatch, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(queuewatch, "RETRY_SECONDS", 0)
    return fake


@pytest.fixture
def watch(queue: Queue) -> Iterator[QueueWatch]:
    watch = QueueWatch()
    yield watch
    # Whatever happened, nothing is left behind of who went.
    for user_id, listeners in list(watch._listeners.items()):
        for listener in list(listeners):
            watch.unsubscribe(user_id, listener)
    assert (watch._listeners, watch._last, watch._unseen) == ({}, {}, {})


async def test_listener_is_told_of_changes_of_its_own_users_set_only(
    watch: QueueWatch, queue: Queue
) -> None:
    alices: list[int] = []
    bobs: list[int] = []
    queue.pending = {"a": ALICE}
    assert await watch.subscribe(ALICE, alices.append) == 1
    assert await watch.subscribe(BOB, bobs.append) == 0
    for running, pending in (
        ({}, {"a": ALICE}),
        ({}, {"a": ALICE, "b": BOB}),
        ({"a": ALICE}, {"b": BOB}),
        ({"b": BOB}, {}),
        ({"x": 3}, {"b": BOB}),
        ({}, {}),
    ):
        queue.running, queue.pending = running, pending
        watch.changed()
        await turns()
    # Alice: runs, is gone. Bob: waits, runs, waits again, is gone.
    assert (alices, bobs) == ([1, 0], [1, 1, 1, 0])
    assert (watch.count(ALICE), watch.count(BOB), watch.count(3)) == (0, 0, 0)


async def test_many_hints_cost_one_look(watch: QueueWatch, queue: Queue) -> None:
    await watch.subscribe(ALICE, lambda count: None)
    before = queue.looks
    for _ in range(100):
        watch.changed()
    await turns()
    assert queue.looks == before + 1


async def test_hint_during_a_look_is_followed_by_another(watch: QueueWatch, queue: Queue) -> None:
    told: list[int] = []
    await watch.subscribe(ALICE, told.append)
    queue.answers.clear()
    watch.changed()
    await turns()
    queue.pending = {"a": ALICE}
    watch.changed()
    queue.answers.set()
    await turns()
    assert told == [1]


async def test_change_during_the_first_look_is_not_lost(watch: QueueWatch, queue: Queue) -> None:
    told: list[int] = []
    queue.answers.clear()
    subscribing = asyncio.ensure_future(watch.subscribe(ALICE, told.append))
    await turns()
    # The first look began before this; the second one knows more and may come first.
    queue.pending = {"a": ALICE}
    watch.changed()
    await turns()
    queue.answers.set()
    await subscribing
    await turns()
    assert watch.count(ALICE) == 1


async def test_failed_first_look_leaves_no_listener(watch: QueueWatch, queue: Queue) -> None:
    queue.failure = UNREACHABLE
    with pytest.raises(type(UNREACHABLE)):
        await watch.subscribe(ALICE, lambda count: None)
    assert watch._listeners == {}
    queue.failure = None
    queue.pending = {"a": ALICE}
    assert await watch.subscribe(ALICE, lambda count: None) == 1


async def test_failed_look_is_tried_again_while_somebody_listens(
    watch: QueueWatch, queue: Queue
) -> None:
    told: list[int] = []
    await watch.subscribe(ALICE, told.append)
    queue.failure = UNREACHABLE
    queue.pending = {"a": ALICE}
    watch.changed()
    await turns()
    assert told == []
    queue.failure = None
    await turns()
    assert told == [1]
    queue.failure = UNREACHABLE
    watch.changed()
    watch.unsubscribe(ALICE, told.append)
    await turns()
    looks = queue.looks
    await turns()
    assert queue.looks == looks


async def test_prompt_that_came_and_went_between_two_looks_is_told_of_once(
    watch: QueueWatch, queue: Queue
) -> None:
    alices: list[int] = []
    bobs: list[int] = []
    await watch.subscribe(ALICE, alices.append)
    await watch.subscribe(BOB, bobs.append)
    watch.expect(ALICE, "quick")
    watch.changed()
    await turns()
    assert alices == []
    watch.arrived("quick")
    await turns()
    assert (alices, bobs) == ([0], [])
    watch.changed()
    await turns()
    assert (alices, bobs) == ([0], [])


async def test_prompt_that_was_seen_already_is_not_told_of_twice(
    watch: QueueWatch, queue: Queue
) -> None:
    told: list[int] = []
    await watch.subscribe(ALICE, told.append)
    watch.expect(ALICE, "p")
    queue.pending = {"p": ALICE}
    watch.changed()
    await turns()
    watch.arrived("p")
    await turns()
    assert told == [1]
    queue.pending = {}
    watch.changed()
    await turns()
    assert told == [1, 0]


async def test_look_that_began_before_a_prompt_came_says_nothing_about_it(
    watch: QueueWatch, queue: Queue
) -> None:
    told: list[int] = []
    await watch.subscribe(ALICE, told.append)
    watch.expect(ALICE, "p")
    queue.answers.clear()
    watch.changed()
    await turns()
    queue.pending = {"p": ALICE}
    watch.arrived("p")
    queue.answers.set()
    await turns()
    assert told == [1]


async def test_refused_prompt_is_no_news(watch: QueueWatch, queue: Queue) -> None:
    told: list[int] = []
    await watch.subscribe(ALICE, told.append)
    watch.expect(ALICE, "p")
    watch.forget("p")
    watch.changed()
    await turns()
    assert told == []


async def test_prompts_of_who_does_not_listen_cost_no_look(watch: QueueWatch, queue: Queue) -> None:
    await watch.subscribe(BOB, lambda count: None)
    before = queue.looks
    watch.expect(ALICE, "p")
    watch.arrived("p")
    await turns()
    assert queue.looks == before


async def test_settling_brings_the_count_up_to_date(watch: QueueWatch, queue: Queue) -> None:
    told: list[int] = []
    await watch.subscribe(ALICE, told.append)
    before = queue.looks
    await watch.settle(ALICE)
    assert queue.looks == before
    queue.pending = {"a": ALICE}
    watch.changed()
    await watch.settle(ALICE)
    assert watch.count(ALICE) == 1
    await turns()
    assert told == [1]
