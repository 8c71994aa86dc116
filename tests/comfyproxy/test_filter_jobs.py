"""Queue items and history entries as jobs: shape, status, times, and nothing that is secret."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.filters.history import visible_entry
from comfyproxy.filters.jobs import STATUSES, ended_job, queue_jobs, queued_job
from comfyproxy.filters.queue import Ownership, shown_item, visible_queue

ALICE, BOB = 1, 2
SECRET = "comfy-org-secret"
OWNERS = {
    "a1": Ownership(ALICE, "tab", 4, created_ms=1_700_000_000_123),
    "a2": Ownership(ALICE, None, 5, created_ms=1_700_000_000_456),
    "b1": Ownership(BOB, "tab", 0, created_ms=1_700_000_000_789),
}
FILE = {"filename": "x.png", "subfolder": "u-alice00000", "type": "output"}
ERROR = {"node_id": "3", "exception_message": "boom", "timestamp": 1_700_000_002_000}


def item(prompt_id: str, number: Any = 7, workflow: Any = "w") -> list[Any]:
    extra = {
        "client_id": "mapped-upstream-id",
        "auth_token_comfy_org": SECRET,
        "api_key_comfy_org": SECRET,
        "unknown": {"deep": SECRET},
        "create_time": 5,
        "extra_pnginfo": {"workflow": {"id": workflow}},
    }
    return [number, prompt_id, {"1": {"class_type": "X", "inputs": {}}}, extra, ["1"], SECRET]


def entry(state: str | None, *messages: list[Any], **changed: Any) -> dict[str, Any]:
    status = None if state is None else {"status_str": state, "messages": list(messages)}
    return {"prompt": item("a1"), "outputs": {"1": {"images": [FILE]}}, "status": status, **changed}


def at(event: str, ms: float, **more: Any) -> list[Any]:
    return [event, {"prompt_id": "a1", "timestamp": ms, **more}]


def job(raw: dict[str, Any], prompt_id: str = "a1", *, detail: bool = False) -> dict[str, Any]:
    visible = visible_entry(raw, OWNERS.get(prompt_id))
    assert visible is not None
    return ended_job(prompt_id, visible, OWNERS.get(prompt_id), detail=detail)


def test_the_queue_becomes_running_and_pending_jobs_of_its_owner() -> None:
    queue = {
        "queue_running": [item("b1", 1)],
        "queue_pending": [item("a2", 9, workflow=None), item("a1", 8), item("x", 3)],
    }
    mine = queue_jobs(visible_queue(queue, OWNERS, ALICE), OWNERS)
    counts = {"outputs_count": 0, "previewable_outputs_count": 0}
    assert mine == [
        {
            "id": "a1",
            "status": "pending",
            "priority": 4,
            "create_time": 1_700_000_000_123,
            **counts,
            "workflow_id": "w",
        },
        {
            "id": "a2",
            "status": "pending",
            "priority": 5,
            "create_time": 1_700_000_000_456,
            **counts,
        },
    ]
    theirs = queue_jobs(visible_queue(queue, OWNERS, BOB), OWNERS)
    assert [(one["id"], one["status"]) for one in theirs] == [("b1", "in_progress")]
    everybodys = queue_jobs(visible_queue(queue, OWNERS, None), OWNERS)
    assert [one["id"] for one in everybodys] == ["b1", "x", "a1", "a2"]
    # The page needs a number, and of a prompt that came past the gateway there is none.
    assert (everybodys[1]["create_time"], everybodys[1]["priority"]) == (0, 3)


def test_a_queued_job_in_detail_has_its_workflow_and_no_secret() -> None:
    detail = queued_job(shown_item(item("a1"), OWNERS["a1"]), "pending", OWNERS["a1"], detail=True)
    assert detail.pop("workflow") == {
        "prompt": {"1": {"class_type": "X", "inputs": {}}},
        "extra_data": {"client_id": "tab", "extra_pnginfo": {"workflow": {"id": "w"}}},
    }
    assert detail == queued_job(shown_item(item("a1"), OWNERS["a1"]), "pending", OWNERS["a1"])


def test_an_entry_becomes_a_job_with_times_counts_and_preview() -> None:
    raw = entry("success", at("execution_start", 1_700_000_001_000),
                at("execution_cached", 1_700_000_001_001, nodes=[]),
                at("execution_success", 1_700_000_003_500))  # fmt: skip
    assert job(raw) == {
        "id": "a1",
        "status": "completed",
        "priority": 4,
        "create_time": 1_700_000_000_123,
        "execution_start_time": 1_700_000_001_000,
        "execution_end_time": 1_700_000_003_500,
        "outputs_count": 1,
        "previewable_outputs_count": 1,
        "preview_output": {**FILE, "nodeId": "1", "mediaType": "images"},
        "workflow_id": "w",
    }
    detail = job(raw, detail=True)
    assert detail.keys() - job(raw).keys() == {"outputs", "execution_status", "workflow"}
    assert detail["outputs"] == raw["outputs"]
    assert detail["execution_status"] == raw["status"]
    assert detail["workflow"]["extra_data"] == {
        "client_id": "tab",
        "extra_pnginfo": {"workflow": {"id": "w"}},
    }
    assert SECRET not in str(detail)
    assert "mapped-upstream-id" not in str(detail)


@pytest.mark.parametrize(
    ("raw", "status", "error"),
    [
        (entry("success", at("execution_success", 2)), "completed", None),
        (entry("error", at("execution_start", 1), ["execution_error", ERROR]), "failed", ERROR),
        (entry("error", at("execution_interrupted", 2)), "cancelled", None),
        (entry("error"), "failed", None),
        (entry(None), "completed", None),
        (entry("error", ["execution_error", "no object"]), "failed", None),
        (entry("success", status="no status"), "completed", None),
    ],
)
def test_status_and_error_are_those_that_the_messages_tell(
    raw: dict[str, Any], status: str, error: Any
) -> None:
    found = job(raw)
    assert (found["status"], found.get("execution_error")) == (status, error)
    assert "execution_error" in found or error is None


def test_a_job_past_the_gateway_was_created_when_it_started() -> None:
    started = entry("success", at("execution_start", 1_700_000_001_000.7))
    assert job(started, "x")["create_time"] == 1_700_000_001_000
    assert job(entry("success"), "x")["create_time"] == 0
    assert job(entry("success"), "x")["priority"] == 7


@pytest.mark.parametrize(
    ("workflow_id", "shown"),
    [("w", "w"), ("", ""), (7, "7"), (True, None), (1.5, None), ([], None)],
)
def test_a_workflow_id_is_text_or_left_out(workflow_id: Any, shown: str | None) -> None:
    found = job(entry("success", prompt=item("a1", workflow=workflow_id)))
    assert found.get("workflow_id") == shown


TEXTS = st.text(max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
KEYS = TEXTS | st.sampled_from(
    ["images", "text", "3d", "animated", "filename", "format", "type", "timestamp", "workflow",
     "id", "extra_pnginfo", "messages", "status_str"]
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)
EVENTS = st.sampled_from(
    ["execution_start", "execution_success", "execution_error", "execution_interrupted"]
)
STATUS = ANYTHING | st.fixed_dictionaries(
    {"status_str": ANYTHING, "messages": st.lists(st.tuples(EVENTS, ANYTHING).map(list))}
)
TUPLES = st.lists(ANYTHING, min_size=4, max_size=6)


@given(TUPLES, STATUS, ANYTHING)
def test_any_json_becomes_a_job(prompt: list[Any], status: Any, outputs: Any) -> None:
    raw = {"prompt": prompt, "status": status, "outputs": outputs}
    for owner in (None, OWNERS["a1"]):
        visible = visible_entry(raw, owner)
        assert visible is not None
        found = ended_job("a1", visible, owner, detail=True)
        assert found["status"] in STATUSES
        assert isinstance(found["create_time"], int)
        waiting = queued_job(shown_item(prompt, owner), "pending", owner, detail=True)
        assert waiting["status"] == "pending"
        listed = (ended_job("a1", visible, owner), queued_job(shown_item(prompt, owner), "pending"))
        assert all(value is not None for one in listed for value in one.values())
