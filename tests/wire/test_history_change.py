"""`POST /history`: `clear` and `delete` reach the caller's own entries only."""

import uuid
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import direct, ended, save, slow, submit, wait_running
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("clean_log")


def really(comfy: FakeComfyThread) -> set[str]:
    """The ids that ComfyUI's history really holds."""
    return set(Client(comfy.url).get("/history").json())


def changed(client: Client, body: Any, path: str = "/history") -> None:
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.content) == (200, b""), answer.text


def past(client: Client, count: int) -> list[str]:
    found = [submit(client, save()) for _ in range(count)]
    for prompt_id in found:
        ended(client, prompt_id)
    return found


@pytest.mark.parametrize("path", ["/history", "/api/history"])
def test_alice_clears_her_history_and_the_others_keep_theirs(
    path: str, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    mine, theirs = past(alice, 3), past(bob, 2)
    nobodys = direct(comfy, save())
    comfy.wait_idle()
    changed(alice, {"clear": True}, path)
    assert alice.get("/history").json() == {}
    assert alice.get("/history?max_items=5").json() == {}
    assert really(comfy) & {*mine, *theirs, nobodys} == {*theirs, nobodys}
    assert list(bob.get("/history").json())[-2:] == theirs


def test_alice_deletes_ids_and_only_her_own_go(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    mine, theirs = past(alice, 3), past(bob, 1)
    nobodys = direct(comfy, save())
    comfy.wait_idle()
    wanted = [mine[0], *theirs, nobodys, str(uuid.uuid4()), "x", mine[1].upper()]
    changed(alice, {"delete": wanted})
    assert really(comfy) & {*mine, *theirs, nobodys} == {*mine[1:], *theirs, nobodys}
    assert list(alice.get("/history").json())[-2:] == mine[1:]


def test_admin_clears_and_only_the_admins_own_entries_go(
    admin: Client, alice: Client, comfy: FakeComfyThread
) -> None:
    own, mine = past(admin, 1), past(alice, 1)
    changed(admin, {"clear": True})
    changed(admin, {"delete": mine})
    assert really(comfy) & {*own, *mine} == set(mine)


@pytest.mark.usefixtures("calm")
def test_alice_clears_while_her_prompts_wait_and_they_come_to_the_history_later(
    alice: Client, comfy: FakeComfyThread
) -> None:
    done = past(alice, 1)
    running = submit(alice, slow())
    wait_running(comfy, running)
    waiting = submit(alice, save())
    changed(alice, {"clear": True, "delete": [running, waiting]})
    assert really(comfy) & {*done, running, waiting} == set()
    alice.post("/interrupt")
    ended(alice, waiting)
    assert list(alice.get("/history?max_items=5").json()) == [running, waiting]
    assert list(alice.get("/history").json()) == [running, waiting]


@pytest.mark.parametrize("body", [{}, {"clear": False}, {"clear": None}, {"delete": []}], ids=str)
def test_alice_asks_for_nothing_and_nothing_goes(
    body: Any, alice: Client, comfy: FakeComfyThread
) -> None:
    mine = past(alice, 1)
    changed(alice, body)
    assert set(mine) <= really(comfy)


def past_shown(client: Client) -> list[str]:
    return list(client.get("/history?max_items=9").json())


def test_entry_that_is_gone_is_marked_and_not_asked_for_again(
    alice: Client, forwarded: FakeComfyThread, gateway: Any
) -> None:
    changed(alice, {"clear": True})
    gone, kept = past(alice, 2)
    # As when ComfyUI's history overflows: it forgets the oldest.
    Client(forwarded.url).post("/history", json={"delete": [gone]})
    state = (
        "from comfyproxy.models import PromptRecord\n"
        "row = PromptRecord.objects.get(prompt_id=prompt_id)\n"
        "result = [row.state, row.listed]"
    )
    # An entry that was asked for lately is shown, until ComfyUI may have restarted.
    forwarded.hang_up()
    wait_until(lambda: past_shown(alice) == [kept])
    assert gateway.run(state, prompt_id=gone) == ["success", False]
    forwarded.hang_up()
    forwarded.clear_requests()
    for _ in range(3):
        assert past_shown(alice) == [kept]
    asked = [record.path for record in forwarded.requests]
    # Once in half a minute, in each web process.
    assert 1 <= asked.count(f"/history/{kept}") <= 2
    assert f"/history/{gone}" not in asked
    # Nor is it anybody else's to take.
    answer = alice.post("/prompt", json={"prompt": save(), "prompt_id": gone})
    assert (answer.status_code, answer.json()["code"]) == (409, "PROMPT_ID_TAKEN")
