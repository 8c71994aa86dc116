"""What may pass is tried again: not too soon, not for ever, and not after a cancel."""

import pytest

from downloads.errors import Cancelled, DownloadError, NotFound, SourceBusy, SourceDown
from downloads.retry import Backoff, Patience, persist

QUICK = Backoff(tries=5, first=0, most=0)


class Failing:
    """Fails with these errors, then answers."""

    def __init__(self, *errors: DownloadError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_passes_is_tried_again() -> None:
    action = Failing(SourceDown(), SourceBusy(retry_after=0))
    assert persist(action, backoff=QUICK, cancelled=lambda: False) == "done"


def test_what_lasts_is_not() -> None:
    action = Failing(NotFound(), SourceDown())
    with pytest.raises(NotFound):
        persist(action, backoff=QUICK, cancelled=lambda: False)
    assert action.calls == 1


def test_tries_are_bounded_in_all_and_by_kind() -> None:
    action = Failing(*[SourceDown()] * 9)
    with pytest.raises(SourceDown):
        persist(action, backoff=QUICK, cancelled=lambda: False)
    assert action.calls == 5
    rare = Failing(*[NotFound(permanent=False, tries=2)] * 9)
    with pytest.raises(NotFound):
        persist(rare, backoff=QUICK, cancelled=lambda: False)
    assert rare.calls == 2


def test_progress_gives_new_tries_but_not_for_ever() -> None:
    patience = Patience(Backoff(tries=2, first=0, most=0, tries_in_all=10), lambda: False)
    with pytest.raises(SourceDown):
        for _ in range(20):
            patience.after(SourceDown(str(_)))
            patience.progressed()
    assert _ == 9


def test_waits_double_and_honour_what_the_site_asks() -> None:
    waits: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        waits.append(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("downloads.retry.time.monotonic", lambda: now[0])
        patience = Patience(Backoff(first=2, most=60), lambda: False, sleep=sleep)
        patience.after(SourceDown())
        assert 1 <= now[0] <= 2.01
        before = now[0]
        patience.after(SourceDown())
        assert 2 <= now[0] - before <= 4.01
        before = now[0]
        patience.after(SourceBusy(retry_after=30))
        assert 29.9 < now[0] - before < 31
    assert max(waits) <= 0.25


def test_a_wait_too_long_is_left_to_others() -> None:
    patience = Patience(Backoff(max_wait=10), lambda: False)
    with pytest.raises(SourceBusy) as caught:
        patience.after(SourceBusy(retry_after=11))
    assert caught.value.retry_after == 11


def test_a_cancel_ends_the_waiting() -> None:
    patience = Patience(Backoff(), lambda: True)
    with pytest.raises(Cancelled):
        patience.after(SourceDown())
