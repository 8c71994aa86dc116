"""Queue, history and interrupt: order, deletion, what is kept and what is removed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakecomfy import FakeComfyThread

from .graphs import fail, post, run, save, slow, wait_idle, wait_running
from .replay import Answer, send

SECRETS = {"auth_token_comfy_org": "SECRET", "api_key_comfy_org": "KEY", "other": "kept"}


def _queue(url: str) -> dict[str, Any]:
    return send(url, "GET", "/queue").json()


def _post_json(url: str, path: str, body: Any) -> Answer:
    return send(url, "POST", path, json_body=body)


def test_queue_shows_everyones_prompts_and_secrets_history_less(fake: FakeComfyThread) -> None:
    post(fake.url, slow(0.3), extra_data=dict(SECRETS), client_id="a", prompt_id="running")
    wait_running(fake.url)
    post(fake.url, save(1), extra_data={"auth_token_comfy_org": "B"}, prompt_id="pending")
    queue = _queue(fake.url)
    number, prompt_id, prompt, extra, outputs = queue["queue_running"][0]
    assert (number, prompt_id, outputs) == (0, "running", ["3"])
    assert prompt["2"]["class_type"] == "FakeSlow"
    assert extra == {**SECRETS, "client_id": "a"}
    assert queue["queue_pending"][0][3] == {"auth_token_comfy_org": "B"}
    wait_idle(fake.url)
    history = send(fake.url, "GET", "/history").json()
    assert history["running"]["prompt"][3] == {"other": "kept", "client_id": "a"}
    assert history["pending"]["prompt"][3] == {}


def test_pending_prompts_are_listed_as_a_heap_and_run_in_order(fake: FakeComfyThread) -> None:
    fake.pause()
    for name, more in (
        ("plain-1", {}),
        ("plain-2", {}),
        ("front-1", {"front": True}),
        ("front-2", {"front": True}),
        ("plain-3", {}),
        ("first", {"number": -1000}),
    ):
        post(fake.url, save(3, f"o/{name}"), prompt_id=name, **more)
    listed = [item[1] for item in _queue(fake.url)["queue_pending"]]
    assert listed != sorted(listed)
    assert listed[0] == "first"
    fake.resume()
    wait_idle(fake.url)
    ran = list(send(fake.url, "GET", "/history").json())
    assert ran == ["first", "front-2", "front-1", "plain-1", "plain-2", "plain-3"]


def test_client_deletes_pending_prompts_of_anyone(fake: FakeComfyThread) -> None:
    fake.pause()
    for name in ("a", "b", "same", "same", "c"):
        post(fake.url, save(), prompt_id=name)
    answer = _post_json(fake.url, "/queue", {"delete": ["a", "nope", "same"]})
    assert (answer.status, answer.body) == (200, b"")
    assert sorted(i[1] for i in _queue(fake.url)["queue_pending"]) == ["b", "c", "same"]
    _post_json(fake.url, "/queue", {"delete": "bc"})  # taken letter by letter
    assert [i[1] for i in _queue(fake.url)["queue_pending"]] == ["same"]
    _post_json(fake.url, "/queue", {"clear": False})
    assert len(_queue(fake.url)["queue_pending"]) == 1
    _post_json(fake.url, "/queue", {"clear": True})
    assert _queue(fake.url)["queue_pending"] == []
    assert _post_json(fake.url, "/queue", {"delete": None}).status == 500
    assert send(fake.url, "POST", "/queue", "x").status == 500
    assert _post_json(fake.url, "/queue", ["clear"]).status == 500


@pytest.mark.parametrize("body", [None, "x", "{}", '{"prompt_id": ""}', '{"prompt_id": null}'])
def test_client_interrupts_without_id_whatever_runs_stops(
    fake: FakeComfyThread, body: str | None
) -> None:
    post(fake.url, slow(10), client_id="somebody", prompt_id="p")
    wait_running(fake.url)
    assert send(fake.url, "POST", "/interrupt", body).status == 200
    wait_idle(fake.url, 5)
    status = send(fake.url, "GET", "/history/p").json()["p"]["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert status["messages"][-1][0] == "execution_interrupted"


def test_client_interrupts_with_id_only_that_prompt_stops(fake: FakeComfyThread) -> None:
    post(fake.url, slow(10), prompt_id="p")
    post(fake.url, save(), prompt_id="q")
    wait_running(fake.url)
    assert _post_json(fake.url, "/interrupt", {"prompt_id": "q"}).status == 200
    time.sleep(0.1)
    assert _queue(fake.url)["queue_running"][0][1] == "p"
    _post_json(fake.url, "/interrupt", {"prompt_id": "p"})
    wait_idle(fake.url, 5)
    history = send(fake.url, "GET", "/history").json()
    assert [history[i]["status"]["status_str"] for i in ("p", "q")] == ["error", "success"]


def test_client_interrupts_idle_server_next_prompt_runs(fake: FakeComfyThread) -> None:
    assert send(fake.url, "POST", "/interrupt").status == 200
    assert run(fake.url, slow(0.05))["status"]["completed"]
    assert _post_json(fake.url, "/interrupt", []).status == 500


def test_history_is_paged_and_deleted_as_upstream(fake: FakeComfyThread) -> None:
    for number in range(5):
        run(fake.url, save(number), prompt_id=str(number))

    def page(query: str) -> list[int]:
        return [int(k) for k in send(fake.url, "GET", f"/history{query}").json()]

    assert page("") == page("?max_items=99") == [0, 1, 2, 3, 4]
    assert page("?max_items=2") == [3, 4]
    assert page("?max_items=2&offset=0") == [0, 1]
    assert page("?max_items=2&offset=1") == [1, 2]
    assert page("?offset=3") == [3, 4]
    assert page("?offset=99") == page("?max_items=0") == page("?max_items=-1") == []
    for query in ("?max_items=x", "?max_items="):
        assert send(fake.url, "GET", f"/history{query}").status == 500
    assert _post_json(fake.url, "/history", {"delete": ["0", "unknown"]}).status == 200
    assert page("") == [1, 2, 3, 4]
    assert _post_json(fake.url, "/history", {"clear": True}).body == b""
    assert page("") == []
    assert send(fake.url, "DELETE", "/history/1").status == 405


def test_same_id_again_replaces_the_entry_at_its_old_place(fake: FakeComfyThread) -> None:
    run(fake.url, save(1, "h/a"), prompt_id="a")
    run(fake.url, save(2, "h/b"), prompt_id="b")
    entry = run(fake.url, save(3, "h/c"), prompt_id="a")
    assert entry["prompt"][2]["2"]["inputs"]["filename_prefix"] == "h/c"
    assert list(send(fake.url, "GET", "/history").json()) == ["a", "b"]


def test_failed_prompt_keeps_earlier_outputs_in_history(fake: FakeComfyThread) -> None:
    graph = fail("late")
    graph["4"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    entry = run(fake.url, graph)
    assert list(entry["outputs"]) == ["4"]
    assert entry["meta"]["4"]["real_node_id"] == "4"
    event, data = entry["status"]["messages"][-1]
    assert (event, data["node_id"], data["node_type"]) == ("execution_error", "2", "FakeFail")


def test_history_of_waiting_and_running_prompts_is_empty(fake: FakeComfyThread) -> None:
    post(fake.url, slow(0.2), prompt_id="running")
    post(fake.url, save(), prompt_id="pending")
    wait_running(fake.url)
    for prompt_id in ("running", "pending", "unknown"):
        answer = send(fake.url, "GET", f"/history/{prompt_id}")
        assert (answer.status, answer.json()) == (200, {})


def test_server_runs_more_than_20_prompts_a_second(fake: FakeComfyThread) -> None:
    started = time.monotonic()
    for number in range(40):
        post(fake.url, save(number, "perf/x", size=256), client_id="a")
    wait_idle(fake.url)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("body", [None, ""])
def test_client_frees_without_body_gets_500(fake: FakeComfyThread, body: str | None) -> None:
    assert send(fake.url, "POST", "/free", body).status == 500


def test_jobs_list_shows_states_in_pages(fake: FakeComfyThread) -> None:
    run(
        fake.url, save(1), prompt_id="done", extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}}
    )
    run(fake.url, fail(), prompt_id="failed")
    post(fake.url, slow(0.5), prompt_id="running")
    wait_running(fake.url)
    post(fake.url, save(2), prompt_id="pending")
    answer = send(fake.url, "GET", "/api/jobs").json()
    states = {job["id"]: job["status"] for job in answer["jobs"]}
    assert states == {
        "done": "completed",
        "failed": "failed",
        "running": "in_progress",
        "pending": "pending",
    }
    assert answer["pagination"] == {"offset": 0, "limit": None, "total": 4, "has_more": False}
    page = send(fake.url, "GET", "/api/jobs?limit=1&offset=1&status=completed,failed").json()
    assert len(page["jobs"]) == 1
    assert page["pagination"] == {"offset": 1, "limit": 1, "total": 2, "has_more": False}
    one = send(fake.url, "GET", "/api/jobs/done").json()
    assert (one["outputs_count"], one["workflow_id"]) == (1, "w")
    assert one["preview_output"]["mediaType"] == "images"
    assert one["workflow"]["prompt"]["1"]["class_type"] == "EmptyImage"
    assert send(fake.url, "GET", "/api/jobs/nope").status == 404
    assert send(fake.url, "GET", "/jobs").status == 404
    assert send(fake.url, "GET", "/api/jobs?limit=x").status == 400
    send(fake.url, "POST", "/interrupt")
    wait_idle(fake.url)
    assert send(fake.url, "GET", "/api/jobs/running").json()["status"] == "cancelled"


def test_jobs_are_cancelled_running_and_pending(fake: FakeComfyThread) -> None:
    post(fake.url, slow(20), prompt_id="running")
    wait_running(fake.url)
    for name in ("one", "two", "three"):
        post(fake.url, save(), prompt_id=name)
    url = fake.url
    assert _post_json(url, "/api/jobs/cancel", {"job_ids": ["one", "nope"]}).status == 404
    assert _post_json(url, "/api/jobs/cancel", {"job_ids": ["one", "two"]}).json() == {
        "cancelled": True
    }
    assert [i[1] for i in _queue(url)["queue_pending"]] == ["three"]
    assert send(url, "POST", "/api/jobs/nope/cancel").json() == {"cancelled": False}
    assert send(url, "POST", "/api/jobs/running/cancel").json() == {"cancelled": True}
    wait_idle(url)
    history = send(url, "GET", "/history").json()
    assert list(history) == ["running", "three"]


def test_server_of_the_recorded_version_has_no_jobs(base: Path) -> None:
    with FakeComfyThread(base, jobs=False) as server:
        assert send(server.url, "GET", "/api/jobs").status == 404
        assert send(server.url, "POST", "/api/jobs/x/cancel").status == 405
