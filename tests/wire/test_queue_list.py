"""`GET /queue` and `GET /prompt`: one's own waiting and running prompts, in ComfyUI's format."""

from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import Graph, direct, ids, save, slow, submit, wait_running

EMPTY: dict[str, list[Any]] = {"queue_running": [], "queue_pending": []}
PATHS = ("/queue", "/api/queue")

pytestmark = pytest.mark.usefixtures("calm", "clean_log")


def as_run(graph: Graph, client: Client) -> Graph:
    """A graph as its owner is shown it: the prefix inside the namespace, nothing else new."""
    inputs = graph["2"]["inputs"]
    prefix = f"{client.namespace}/{inputs['filename_prefix']}"
    return {**graph, "2": {**graph["2"], "inputs": {**inputs, "filename_prefix": prefix}}}


def number_of(client: Client) -> int:
    return int(client.post("/prompt", json={"prompt": save()}).json()["number"])


@pytest.mark.parametrize("path", PATHS)
def test_alice_sees_her_own_prompts_in_comfyuis_format(
    path: str, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    before = number_of(alice)
    comfy.wait_idle()
    running, waiting = slow(), save("waits")
    first = submit(alice, running, client_id="tab")
    wait_running(comfy, first)
    theirs = submit(bob, save())
    nobodys = direct(comfy, save())
    workflow = {"workflow": {"nodes": []}}
    second = submit(alice, waiting, client_id="tab", extra_data={"extra_pnginfo": workflow})
    third = submit(alice, save(), front=True)
    assert ids(comfy) == ([first], [theirs, nobodys, second, third])
    queue = alice.get(path).json()
    assert queue["queue_running"] == [
        [before + 1, first, as_run(running, alice), {"client_id": "tab"}, ["2"]]
    ]
    assert queue["queue_pending"][0] == [
        before + 2,
        second,
        as_run(waiting, alice),
        {"client_id": "tab", "extra_pnginfo": workflow},
        ["2"],
    ]
    assert [item[:2] for item in queue["queue_pending"][1:]] == [[before + 3, third]]


def test_everybody_sees_their_own_and_the_admin_all(
    alice: Client,
    bob: Client,
    charlie: Client,
    guest: Client,
    power: Client,
    admin: Client,
    comfy: FakeComfyThread,
) -> None:
    comfy.pause()
    mine = [submit(alice, save(), client_id="tab") for _ in range(3)]
    theirs = submit(bob, save(), client_id="tab")
    nobodys = direct(comfy, save(), client_id="tab")

    def seen(client: Client) -> list[str]:
        queue = client.get("/queue").json()
        assert queue.keys() == EMPTY.keys()
        return [item[1] for part in queue.values() for item in part]

    assert seen(alice) == mine
    assert seen(bob) == [theirs]
    assert [seen(client) for client in (charlie, guest, power)] == [[], [], []]
    assert seen(admin) == [*mine, theirs, nobodys]
    counts = [
        client.get("/prompt").json()["exec_info"]["queue_remaining"]
        for client in (alice, bob, charlie, guest, power)
    ]
    assert counts == [3, 1, 0, 0, 0]
    assert alice.get("/api/prompt").json() == {"exec_info": {"queue_remaining": 3}}


def test_nothing_of_the_others_shows_in_an_answer(
    alice: Client, charlie: Client, comfy: FakeComfyThread
) -> None:
    comfy.pause()
    submit(alice, save("whisper"), client_id="whisper", extra_data={"extra_pnginfo": {"w": 1}})
    for path in PATHS:
        assert charlie.get(path).json() == EMPTY
        assert "whisper" in alice.get(path).text


def test_waiting_prompts_come_in_the_order_in_which_they_will_run(
    admin: Client, alice: Client, comfy: FakeComfyThread
) -> None:
    comfy.pause()
    numbers = [9e5, 1e5, 5e5, 3e5, 7e5]
    by_number = {number: submit(admin, save(), number=number) for number in numbers}
    mine = [submit(alice, save()) for _ in range(2)]
    shown = [item[1] for item in admin.get("/queue").json()["queue_pending"]]
    assert shown == [*mine, *(by_number[number] for number in sorted(numbers))]


def test_guest_may_look_but_an_unknown_caller_may_not(guest: Client, anonymous: Client) -> None:
    for path in PATHS:
        assert guest.get(path).json() == EMPTY
        answer = anonymous.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_REQUIRED")


def test_head_tells_only_that_there_is_an_answer(alice: Client) -> None:
    answer = alice.head("/queue")
    assert (answer.status_code, answer.content) == (200, b"")
