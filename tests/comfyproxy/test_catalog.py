"""How old what ComfyUI offers may be for whom, and what serves while ComfyUI is away."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from accounts.errors import UpstreamBroke, UpstreamTimeout, UpstreamUnreachable
from comfyproxy import catalog
from comfyproxy.filters.models import KnownModels
from comfyproxy.offer import Catalog

EMPTY = Catalog.read({}, KnownModels(), frozenset(), 0.0)


class ComfyUI:
    """Stands in for what asks ComfyUI: counts, takes its time, fails on demand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def fetch(self, known: Catalog | None) -> Catalog:
        started = self.now
        self.asked += 1
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return replace(EMPTY, fetched_at=started)


@pytest.fixture
def comfyui(monkeypatch: pytest.MonkeyPatch) -> Iterator[ComfyUI]:
    found = ComfyUI()
    monkeypatch.setattr(catalog, "fetch", found.fetch)
    monkeypatch.setattr(catalog, "monotonic", lambda: found.now)
    monkeypatch.setattr(catalog, "_current", None)
    monkeypatch.setattr(catalog, "_fetching", None)
    monkeypatch.setattr(catalog, "_took", 0.0)
    monkeypatch.setattr(catalog, "_is_behind", False)
    monkeypatch.setattr(catalog, "_was_told", False)
    monkeypatch.setattr(catalog, "_expired_at", float("-inf"))
    monkeypatch.setattr(catalog, "_wishes", {})
    yield found


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_known_serves_for_a_while(comfyui: ComfyUI) -> None:
    first = await catalog.to_show()
    for age in (0, 10, 14.9):
        comfyui.now = 1000.0 + age
        assert await catalog.to_show() is first is await catalog.current()
    comfyui.now = 1029.9
    assert await catalog.current() is first
    assert comfyui.asked == 1


async def test_older_it_serves_while_one_fetch_for_all_is_under_way(comfyui: ComfyUI) -> None:
    first = await catalog.to_show()
    comfyui.now += 15
    comfyui.answers.clear()
    found = await asyncio.gather(*(catalog.to_show() for _ in range(20)))
    assert all(one is first for one in found)
    comfyui.now += 14.9
    assert await catalog.to_show() is first
    await settle()
    assert comfyui.asked == 2
    comfyui.answers.set()
    await settle()
    assert (await catalog.to_show()).fetched_at == 1015.0
    # A prompt does not make do with what is old.
    comfyui.now = 1045.0
    assert (await catalog.current()).fetched_at == 1045.0
    assert comfyui.asked == 3


async def test_what_is_older_than_half_a_minute_is_not_shown(comfyui: ComfyUI) -> None:
    await catalog.to_show()
    comfyui.now += 30
    found = await asyncio.gather(*(catalog.to_show() for _ in range(20)))
    assert {one.fetched_at for one in found} == {1030.0}
    assert comfyui.asked == 2


async def test_who_insists_gets_what_is_two_seconds_old_at_most(comfyui: ComfyUI) -> None:
    first = await catalog.to_show(insists=True)
    comfyui.now += 1.9
    assert await catalog.to_show(insists=True) is first
    comfyui.now += 0.1
    found = await asyncio.gather(*(catalog.to_show(insists=True) for _ in range(20)))
    assert {one.fetched_at for one in found} == {1002.0}
    assert comfyui.asked == 2


@pytest.mark.parametrize("error", [UpstreamUnreachable(), UpstreamTimeout(), UpstreamBroke()])
async def test_while_comfyui_is_away_readers_are_shown_the_last_known_and_prompts_refused(
    error: Exception, comfyui: ComfyUI, caplog: pytest.LogCaptureFixture
) -> None:
    first = await catalog.to_show()
    comfyui.error = error
    with caplog.at_level(logging.WARNING):
        for age in (40, 400, 4000):
            comfyui.now = 1000.0 + age
            for insists in (False, True):
                assert await catalog.to_show(insists=insists) is first
            await settle()
            with pytest.raises(type(error)):
                await catalog.current()
        assert len(caplog.records) == 1, "it is said once"
        comfyui.error = None
        assert await catalog.to_show() is not first
        comfyui.error = error
        comfyui.now += 500
        await catalog.to_show()
        assert len(caplog.records) == 2, "and again when it comes again"


async def test_nothing_is_known_and_comfyui_is_away(comfyui: ComfyUI) -> None:
    comfyui.error = UpstreamUnreachable()
    for insists in (False, True):
        with pytest.raises(UpstreamUnreachable):
            await catalog.to_show(insists=insists)


async def test_readers_do_not_wait_for_ever_for_a_comfyui_that_hangs(
    comfyui: ComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await catalog.to_show()
    monkeypatch.setattr(catalog, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(catalog, "SHORT_PATIENCE_SECONDS", 0.01)
    comfyui.now += 500
    comfyui.answers.clear()
    for insists in (False, True):
        assert await catalog.to_show(insists=insists) is first
    assert comfyui.asked == 2
    comfyui.answers.set()
    await settle()
    assert (await catalog.to_show()).fetched_at == 1500.0


async def test_a_reader_who_leaves_does_not_end_the_fetch_of_the_others(comfyui: ComfyUI) -> None:
    comfyui.answers.clear()
    leaving, staying = (asyncio.create_task(catalog.to_show()) for _ in range(2))
    await settle()
    leaving.cancel()
    await settle()
    comfyui.answers.set()
    assert (await staying).fetched_at == 1000.0
    assert comfyui.asked == 1


async def test_a_fault_of_ours_is_no_reason_to_show_what_is_old(comfyui: ComfyUI) -> None:
    await catalog.to_show()
    comfyui.error = RuntimeError("a bug")
    comfyui.now += 500
    with pytest.raises(RuntimeError):
        await catalog.to_show()


async def test_who_causes_many_looks_waits_longer_and_keeps_nobody_else(
    comfyui: ComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(max(0.0, seconds))
        comfyui.now += slept[-1]

    monkeypatch.setattr("comfyproxy.catalog.asyncio.sleep", sleep)
    for _ in range(catalog.WISHES):
        await catalog.fresh(1)
    assert max(slept) <= catalog.SPACING_SECONDS
    began, asked = comfyui.now, comfyui.asked
    for _ in range(20):
        await catalog.fresh(1)
    assert comfyui.asked - asked <= 20
    assert comfyui.now - began >= 14 * catalog.WISH_SECONDS
    slept.clear()
    await catalog.fresh(2)
    assert max(slept) <= catalog.SPACING_SECONDS
    comfyui.now += 100
    slept.clear()
    await catalog.fresh(1)
    assert max(slept, default=0) <= catalog.SPACING_SECONDS
    assert set(catalog._wishes) == {1}
