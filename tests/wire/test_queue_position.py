"""GET /mss-login/api/queue: how long to wait, and nothing about whose the others are."""

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.prompts import direct, ids, save, slow, submit, wait_running
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log", "calm")

PATH = "/mss-login/api/queue"
NOTHING = {"running": 0, "pending": 0, "position": None, "ahead": 0}


def place(client: Client, path: str = PATH) -> dict[str, int | None]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return dict(answer.json())


def test_everybody_learns_where_they_stand_and_no_more(
    alice: Client, bob: Client, charlie: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    assert place(alice) == NOTHING
    running = submit(alice, slow(30))
    wait_running(comfy, running)
    assert place(alice) == {"running": 1, "pending": 0, "position": None, "ahead": 0}
    direct(comfy, save())
    submit(bob, save())
    submit(alice, save())
    submit(alice, save())
    submit(bob, save())
    assert len(ids(comfy)[1]) == 5
    assert place(alice) == {"running": 1, "pending": 2, "position": 3, "ahead": 3}
    assert place(bob) == {"running": 0, "pending": 2, "position": 2, "ahead": 2}
    assert place(charlie) == place(admin) == NOTHING
    # The admin jumps the queue: everybody moves back by one.
    submit(admin, save(), front=True)
    assert place(admin) == {"running": 0, "pending": 1, "position": 1, "ahead": 1}
    assert place(bob) == {"running": 0, "pending": 2, "position": 3, "ahead": 3}
    assert place(bob, f"/api{PATH}") == place(bob)


def test_only_who_may_look_is_told(
    anonymous: Client, guest: Client, alice: Client, gateway: Gateway
) -> None:
    check_refusal(anonymous.get(PATH), 401, "AUTH_REQUIRED")
    assert place(guest) == NOTHING
    answer = Client(gateway.url).get(f"{PATH}?token={alice.token}")
    check_refusal(answer, 401, "AUTH_REQUIRED")
    check_refusal(alice.post(PATH), 405, "METHOD_NOT_ALLOWED")
