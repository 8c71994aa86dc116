"""/ws: `status` counts the caller's own prompts and comes only when that set changes."""

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.listener import Frame, Listener, kind, status
from tests.prompts import Graph, direct, save, slow, submit, text, wait_running
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("calm", "clean_log")


@pytest.fixture(autouse=True)
def quiet(alice: Client, bob: Client, admin: Client, comfy: FakeComfyThread) -> None:
    """What earlier tests have left to be told is told."""
    comfy.wait_idle()
    with Listener(alice) as alices, Listener(bob) as bobs, Listener(admin) as admins:
        for socket in (alices, bobs, admins):
            socket.rest(0.07)


def counts(frames: list[Frame]) -> list[int]:
    return [status(frame) for frame in frames if kind(frame) == "status"]


def test_alice_is_told_of_every_change_of_her_own_set(
    alice: Client, comfy: FakeComfyThread
) -> None:
    with Listener(alice) as socket:
        comfy.pause()
        first = submit(alice, slow(), client_id=socket.sid)
        assert counts(socket.until_count(1)) == [1]
        second = submit(alice, slow())
        assert counts(socket.until_count(2)) == [2]
        alice.post("/queue", json={"delete": [second]})
        assert counts(socket.until_count(1)) == [1]
        comfy.resume()
        # From waiting to running the number stays, and yet the page has to look again.
        assert counts(socket.until_count(1)) == [1]
        alice.post("/interrupt")
        assert counts(socket.until_count(0)) == [0]
        assert first != second
        assert counts(socket.rest(0.2)) == []


def test_bobs_prompts_are_no_news_for_alice(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    with Listener(alice) as alices, Listener(bob) as bobs:
        comfy.pause()
        mine = submit(alice, save())
        alices.until_count(1)
        theirs = [submit(bob, slow()), submit(bob, save())]
        direct(comfy, save())
        bobs.until_count(2)
        bob.post("/queue", json={"delete": theirs[1:]})
        bobs.until_count(1)
        assert alices.rest(0.2) == []
        comfy.resume()
        alices.until_count(0)
        wait_running(comfy, theirs[0])
        bob.post("/interrupt")
        bobs.until_count(0)
        comfy.wait_idle()
        # Waiting, running, gone: never anybody else's number.
        assert set(counts(alices.frames)) == {0, 1}
        assert alices.rest(0.2) == []
        assert mine not in theirs


def test_all_sockets_of_alice_are_told_whichever_sent_the_prompt(
    alice: Client, comfy: FakeComfyThread
) -> None:
    with Listener(alice) as one, Listener(alice, one.sid) as same, Listener(alice) as other:
        comfy.pause()
        submit(alice, save(), client_id=other.sid)
        for socket in (one, same, other):
            assert counts(socket.until_count(1)) == [1]
        comfy.resume()
        for socket in (one, same, other):
            socket.until_count(0)


def test_newcomer_is_told_how_many_there_are(alice: Client, comfy: FakeComfyThread) -> None:
    comfy.pause()
    for _ in range(2):
        submit(alice, save())
    with Listener(alice) as first:
        assert first.count == 2
        submit(alice, save())
        first.until_count(3)
        with Listener(alice) as second:
            assert second.count == 3


@pytest.mark.parametrize("graph", [save(), text("quick")], ids=["picture", "text"])
def test_prompt_that_is_over_in_no_time_is_told_of_all_the_same(
    graph: Graph, alice: Client, comfy: FakeComfyThread
) -> None:
    """The page asks for its history only after a `status`."""
    with Listener(alice) as socket:
        for _ in range(5):
            # From ComfyUI's cache, so that it may be over before anybody looks at the queue.
            submit(alice, graph)
            assert counts(socket.until_count(0))[-1] == 0
            comfy.wait_idle()
            wait_until(lambda: alice.get("/prompt").json()["exec_info"]["queue_remaining"] == 0)
            # Every one is told, and with as few words as can be.
            assert len(counts(socket.rest(0.1))) <= 1


def test_burst_of_prompts_costs_few_words(alice: Client, comfy: FakeComfyThread) -> None:
    with Listener(alice) as socket:
        for _ in range(30):
            submit(alice, text("burst"))
        comfy.wait_idle()
        told = counts(socket.rest(0.3))
    assert told[-1] == 0
    assert len(told) <= 60


def test_nobody_is_told_of_the_whole_queue(
    alice: Client, admin: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    """Not even who may see all: the number is of one's own prompts."""
    with Listener(admin) as admins:
        comfy.pause()
        submit(bob, save())
        direct(comfy, save())
        submit(admin, save())
        assert counts(admins.until_count(1)) == [1]
        assert admins.rest(0.2) == []
        assert admin.get("/prompt").json() == {"exec_info": {"queue_remaining": 1}}
