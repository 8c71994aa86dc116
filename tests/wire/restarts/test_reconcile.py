"""What the worker finds out: ends, times and files that nobody watched; prompts that ComfyUI lost;
a worker of ComfyUI's that died."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Listener
from tests.prompts import calm_down, save, slow, submit, wait_running
from tests.refusals import wait_until

# In the gateway's console, which is another process, as the worker is.
RECONCILE = """
from comfyproxy.tasks import reconcile_prompts
reconcile_prompts()
result = None
"""
ROWS = """
from comfyproxy.models import PromptRecord
def moment(value): return None if value is None else value.isoformat()
rows = [PromptRecord.objects.get(prompt_id=prompt_id) for prompt_id in prompt_ids]
result = [[row.state, row.listed, moment(row.created_at), moment(row.started_at),
           moment(row.finished_at), row.execution_seconds, row.files.count()] for row in rows]
"""
LATER = """
from datetime import timedelta
from comfyproxy.models import Backend
from django.db.models import F
Backend.objects.update(running_since=F("running_since") - timedelta(minutes=31),
                       idle_since=F("idle_since") - timedelta(minutes=31))
result = None
"""


def rows(gateway: Gateway, *prompt_ids: str) -> list[list[Any]]:
    return list(gateway.run(ROWS, prompt_ids=list(prompt_ids)))


def readiness(client: Client) -> tuple[int, dict[str, str]]:
    """What /readyz says once it has looked again: it keeps an answer for two seconds. Here no
    worker runs, whose tasks the tests do themselves; that makes each answer `degraded`."""
    time.sleep(2.1)
    answer = client.get("/readyz")
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code, answer.json()


def test_ends_that_nobody_watched_are_found(
    shaky: FakeComfyThread, shaky_gateway: Gateway, shaky_alice: Client
) -> None:
    alice = shaky_alice
    failing = save()
    failing["3"] = {"class_type": "FakeFail", "inputs": {"image": ["1", 0], "message": "no"}}
    failing["2"]["inputs"]["images"] = ["3", 0]
    good, bad, stopped = submit(alice, save()), submit(alice, failing), submit(alice, slow(60))
    wait_running(shaky, stopped)
    waiting = submit(alice, save())
    shaky_gateway.run(RECONCILE)
    found = rows(shaky_gateway, good, bad, stopped, waiting)
    assert [row[0] for row in found] == ["success", "error", "accepted", "accepted"]
    shaky.pause()
    calm_down(shaky)
    shaky_gateway.run(RECONCILE)
    found = rows(shaky_gateway, good, bad, stopped, waiting)
    # What was taken out of the queue past the gateway is lost for all it knows.
    assert [row[:2] for row in found] == [
        ["success", True],
        ["error", True],
        ["interrupted", True],
        ["lost", False],
    ]
    for _, _, queued, started, finished, seconds, _ in found[:3]:
        first, last = datetime.fromisoformat(started), datetime.fromisoformat(finished)
        assert datetime.fromisoformat(queued) - timedelta(seconds=1) < first <= last
        assert (last - first).total_seconds() == pytest.approx(seconds, abs=0.01)
    assert [row[6] for row in found] == [1, 0, 0, 0]


def test_end_that_the_relay_saw_needs_no_worker(
    shaky_gateway: Gateway, shaky_alice: Client
) -> None:
    with Listener(shaky_alice) as socket:
        prompt_id = submit(shaky_alice, save(), client_id=socket.sid)
        socket.until_end(prompt_id)
        wait_until(lambda: rows(shaky_gateway, prompt_id)[0][0] == "success", 5)
    assert rows(shaky_gateway, prompt_id)[0][6] == 1


def test_prompts_that_a_restart_lost_are_not_left_running(
    shaky: FakeComfyThread, shaky_gateway: Gateway, shaky_alice: Client
) -> None:
    running = submit(shaky_alice, slow(60))
    wait_running(shaky, running)
    waiting = submit(shaky_alice, save())
    shaky.stop_listening()
    # While ComfyUI is away nothing is known, and nothing is given up.
    shaky_gateway.run(RECONCILE)
    assert [row[0] for row in rows(shaky_gateway, running, waiting)] == ["accepted"] * 2
    status, parts = readiness(shaky_alice)
    assert (status, parts["status"], parts["database"]) == (503, "unavailable", "ok")
    assert parts["comfyui"] == "ComfyUI does not answer. Start it, or correct COMFYUI_URL."
    shaky.come_back()
    shaky_gateway.run(RECONCILE)
    assert [row[:2] for row in rows(shaky_gateway, running, waiting)] == [["lost", False]] * 2
    status, parts = readiness(shaky_alice)
    told = [parts[name] for name in ("database", "broker", "comfyui", "comfyui_worker")]
    assert (status, told) == (200, ["ok"] * 4)


def test_dead_worker_is_noticed_and_a_restart_cures_it(
    shaky: FakeComfyThread, shaky_gateway: Gateway, shaky_alice: Client
) -> None:
    shaky.die()
    wait_until(lambda: not shaky.worker_alive, 5)
    waiting = submit(shaky_alice, save())
    shaky_gateway.run(RECONCILE)
    assert readiness(shaky_alice)[0] == 200
    shaky_gateway.run(LATER)
    shaky_gateway.run(RECONCILE)
    status, parts = readiness(Client(shaky_gateway.url))
    assert (status, parts["status"]) == (503, "unavailable")
    assert parts["comfyui_worker"].startswith("Prompts wait and none runs")
    assert waiting not in str(parts)
    shaky.restart()
    shaky_gateway.run(RECONCILE)
    assert readiness(shaky_alice)[1]["comfyui_worker"] == "ok"


def test_prompt_that_shows_no_life_is_a_warning(
    shaky: FakeComfyThread, shaky_gateway: Gateway, shaky_alice: Client
) -> None:
    running = submit(shaky_alice, slow(60))
    wait_running(shaky, running)
    shaky_gateway.run(RECONCILE)
    shaky_gateway.run(LATER)
    shaky_gateway.run(RECONCILE)
    status, parts = readiness(shaky_alice)
    assert (status, parts["status"]) == (200, "degraded")
    assert parts["comfyui_worker"].startswith("The running prompt shows no sign of life")
    calm_down(shaky)
    shaky_gateway.run(RECONCILE)
    assert readiness(shaky_alice)[1]["comfyui_worker"] == "ok"
