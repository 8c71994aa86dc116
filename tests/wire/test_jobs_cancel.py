"""`POST /api/jobs/{job_id}/cancel` and `POST /api/jobs/cancel`: each user's own jobs only."""

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.prompts import direct, ended, ids, run, save, slow, submit, wait_running
from tests.refusals import asked, check_refusal

pytestmark = pytest.mark.usefixtures("calm", "clean_log")

STATE = """
from comfyproxy.models import PromptRecord
result = PromptRecord.objects.get(prompt_id=prompt_id).state
"""


def cancelled(client: Client, *job_ids: str) -> bool:
    """Several at once; whether any was."""
    answer = client.post("/api/jobs/cancel", json={"job_ids": job_ids})
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"cancelled"}
    return bool(answer.json()["cancelled"])


def cancelled_one(client: Client, job_id: str) -> bool:
    answer = client.post(f"/api/jobs/{job_id}/cancel")
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"cancelled"}
    return bool(answer.json()["cancelled"])


def test_alice_cancels_her_running_and_waiting_jobs_and_no_others(
    alice: Client, bob: Client, comfy: FakeComfyThread, gateway: Gateway
) -> None:
    done = run(alice, save())["prompt"][1]
    running = submit(alice, slow(), client_id="tab")
    wait_running(comfy, running)
    waiting, kept = (submit(alice, save(), client_id="tab") for _ in range(2))
    theirs, nobodys = submit(bob, slow(), client_id="tab"), direct(comfy, save())
    assert cancelled_one(alice, waiting)
    assert ids(comfy) == ([running], [kept, theirs, nobodys])
    assert gateway.run(STATE, prompt_id=waiting) == "cancelled"
    # It never ran: ComfyUI has nothing to tell of it.
    check_refusal(alice.get(f"/api/jobs/{waiting}"), 404, "NOT_FOUND")
    for job_id in (waiting, done, theirs, nobodys, str(uuid.uuid4()), "x", running.upper()):
        assert not cancelled_one(alice, job_id)
    assert ids(comfy) == ([running], [kept, theirs, nobodys])
    assert cancelled_one(alice, running)
    ended(alice, running)
    assert alice.get(f"/api/jobs/{running}").json()["status"] == "cancelled"
    wait_running(comfy, theirs)
    assert not cancelled_one(alice, theirs)
    assert ids(comfy)[0] == [theirs]
    assert not comfy.server.running_core.executor.interrupt._event.is_set()


