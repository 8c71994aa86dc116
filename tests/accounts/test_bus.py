"""What processes tell each other: who hears it, and what becomes of it without Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery

from accounts.bus import Bus, RedisAway
from mssproject import beat
from tests.gateway import free_port
from tests.stack import OwnRedis

SECRET = "one installation's"


@pytest.fixture
def server() -> Iterator[OwnRedis]:
    server = OwnRedis(free_port())
    yield server
    server.stop()


async def until(true: Callable[[], object], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def hearing(*buses: Bus) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(bus.listen()) for bus in buses]
    try:
        await until(lambda: all(bus.hears for bus in buses))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for bus in buses:
            await bus.close()


async def test_others_hear_an_announcement_and_who_makes_it_does_not(server: OwnRedis) -> None:
    one, other = Bus(server.url(), SECRET, "1" * 16), Bus(server.url(), SECRET, "2" * 16)
    # Redis's channels do not care for the number of its database.
    stranger = Bus(server.url(1), "another installation's", "3" * 16)
    heard: dict[Bus, list[object]] = {one: [], other: [], stranger: []}
    for bus, messages in heard.items():
        bus.on("topic", messages.append)
    async with hearing(one, other, stranger):
        await asyncio.to_thread(one.announce, "topic", user_id=1)
        await until(lambda: heard[other])
        one.announce("topic", user_id=2)
        await until(lambda: len(heard[other]) == 2)
        other.announce("elsewhere")
        await asyncio.sleep(0.1)
    assert heard == {one: [], other: [{"user_id": 1}, {"user_id": 2}], stranger: []}


async def test_what_is_forgotten_everywhere_is_forgotten_here_at_once(server: OwnRedis) -> None:
    one, other = Bus(server.url(), SECRET, "1" * 16), Bus(server.url(), SECRET, "2" * 16)
    forgotten: list[str] = []
    forget = one.everywhere("memory", lambda: forgotten.append("here"))
    other.everywhere("memory", lambda: forgotten.append("there"))
    async with hearing(one, other):
        forget()
        assert forgotten == ["here"]
        await until(lambda: forgotten == ["here", "there"])


async def test_who_may_have_missed_something_is_told(server: OwnRedis) -> None:
    bus = Bus(server.url(), SECRET)
    gaps: list[None] = []
    bus.on_gap(lambda: gaps.append(None))
    async with hearing(bus):
        assert gaps == []
        server.stop()
        await until(lambda: not bus.hears)
        server.start()
        await until(lambda: bus.hears)
        assert gaps == [None]


async def test_without_redis_nobody_waits_long_and_it_is_said_once(
    server: OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    bus = Bus(server.url(), SECRET)
    await bus.command(lambda client: client.ping())
    server.stop()
    started = time.monotonic()
    for _ in range(50):
        await asyncio.to_thread(bus.announce, "topic")
        with pytest.raises(RedisAway):
            await bus.command(lambda client: client.ping())
    assert time.monotonic() - started < 1
    assert caplog.text.count("Redis does not answer") == 1
    server.start()
    # Left alone for a second, then tried again.
    async with asyncio.timeout(3):
        while True:
            try:
                await bus.command(lambda client: client.ping())
                break
            except RedisAway:
                await asyncio.sleep(0.1)
    assert "Redis answers again" in caplog.text
    await bus.close()


def test_one_beat_of_several_is_at_work_and_another_takes_over(
    server: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat, "bus", Bus(server.url(), SECRET))

    def at_work(process_id: str) -> bool:
        monkeypatch.setattr(beat, "PROCESS_ID", process_id)
        return beat.is_at_work()

    assert [at_work("one"), at_work("other"), at_work("one")] == [True, False, True]
    (key,) = server.client().keys("*:beat")
    assert 25 < server.client().ttl(key) <= beat.LEASE_SECONDS
    # Its machine is gone, and its lease with it.
    server.client().delete(key)
    assert [at_work("other"), at_work("one")] == [True, False]
    server.stop()
    assert not at_work("other")


def test_beat_of_the_only_worker_needs_no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "bus", Bus(None, SECRET))
    assert beat.is_at_work()


def test_beat_sends_what_is_due_after_its_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(beat, "bus", Bus(None, SECRET))
    app = Celery("clock", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"often": {"task": "t", "schedule": 0.2}}
    scheduler = beat.OneBeat(app=app, schedule_filename=str(tmp_path / "schedule"), lazy=True)
    sent: list[str] = []
    monkeypatch.setattr(scheduler, "apply_async", lambda entry, **_: sent.append(entry.task))
    scheduler.setup_schedule()
    entry = scheduler.schedule["often"]
    entry.last_run_at = entry.default_now() + timedelta(days=1)
    scheduler.tick()
    time.sleep(0.3)
    scheduler.tick()
    scheduler.close()
    assert sent == ["t"]
