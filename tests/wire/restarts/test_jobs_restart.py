"""Jobs that ComfyUI has forgotten, a ComfyUI without jobs of its own, and none at all."""

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.prompts import ended, run, save, submit
from tests.refusals import check_refusal

STATES = """
from comfyproxy.models import PromptRecord
rows = [PromptRecord.objects.get(prompt_id=prompt_id) for prompt_id in prompt_ids]
result = [[row.state, row.listed] for row in rows]
"""
# As after days of work: their ends were seen, and ComfyUI has since forgotten them.
FORGOTTEN = """
from datetime import timedelta
from django.utils import timezone
from accounts.models import User
from comfyproxy.models import PromptRecord
user = User.objects.get(username="alice")
now = timezone.now()
PromptRecord.objects.bulk_create(
    PromptRecord(user=user, number=9, state="success", created_at=now - timedelta(hours=1 + n))
    for n in range(count)
)
result = None
"""
ENDED = "status=completed,failed,cancelled"


def page(client: Client, query: str) -> tuple[list[str], int, bool]:
    answer = client.get(f"/api/jobs?{query}").json()
    pagination = answer["pagination"]
    return [job["id"] for job in answer["jobs"]], pagination["total"], pagination["has_more"]


def past(client: Client, count: int) -> list[str]:
    """The ids of prompts that ran, newest first."""
    found = [submit(client, save()) for _ in range(count)]
    for prompt_id in found:
        ended(client, prompt_id)
    return found[::-1]


def test_page_fills_up_behind_entries_that_are_gone(
    shaky: FakeComfyThread, shaky_gateway: Gateway, shaky_alice: Client, shaky_bob: Client
) -> None:
    for client in (shaky_alice, shaky_bob):
        client.post("/history", json={"clear": True})
    mine, theirs = past(shaky_alice, 6), past(shaky_bob, 2)
    # As when ComfyUI's history overflows.
    gone = [mine[0], mine[3], mine[5], theirs[0]]
    Client(shaky.url).post("/history", json={"delete": [mine[5]]})
    # What no page has met still counts.
    assert page(shaky_alice, f"{ENDED}&limit=2") == ([mine[0], mine[1]], 6, True)
    Client(shaky.url).post("/history", json={"delete": gone})
    # What was there lately is shown, until ComfyUI may have restarted.
    shaky.hang_up()
    assert page(shaky_alice, f"{ENDED}&limit=2") == ([mine[1], mine[2]], 3, True)
    assert shaky_gateway.run(STATES, prompt_ids=gone) == [
        *[["success", False]] * 3,
        ["success", True],
    ]
    assert page(shaky_alice, f"{ENDED}&limit=2&offset=2") == ([mine[4]], 3, False)
    assert page(shaky_alice, "") == ([mine[1], mine[2], mine[4]], 3, False)
    assert page(shaky_alice, "sort_by=execution_duration")[1] == 3
    assert page(shaky_bob, f"{ENDED}&limit=1") == ([theirs[1]], 1, False)
    shaky.clear_requests()
    page(shaky_alice, "")
    assert {record.path for record in shaky.requests} & {f"/history/{pid}" for pid in gone} == set()


def test_old_jobs_that_comfyui_forgot_at_its_restart_do_not_hide_new_ones(
    shaky: FakeComfyThread, shaky_gateway: Gateway, shaky_alice: Client
) -> None:
    past(shaky_alice, 2)
    shaky.pause()
    submit(shaky_alice, save())
    shaky.restart()
    shaky_gateway.run(FORGOTTEN, count=300)
    fresh = run(shaky_alice, save())["prompt"][1]
    for query in ("limit=1", f"{ENDED}&limit=5", f"{ENDED}&limit=1&sort_order=asc", ""):
        assert page(shaky_alice, query)[0] == [fresh], query
    assert page(shaky_alice, "limit=5") == ([fresh], 1, False)


def test_comfyui_without_jobs_is_enough_and_one_with_them_is_not_asked(
    shaky: FakeComfyThread, shaky_alice: Client, shaky_bob: Client
) -> None:
    done = run(shaky_alice, save())["prompt"][1]
    shaky.pause()
    waiting, theirs = submit(shaky_alice, save()), submit(shaky_bob, save())
    shaky.clear_requests()
    assert page(shaky_alice, "limit=2")[0] == [waiting, done]
    assert shaky_alice.get(f"/api/jobs/{waiting}").json()["status"] == "pending"
    assert shaky_alice.get(f"/api/jobs/{done}").json()["status"] == "completed"
    assert shaky_alice.post(f"/api/jobs/{waiting}/cancel").json() == {"cancelled": True}
    body = {"job_ids": [theirs]}
    assert shaky_bob.post("/api/jobs/cancel", json=body).json() == {"cancelled": True}
    assert [record.path for record in shaky.requests if "jobs" in record.path] == []
    shaky.resume()


def test_no_comfyui_is_no_empty_list(down: FakeComfyThread, shaky_alice: Client) -> None:
    for query in ("", "status=pending", ENDED, "workflow_id=w"):
        answer = shaky_alice.get(f"/api/jobs?{query}")
        check_refusal(answer, 502, "UPSTREAM_UNREACHABLE")