def test_alice_cancels_several_at_once_ended_ones_too(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    done = run(alice, save())["prompt"][1]
    running = submit(alice, slow())
    wait_running(comfy, running)
    waiting, kept = submit(alice, save()), submit(alice, save())
    theirs = submit(bob, save())
    comfy.pause()
    assert cancelled(alice, running, waiting, done, waiting)
    ended(alice, running)
    assert ids(comfy) == ([], [kept, theirs])
    # Nothing is left to do, and that is no error.
    assert not cancelled(alice, running, waiting, done)
    assert not cancelled(alice)
    assert ids(comfy) == ([], [kept, theirs])


def test_alice_looks_at_her_list_while_she_cancels_and_nothing_counts_as_lost(
    alice: Client, comfy: FakeComfyThread, gateway: Gateway
) -> None:
    comfy.pause()
    waiting = [submit(alice, save()) for _ in range(12)]
    done = threading.Event()

    def look() -> None:
        # As a page does at every change of the queue: what is gone from it is looked into.
        with Client(gateway.url, alice.token) as page:
            while not done.is_set():
                assert page.get("/account/prompts").status_code == 200

    with ThreadPoolExecutor() as pages:
        looks = [pages.submit(look) for _ in range(2)]
        try:
            assert all(cancelled_one(alice, job_id) for job_id in waiting)
        finally:
            done.set()
        for each in looks:
            each.result()
    states = [gateway.run(STATE, prompt_id=job_id) for job_id in waiting]
    assert states == ["cancelled"] * len(waiting)


@pytest.mark.parametrize("foreign", ["bob", "nobody", "unknown", "x", "", "upper", "long"])
def test_alice_names_one_that_is_not_hers_and_nothing_is_cancelled(
    foreign: str, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    running = submit(alice, slow())
    wait_running(comfy, running)
    waiting, theirs, nobodys = submit(alice, save()), submit(bob, save()), direct(comfy, save())
    named = {
        "bob": theirs,
        "nobody": nobodys,
        "unknown": str(uuid.uuid4()),
        "upper": waiting.upper(),
        "long": "é" * 10_000,
    }.get(foreign, foreign)
    for job_ids in ([waiting, named, running], [named]):
        answer = alice.post("/api/jobs/cancel", json={"job_ids": job_ids})
        check_refusal(answer, 404, "NOT_FOUND")
    assert ids(comfy) == ([running], [waiting, theirs, nobodys])
    assert not comfy.server.running_core.executor.interrupt._event.is_set()


def test_admin_cancels_anybodys_all_or_nothing(
    admin: Client, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    past = direct(comfy, save())
    comfy.wait_idle()
    running = submit(bob, slow())
    wait_running(comfy, running)
    mine, theirs, nobodys = submit(alice, save()), submit(bob, save()), direct(comfy, save())
    for unknown in (str(uuid.uuid4()), "x", "", "..", "é" * 100):
        answer = admin.post("/api/jobs/cancel", json={"job_ids": [mine, past, unknown]})
        check_refusal(answer, 404, "NOT_FOUND")
    assert ids(comfy) == ([running], [mine, theirs, nobodys])
    assert cancelled(admin, mine, nobodys, past)
    assert ids(comfy) == ([running], [theirs])
    assert cancelled_one(admin, running)
    assert ended(bob, running)["status"]["messages"][-1][0] == "execution_interrupted"
    assert not cancelled_one(admin, past)


def test_guest_may_look_and_not_cancel(
    guest: Client, anonymous: Client, forwarded: FakeComfyThread
) -> None:
    assert guest.get("/api/jobs").status_code == 200
    forwarded.clear_requests()
    for path in ("/api/jobs/cancel", f"/api/jobs/{uuid.uuid4()}/cancel"):
        answer = guest.post(path, json={"job_ids": []})
        check_refusal(answer, 403, "PERMISSION_DENIED", permission="can_run")
        check_refusal(anonymous.post(path, json={}), 401, "AUTH_REQUIRED")
    assert asked(forwarded) == []


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "INVALID_JSON", None),
        (b"{", "INVALID_JSON", None),
        (b"\xff", "INVALID_JSON", None),
        (b'{"job_ids": ["\\ud800"]}', "INVALID_JSON", None),
        (b"null", "BAD_REQUEST", None),
        (b"[]", "BAD_REQUEST", None),
        (b"{}", "BAD_REQUEST", "job_ids"),
        (b'{"job_ids": null}', "BAD_REQUEST", "job_ids"),
        (b'{"job_ids": "abc"}', "BAD_REQUEST", "job_ids"),
        (b'{"job_ids": {"a": 1}}', "BAD_REQUEST", "job_ids"),
        (b'{"job_ids": [5]}', "BAD_REQUEST", "job_ids"),
        (b'{"job_ids": [null, []]}', "BAD_REQUEST", "job_ids"),
    ],
    ids=str,
)
def test_alice_sends_garbage_and_nothing_is_cancelled(
    body: bytes, code: str, field: str | None, alice: Client, comfy: FakeComfyThread
) -> None:
    comfy.pause()
    mine = submit(alice, save())
    answer = alice.post("/api/jobs/cancel", data=body)
    check_refusal(answer, 400, code, **({} if field is None else {"field": field}))
    assert ids(comfy) == ([], [mine])


def test_alice_names_very_many_and_is_answered(alice: Client, comfy: FakeComfyThread) -> None:
    comfy.pause()
    mine = submit(alice, save())
    many: list[Any] = [str(uuid.uuid4()) for _ in range(999)]
    answer = alice.post("/api/jobs/cancel", json={"job_ids": [mine, *many]})
    check_refusal(answer, 404, "NOT_FOUND")
    too_many = json.dumps({"job_ids": [mine] * 1001}).encode()
    check_refusal(
        alice.post("/api/jobs/cancel", data=too_many), 400, "BAD_REQUEST", field="job_ids"
    )
    assert ids(comfy) == ([], [mine])
    assert cancelled(alice, *([mine] * 1000))


def test_body_of_a_single_cancel_means_nothing(alice: Client, comfy: FakeComfyThread) -> None:
    comfy.pause()
    mine, kept = submit(alice, save()), submit(alice, save())
    answer = alice.post(f"/api/jobs/{mine}/cancel", data=b"no json")
    assert (answer.status_code, answer.json()) == (200, {"cancelled": True})
    assert ids(comfy) == ([], [kept])
