"""/ws: when ComfyUI goes away the client's socket closes with 1012; coming back resumes."""

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.listener import Listener
from tests.prompts import received_one, save, slow, submit, wait_running


def test_restart_closes_every_socket_and_reconnecting_works(
    shaky: FakeComfyThread, shaky_alice: Client, shaky_bob: Client
) -> None:
    alice, bob = shaky_alice, shaky_bob
    with (
        Listener(alice) as one,
        Listener(alice, one.sid) as same,
        Listener(alice) as other,
        Listener(bob, one.sid) as bobs,
    ):
        running = submit(alice, slow(), client_id=one.sid)
        wait_running(shaky, running)
        one.until_count(1)
        sid = received_one(shaky, running)["client_id"]
        shaky.clear_requests()
        shaky.restart()
        assert [socket.close_code() for socket in (one, same, other, bobs)] == [1012] * 4
        with Listener(alice, one.sid) as back, Listener(bob, bobs.sid) as bob_back:
            assert (back.sid, back.count) == (one.sid, 0)
            back.until_end(submit(alice, save(), client_id=back.sid))
            bob_back.until_end(submit(bob, save(), client_id=bob_back.sid))
    opened = [r.kind for r in shaky.requests if r.sid == sid and r.kind.startswith("ws_")]
    # The old one closed, one new one opened, its flags sent.
    assert opened == ["ws_close", "ws_open", "ws_frame"]


def test_restart_while_nobody_listens_does_no_harm(
    shaky: FakeComfyThread, shaky_alice: Client
) -> None:
    with Listener(shaky_alice) as here:
        here.until_end(submit(shaky_alice, save(), client_id=here.sid))
    shaky.restart()
    with Listener(shaky_alice, here.sid) as back:
        assert back.rest(0.1) == []
        back.until_end(submit(shaky_alice, save(), client_id=back.sid))
