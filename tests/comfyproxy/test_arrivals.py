"""comfyproxy.arrivals: models that came past ComfyUI."""

from datetime import UTC, datetime

import pytest
from django.db import DatabaseError

from comfyproxy import arrivals

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Shop:
    """Stands in for who brings models, and for the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.newest: datetime | None = None
        self.is_away = False
        self.asked = 0

    def last(self) -> datetime | None:
        self.asked += 1
        if self.is_away:
            raise DatabaseError
        return self.newest

    async def came(self) -> bool:
        self.now += arrivals.ASK_SECONDS
        return await arrivals.came()


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop()
    monkeypatch.setattr(arrivals, "_newest", None)
    monkeypatch.setattr(arrivals, "_known", None)
    monkeypatch.setattr(arrivals, "_asked_at", float("-inf"))
    monkeypatch.setattr(arrivals, "monotonic", lambda: made.now)

    async def here(func: object) -> object:
        assert callable(func)
        return func()

    monkeypatch.setattr(arrivals, "in_db_thread", here)
    return made


async def test_nobody_brings_models_and_nobody_is_asked(shop: Shop) -> None:
    assert not await shop.came()
    assert shop.asked == 0


async def test_each_model_is_heard_of_once_and_the_database_asked_now_and_then(shop: Shop) -> None:
    arrivals.told_by(shop.last)
    assert not await shop.came()
    shop.newest = NOON
    for _ in range(20):
        assert not await arrivals.came()
    assert shop.asked == 1
    assert await shop.came()
    assert not await shop.came()
    # A clock that was set back is a change, too.
    shop.newest = NOON.replace(hour=11)
    assert await shop.came()


async def test_database_that_is_away_is_no_arrival_and_hides_none(shop: Shop) -> None:
    arrivals.told_by(shop.last)
    shop.newest, shop.is_away = NOON, True
    assert not await shop.came()
    shop.is_away = False
    assert await shop.came()
