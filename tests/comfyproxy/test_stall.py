"""stall: when ComfyUI's worker counts as dead or stuck."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy import stall
from comfyproxy.models import Backend
from comfyproxy.stall import DEAD, IDLE_FOR, STUCK, Signs, judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STUCK_AFTER = timedelta(minutes=30)


def looks(*seen: tuple[float, list[str], list[str]]) -> list[str]:
    """What is said at each of these looks: (seconds from the start, running, pending)."""
    signs, said = Signs(), []
    for seconds, running, pending in seen:
        moment = NOW + timedelta(seconds=seconds)
        signs, fault = judge(signs, running, pending, moment, STUCK_AFTER)
        said.append(fault)
    return said


def test_worker_that_takes_nothing_is_dead_after_a_while() -> None:
    limit = IDLE_FOR.total_seconds()
    assert looks((0, [], ["a"]), (limit - 1, [], ["a"]), (limit, [], ["a", "b"])) == ["", "", DEAD]


def test_queue_that_moves_on_is_well() -> None:
    assert (
        looks((0, [], ["a"]), (50, ["a"], []), (100, [], ["b"]), (150, [], []), (200, [], ["c"]))
        == [""] * 5
    )


def test_prompt_that_runs_without_end_is_stuck_and_its_successor_is_not() -> None:
    limit = STUCK_AFTER.total_seconds()
    assert looks(
        (0, ["a"], ["b"]), (limit - 1, ["a"], []), (limit, ["a"], []), (limit + 1, ["b"], [])
    ) == ["", "", STUCK, ""]


@given(st.lists(st.tuples(st.integers(0, 59), st.booleans(), st.booleans()), max_size=20))
def test_within_a_minute_nothing_is_ever_wrong(seen: list[tuple[int, bool, bool]]) -> None:
    ordered = sorted(seen, key=lambda look: look[0])
    found = looks(*((second, ["a"] * runs, ["b"] * waits) for second, runs, waits in ordered))
    assert set(found) <= {""}


@pytest.mark.django_db
def test_what_is_seen_is_written_down_and_progress_counts_as_life() -> None:
    stall.observe(["a"], [], NOW)
    late = NOW + timedelta(minutes=29)
    Backend.objects.update(running_since=late)  # as progress does
    assert stall.observe(["a"], [], NOW + timedelta(minutes=58)).fault == ""
    row = stall.observe(["a"], [], NOW + timedelta(minutes=60))
    assert (row.fault, row.fault_since) == (STUCK, NOW + timedelta(minutes=60))
    row = stall.observe(["a"], [], NOW + timedelta(minutes=61))
    assert (row.fault, row.fault_since) == (STUCK, NOW + timedelta(minutes=60))
    row = stall.unreachable(NOW + timedelta(minutes=62))
    assert (row.fault, row.running_id) == (stall.UNREACHABLE, "")
    row = stall.observe([], [], NOW + timedelta(minutes=63))
    assert (row.fault, row.fault_since, row.checked_at) == ("", None, NOW + timedelta(minutes=63))
    assert Backend.objects.count() == 1


@pytest.mark.django_db
def test_progress_moves_only_what_runs() -> None:
    stall.observe([], ["a"], NOW)
    stall._note_progress()
    assert Backend.objects.get().running_since is None
    stall.observe(["a"], [], NOW)
    stall._note_progress()
    moved = Backend.objects.get().running_since
    assert moved is not None and moved > NOW
