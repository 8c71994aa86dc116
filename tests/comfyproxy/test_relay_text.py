"""Text frames of ComfyUI's socket: what a client may see of its own and others' runs."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.cachekey import INPUT
from comfyproxy.relay import (
    RunState,
    Sort,
    Verdict,
    announced_flags,
    flags_event,
    judge_text,
    status_event,
)

OWN, FOREIGN = "own-prompt", "foreign-prompt"


def is_own(prompt_id: str) -> bool:
    return prompt_id == OWN


def frame(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


def judge(text: str, state: RunState | None = None) -> Verdict:
    return judge_text(text, state or RunState(), is_own)


# Every event of a run that names its prompt (ComfyUI 0.3.64).
RUN: list[tuple[str, dict[str, Any]]] = [
    ("execution_start", {"timestamp": 1}),
    ("execution_cached", {"nodes": ["1"], "timestamp": 1}),
    ("executing", {"node": "1", "display_node": "1"}),
    ("progress", {"value": 1, "max": 2, "node": "1"}),
    ("progress_state", {"nodes": {"1": {"value": 1, "max": 2, "state": "running"}}}),
    ("executed", {"node": "1", "display_node": "1", "output": {"images": []}}),
    ("executing", {"node": None}),
    ("execution_success", {"timestamp": 1}),
    ("execution_error", {"node_id": "1", "exception_message": "x"}),
    ("execution_interrupted", {"node_id": "1", "executed": []}),
    ("a_custom_nodes_event", {"anything": 1}),
]


@pytest.mark.parametrize(("kind", "data"), RUN, ids=lambda value: str(value)[:40])
def test_an_event_of_ones_own_prompt_passes_as_it_is_and_anothers_does_not(
    kind: str, data: dict[str, Any]
) -> None:
    own = judge(frame(kind, prompt_id=OWN, **data))
    assert own.sort is Sort.EVENT
    assert isinstance(own.payload, str)
    assert json.loads(own.payload) == {"type": kind, "data": {"prompt_id": OWN, **data}}
    for state in (RunState(), RunState(running=OWN)):
        assert judge(frame(kind, prompt_id=FOREIGN, **data), state).sort is Sort.DROP
        # And what comes without an id afterwards is the other's.
        assert state.running is None


WITHOUT_ID = [
    frame("progress", value=1, max=2),
    frame("executing", node=None),
    frame("progress", prompt_id=None, value=1),
    frame("progress", prompt_id=7, value=1),
    frame("progress", prompt_id=[OWN], value=1),
]


@pytest.mark.parametrize("text", WITHOUT_ID)
def test_an_event_without_a_prompt_passes_only_while_ones_own_prompt_runs(text: str) -> None:
    assert judge(text).sort is Sort.DROP
    verdict = judge(text, RunState(running=OWN))
    assert (verdict.sort, verdict.payload, verdict.prompt_id) == (Sort.EVENT, text, None)


CUSTOM = [
    {"image": "secret"},
    {"node": "12"},
    {"node": 12},
    {"detail": {"about": [{"unique_id": "12"}]}},
    [OWN],
    "12",
    None,
]


@pytest.mark.parametrize("data", CUSTOM)
def test_a_custom_nodes_event_passes_if_it_names_a_node_of_ones_own_run(data: Any) -> None:
    text = json.dumps({"type": "a_custom_nodes_event", "data": data})
    concerned = "12" in json.dumps(data) and isinstance(data, dict)
    for state in (RunState(), RunState(running=OWN), RunState(nodes={"12"})):
        assert judge(text, state) == Verdict(Sort.CUSTOM, text, kind="a_custom_nodes_event")
    during = judge(text, RunState(running=OWN, nodes={"3", "12"}))
    assert during.sort is (Sort.EVENT if concerned else Sort.CUSTOM)


def test_the_nodes_of_a_run_are_those_it_was_heard_of() -> None:
    state = RunState()
    judge(frame("execution_start", prompt_id=OWN, timestamp=1700000000123), state)
    judge(frame("execution_cached", prompt_id=OWN, nodes=["1", "2"], timestamp=1), state)
    judge(frame("executing", prompt_id=OWN, node="3:7", display_node="3"), state)
    judge(frame("progress_state", prompt_id=OWN, nodes={"4": {}}), state)
    judge(frame("executed", prompt_id=FOREIGN, node="9"), state)
    assert state.nodes == {"1", "2", "3:7", "3", "4"}
    assert state.started_ms == 1700000000123
    judge(frame("execution_start", prompt_id=OWN), state)
    assert (state.nodes, state.started_ms) == (set(), None)


def test_a_client_comes_back_during_its_run_and_hears_which_node_it_is_at() -> None:
    text = frame("executing", node="3")
    assert judge(text) == Verdict(Sort.EVENT, text, kind="executing")


START = ("execution_start", "executing", "progress", "progress_state", "executed")


@pytest.mark.parametrize("kind", START)
def test_ones_own_run_begins_with_any_of_its_events(kind: str) -> None:
    state = RunState()
    judge(frame(kind, prompt_id=OWN, node="1"), state)
    assert state.running == OWN


@pytest.mark.parametrize(
    "end",
    [
        frame("execution_success", prompt_id=OWN),
        frame("execution_error", prompt_id=OWN),
        frame("execution_interrupted", prompt_id=OWN),
        frame("executing", prompt_id=OWN, node=None),
        frame("executing", prompt_id=OWN),
        frame("execution_start", prompt_id=FOREIGN),
    ],
)
def test_ones_own_run_ends_and_broadcasts_of_the_next_are_dropped(end: str) -> None:
    state = RunState(running=OWN)
    judge(end, state)
    assert state.running is None
    assert judge(WITHOUT_ID[0], state).sort is Sort.DROP


def test_the_end_of_an_earlier_prompt_does_not_end_the_one_that_runs() -> None:
    state = RunState(running="later")
    judge(frame("execution_success", prompt_id=OWN), state)
    assert state.running == "later"


@pytest.mark.parametrize("kind", ["execution_cached", "a_custom_nodes_event"])
def test_events_that_may_come_outside_a_run_do_not_begin_one(kind: str) -> None:
    state = RunState()
    judge(frame(kind, prompt_id=OWN, nodes=[]), state)
    assert state.running is None


def test_an_error_comes_without_server_paths_and_the_gateways_own_input() -> None:
    text = frame(
        "execution_error",
        prompt_id=OWN,
        traceback=['File "/srv/comfy/ComfyUI/nodes.py"'],
        current_inputs={"x": [1], INPUT: ["u-alice00000"]},
    )
    payload = judge(text).payload
    assert isinstance(payload, str)
    assert json.loads(payload)["data"] == {
        "prompt_id": OWN,
        "traceback": ['File "…/ComfyUI/nodes.py"'],
        "current_inputs": {"x": [1]},
    }


@pytest.mark.parametrize("data", [{"status": {"exec_info": {"queue_remaining": 9}}}, None, "x"])
def test_the_queues_status_never_passes_it_asks_for_a_count_of_ones_own(data: Any) -> None:
    for sid in ({}, {"sid": "upstream-id"}):
        inner = {**data, **sid} if isinstance(data, dict) else data
        verdict = judge(json.dumps({"type": "status", "data": inner}), RunState(running=OWN))
        assert verdict == Verdict(Sort.QUEUE_CHANGED)


def test_the_servers_flags_are_kept_and_its_log_is_for_those_who_may_read_it() -> None:
    assert judge(frame("feature_flags", a=1)) == Verdict(Sort.FLAGS, data={"a": 1})
    text = frame("logs", entries=[{"t": "1", "m": "secret"}], size=None)
    for state in (RunState(), RunState(running=OWN)):
        assert judge(text, state) == Verdict(Sort.LOGS, text, kind="logs")


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "7", "null", '"executing"', "{}", '{"type": 7}', '{"data": {}}', "{"]
)
def test_a_frame_shaped_like_nothing_is_dropped(text: str) -> None:
    assert judge(text, RunState(running=OWN)).sort is Sort.DROP
    assert judge("[" * 100_000, RunState(running=OWN)).sort is Sort.DROP


def test_a_frame_with_numbers_that_are_no_json_reaches_its_owner_as_json() -> None:
    text = '{"type": "executed", "data": {"prompt_id": "%s", "output": {"a": [NaN, -Infinity]}}}'
    verdict = judge(text % OWN)
    assert verdict.sort is Sort.EVENT and isinstance(verdict.payload, str)
    assert json.loads(verdict.payload)["data"]["output"] == {"a": [None, None]}
    assert judge(text % FOREIGN).sort is Sort.DROP


def test_an_owner_that_is_not_known_yet_leaves_the_state_for_a_second_judgement() -> None:
    class AskError(Exception):
        pass

    def ask(prompt_id: str) -> bool:
        raise AskError

    state = RunState(running=OWN)
    with pytest.raises(AskError):
        judge_text(frame("execution_start", prompt_id="unknown"), state, ask)
    assert state.running == OWN


def test_the_gateways_own_frames_look_like_comfyuis() -> None:
    assert json.loads(status_event(2)) == {
        "type": "status",
        "data": {"status": {"exec_info": {"queue_remaining": 2}}},
    }
    assert json.loads(status_event(0, "tab"))["data"]["sid"] == "tab"
    assert json.loads(flags_event({"a": True})) == {"type": "feature_flags", "data": {"a": True}}


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ('{"type": "feature_flags", "data": {"a": 1}}', {"a": 1}),
        ('{"type": "feature_flags"}', {}),
        ('{"type": "feature_flags", "data": []}', {}),
        ('{"type": "other", "data": {"a": 1}}', None),
        ("[]", None),
        ("no json", None),
    ],
)
def test_a_client_announces_its_flags_in_one_kind_of_message(text: str, flags: Any) -> None:
    assert announced_flags(text) == flags


_FRAMES: st.SearchStrategy[str] = st.builds(
    lambda kind, prompt, node: json.dumps(
        {"type": kind, "data": {"prompt_id": prompt, "node": node}}
    ),
    st.sampled_from([*START, "execution_success", "execution_error", "status", "custom", "logs"]),
    st.sampled_from([OWN, FOREIGN, None]),
    st.sampled_from(["1", None]),
)


@given(st.lists(_FRAMES | st.text(max_size=10), max_size=30))
def test_in_any_sequence_nothing_with_anothers_prompt_passes(frames: list[str]) -> None:
    state = RunState()
    last_named: str | None = None
    for text in frames:
        verdict = judge_text(text, state, is_own)
        data = _data(text)
        if verdict.sort is Sort.EVENT:
            assert FOREIGN not in str(verdict.payload)
        if data.get("prompt_id"):
            last_named = data["prompt_id"]
        assert state.running in (None, OWN)
        assert not (last_named == FOREIGN and state.running)


def _data(text: str) -> dict[str, Any]:
    loads: Callable[[str], Any] = json.loads
    try:
        event = loads(text)
    except ValueError:
        return {}
    if not isinstance(event, dict) or event.get("type") in ("status", "logs"):
        return {}
    return event.get("data") or {}
