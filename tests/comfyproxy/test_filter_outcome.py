"""filters.outcome: how and when a prompt ended, from its history entry."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.filters.outcome import Outcome, outcome_of
from comfyproxy.models import PromptRecord


def entry(*messages: Any, status: str = "success") -> dict[str, Any]:
    return {"status": {"status_str": status, "completed": True, "messages": list(messages)}}


START: list[Any] = ["execution_start", {"prompt_id": "p", "timestamp": 1000}]


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (entry(START, ["execution_success", {"timestamp": 3500}]), "success"),
        (entry(START, ["execution_error", {"timestamp": 3500}], status="error"), "error"),
        (
            entry(START, ["execution_interrupted", {"timestamp": 3500}], status="error"),
            "interrupted",
        ),
    ],
)
def test_end_and_times_are_read_from_the_messages(told: Any, state: str) -> None:
    assert outcome_of(told) == Outcome(state, 1000, 3500)
    assert outcome_of(told).seconds == 2.5
    assert state in PromptRecord.State.values


def test_what_is_missing_is_not_invented() -> None:
    assert outcome_of({"status": None}) == Outcome("success")
    assert outcome_of(entry(status="error")) == Outcome("error")
    assert outcome_of(entry(START)).seconds is None
    assert outcome_of(entry(["execution_success", {"timestamp": True}])).finished_ms is None
    assert outcome_of(entry(["execution_start", {"timestamp": 10**30}])).started_ms is None


def test_clock_that_was_set_back_gives_no_negative_time() -> None:
    assert outcome_of(entry(START, ["execution_success", {"timestamp": 10}])).seconds == 0


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(_JSON)
def test_any_json_has_an_outcome(value: Any) -> None:
    for told in (value, {"status": value}, {"status": {"messages": value}}, entry(value)):
        assert outcome_of(told).state in PromptRecord.State.values
