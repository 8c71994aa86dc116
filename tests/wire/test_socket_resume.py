"""/ws: several sockets of one id, coming back with it, and the one socket that ComfyUI sees."""

from contextlib import ExitStack

import pytest

from comfyproxy.hub import MAX_SOCKETS_PER_SESSION
from tests.cast import PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import UPGRADE, Frame, Listener, Refused, data_of, kind, kinds
from tests.prompts import ended, received_one, save, slow, submit
from tests.prompts import picture as empty_image
from tests.rawconnection import connected

pytestmark = pytest.mark.usefixtures("clean_log")


def sockets_of(comfy: FakeComfyThread, sid: str) -> list[str]:
    """What happened to ComfyUI's sockets of one id: opened, closed, in order."""
    return [r.kind for r in comfy.requests if r.sid == sid and r.kind in ("ws_open", "ws_close")]


def events(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if kind(frame) not in ("status", "feature_flags")]


def test_two_sockets_of_one_id_receive_everything_over_one_upstream_socket(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    with Listener(alice) as one, Listener(alice, one.sid) as two, Listener(alice, one.sid) as third:
        prompt_id = submit(alice, slow(0, steps=20, preview=True), client_id=one.sid)
        first = events(one.until_end(prompt_id))
        assert kinds(first).count("progress") == kinds(first).count("binary 1") == 20
        for socket in (two, third):
            assert events(socket.until_end(prompt_id)) == first
        # Who stays receives on, whoever goes.
        one.close()
        third.close()
        two.until_end(submit(alice, save(), client_id=two.sid))
    mapped = received_one(forwarded, prompt_id)["client_id"]
    assert sockets_of(forwarded, mapped) == ["ws_open"]


def test_each_id_and_each_user_has_an_upstream_socket_of_its_own(
    alice: Client, bob: Client, forwarded: FakeComfyThread
) -> None:
    with Listener(alice) as one, Listener(alice) as two, Listener(bob, one.sid) as bobs:
        mapped = set()
        for client, socket in ((alice, one), (alice, two), (bob, bobs)):
            prompt_id = submit(client, save(), client_id=socket.sid)
            mapped.add(received_one(forwarded, prompt_id)["client_id"])
            assert set(kinds(socket.until_end(prompt_id))) > {"executed"}
            for other in {one, two, bobs} - {socket}:
                assert events(other.rest(0.1)) == []
    assert len(mapped) == 3
    assert [sockets_of(forwarded, sid) for sid in mapped] == [["ws_open"]] * 3


@pytest.mark.parametrize("abruptly", [False, True])
def test_alice_comes_back_and_has_missed_nothing_but_previews(
    abruptly: bool, alice: Client, bob: Client, forwarded: FakeComfyThread
) -> None:
    graph = slow(0, steps=5, preview=True)
    graph["4"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["5", 0]}}
    graph["5"] = empty_image()
    with Listener(alice) as here:
        if abruptly:
            here.socket.socket.close()
    prompt_id = submit(alice, graph, client_id=here.sid)
    ended(alice, prompt_id)
    forwarded.wait_idle()
    # Under her name and that id, nobody else.
    with Listener(bob, here.sid) as bobs, Listener(alice) as other:
        assert events(bobs.rest(0.1)) == events(other.rest(0.1)) == []
    with Listener(alice, here.sid) as back:
        assert back.sid == here.sid
        missed = events(back.until_end(prompt_id))
        # A result is not a preview.
        assert kinds(missed).count("binary 1") == 1
        texts = [frame for frame in missed if not isinstance(frame, bytes)]
        assert kinds(texts)[0] == "execution_start"
        assert kinds(texts)[-2:] == ["execution_success", "executing"]
        told = [data_of(frame) for frame in texts if kind(frame) == "progress"]
        assert [data["value"] for data in told if data["node"] == "3"] == [1, 2, 3, 4, 5]
        back.until_end(submit(alice, save(), client_id=back.sid))
    # Once, not again.
    with Listener(alice, here.sid) as again:
        assert events(again.rest(0.1)) == []
    mapped = received_one(forwarded, prompt_id)["client_id"]
    assert sockets_of(forwarded, mapped) == ["ws_open"]


def test_alice_comes_back_while_her_prompt_runs_and_follows_it_to_its_end(alice: Client) -> None:
    with Listener(alice) as here:
        prompt_id = submit(alice, slow(0.6, steps=12), client_id=here.sid)
        here.until(lambda frame: kind(frame) == "progress")
    with Listener(alice, here.sid) as back:
        back.until_end(prompt_id)
    frames = here.frames + back.frames
    values = [data_of(frame)["value"] for frame in frames if kind(frame) == "progress"]
    # What was on its way when she left may have been lost with her connection, no more.
    assert sorted(set(values)) == values
    assert values[-1] == 12
    assert len(values) >= 11


def test_client_that_leaves_during_the_handshake_stays_behind_nowhere(
    alice: Client, comfy: FakeComfyThread
) -> None:
    for _ in range(10):
        with connected(alice, "GET", "/ws?clientId=hasty", UPGRADE):
            pass
    with Listener(alice, "hasty") as socket:
        socket.until_end(submit(alice, save(), client_id="hasty"))


def test_many_reconnects_in_a_row_are_welcome(alice: Client, forwarded: FakeComfyThread) -> None:
    with Listener(alice) as first:
        pass
    for _ in range(30):
        with Listener(alice, first.sid) as socket:
            assert socket.sid == first.sid
    assert [r.kind for r in forwarded.requests if r.kind == "ws_open"] == ["ws_open"]


def test_too_many_ids_at_once_are_refused_and_those_in_use_are_not(
    gateway: Gateway,
) -> None:
    """Each id costs a socket of ComfyUI's; a hundred per user are enough for anyone."""
    code = """
from accounts import services
services.create_user(username="tabitha", password=password, role="user", actor=None)
"""
    gateway.run(code, password=PASSWORD)
    answer = Client(gateway.url).post("/login", json={"username": "tabitha", "password": PASSWORD})
    tabitha = Client(gateway.url, answer.json()["jwt_token"])
    with ExitStack() as stack:
        sockets = [stack.enter_context(Listener(tabitha)) for _ in range(100)]
        with pytest.raises(Refused) as caught:
            Listener(tabitha)
        assert (caught.value.status, caught.value.body["code"]) == (429, "THROTTLED")
        assert caught.value.headers["Retry-After"] == "5"
        assert stack.enter_context(Listener(tabitha, sockets[0].sid)).sid == sockets[0].sid


def test_too_many_sockets_of_one_id_are_refused(alice: Client) -> None:
    """A duplicated tab has its original's id; descriptors are for everyone."""
    with ExitStack() as stack:
        first = stack.enter_context(Listener(alice))
        for _ in range(MAX_SOCKETS_PER_SESSION - 1):
            stack.enter_context(Listener(alice, first.sid))
        with pytest.raises(Refused) as caught:
            Listener(alice, first.sid)
        assert (caught.value.status, caught.value.body["code"]) == (429, "THROTTLED")
