"""Prompt bodies that stop the worker or the whole server, and some that look dangerous only."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.fakecomfy import FakeComfyThread

from .graphs import post, save, wait_idle, wait_running
from .replay import differences, load, send

CASES = load("crashes.json")


def _of(verdict: str) -> list[Any]:
    return [pytest.param(c, id=c["name"]) for c in CASES if c["verdict"] == verdict]


def _statuses(url: str, case: dict[str, Any]) -> list[int]:
    """Sends a case's prompts; if the first is a slow one it runs until all have been sent."""
    statuses = []
    held = "FakeSlow" in str(case["requests"][0])
    for number, body in enumerate(case["requests"]):
        statuses.append(send(url, "POST", "/prompt", json_body=body).status)
        if held and number == 0:
            wait_running(url)
    if held:
        send(url, "POST", "/interrupt")
    return statuses


def _chain(length: int, into_output: bool) -> dict[str, Any]:
    graph = save(1)
    for number in range(10, 10 + length):
        source = "1" if number == 10 else str(number - 1)
        graph[str(number)] = {"class_type": "ImageInvert", "inputs": {"image": [source, 0]}}
    if into_output:
        graph["2"]["inputs"]["images"] = [str(9 + length), 0]
    return graph


def _until(check: Any, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("case", _of("lives"))
def test_client_sends_odd_prompt_server_survives(
    fake: FakeComfyThread, case: dict[str, Any]
) -> None:
    assert _statuses(fake.url, case) == case["statuses"]
    wait_idle(fake.url)
    assert post(fake.url, save(99), prompt_id="after").status == 200
    wait_idle(fake.url)
    history = send(fake.url, "GET", "/history").json()
    assert history["after"]["status"]["status_str"] == "success"
    if "history" in case and len(case["requests"]) == 1:
        entry = next(e for k, e in history.items() if k != "after")
        status, last = entry["status"], entry["status"]["messages"][-1]
        assert status["status_str"] == case["history"]["status_str"]
        assert last[0] == case["history"]["last"]
        assert last[1].get("exception_message") == case["history"]["message"]


@pytest.mark.parametrize("case", _of("dead worker"))
def test_client_sends_fatal_prompt_worker_dies_and_http_goes_on(
    fake: FakeComfyThread, case: dict[str, Any]
) -> None:
    assert _statuses(fake.url, case) == case["statuses"]
    assert _until(lambda: not fake.worker_alive)
    assert case["log"] in send(fake.url, "GET", "/internal/logs").json()
    assert post(fake.url, save(99), prompt_id="after").status == 200
    time.sleep(0.1)
    queue = send(fake.url, "GET", "/queue").json()
    assert len(queue["queue_running"]) == case["queue"]["running"]
    assert len(queue["queue_pending"]) == case["queue"]["pending"]
    assert "after" not in send(fake.url, "GET", "/history").json()


@pytest.mark.parametrize("case", _of("dead process"))
def test_client_sends_list_as_client_id_server_stops_listening(
    fake: FakeComfyThread, case: dict[str, Any]
) -> None:
    assert _statuses(fake.url, case) == case["statuses"]
    assert _until(lambda: not fake.listening)
    with pytest.raises(OSError):
        send(fake.url, "GET", "/queue")
    fake.come_back()
    assert send(fake.url, "GET", "/history").json() == {}


def test_client_sends_long_unreached_chain_worker_dies(fake: FakeComfyThread) -> None:
    assert post(fake.url, _chain(1500, into_output=False)).status == 200
    assert _until(lambda: not fake.worker_alive)


def test_client_sends_long_chain_into_output_gets_400(fake: FakeComfyThread) -> None:
    answer = post(fake.url, _chain(1500, into_output=True))
    assert answer.status == 400
    body = answer.json()
    assert body["error"]["type"] == "prompt_outputs_failed_validation"
    (node,) = body["node_errors"].values()
    (error,) = node["errors"]
    assert error["type"] == "exception_during_inner_validation"
    assert error["extra_info"]["exception_type"] == "RecursionError"
    assert node["dependent_outputs"] == ["2"]
    assert fake.worker_alive


def test_client_sends_chain_of_250_it_runs(fake: FakeComfyThread) -> None:
    assert post(fake.url, _chain(250, into_output=True), prompt_id="chain").status == 200
    wait_idle(fake.url)
    entry = send(fake.url, "GET", "/history/chain").json()["chain"]
    assert entry["status"]["status_str"] == "success"


def test_client_sends_circle_into_output_gets_400_without_node_errors(
    fake: FakeComfyThread,
) -> None:
    case = next(c for c in CASES if "body" in c)
    answer = send(fake.url, "POST", "/prompt", json_body=case["requests"][0])
    assert differences(case["body"], answer.json()) == []


def test_client_sends_nan_as_number_gets_invalid_json(fake: FakeComfyThread) -> None:
    answer = post(fake.url, save(), number="nan")
    assert answer.status == 200
    assert '"number": NaN' in answer.text
