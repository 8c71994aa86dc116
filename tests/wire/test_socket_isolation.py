"""/ws: nothing of another's arrives, whatever ComfyUI sends to everyone."""

import struct
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.listener import Listener, kind, kinds, prompts_of, status
from tests.prompts import Graph, direct, received_one, save, slow, submit, wait_running

pytestmark = pytest.mark.usefixtures("clean_log")


def noisy() -> Graph:
    """Whatever core and custom nodes can broadcast, with previews, results and a log line."""
    graph = slow(0, steps=2, preview=True)
    graph["4"] = {"class_type": "GetImageSize", "inputs": {"image": ["3", 0]}}
    graph["5"] = {"class_type": "PreviewAny", "inputs": {"source": ["4", 0]}}
    graph["6"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}
    words = {"text": "whisper", "to_everyone": True}
    graph["7"] = {"class_type": "FakeCustomEvent", "inputs": {**words, "event": "custom.event"}}
    graph["8"] = {"class_type": "FakeTextProgress", "inputs": words}
    graph["9"] = {"class_type": "FakeLog", "inputs": {"text": "whisper"}}
    return graph


def fenced(socket: Listener, client: Client) -> list[Any]:
    """All that a socket got so far: what comes up to the end of a prompt of its own. That
    prompt's own events, and the counts for it, are left out."""
    prompt_id = submit(client, save(), client_id=socket.sid)
    frames = socket.until_end(prompt_id)
    if 0 not in [status(frame) for frame in frames if kind(frame) == "status"]:
        socket.until_count(0)
    own = {"status", "feature_flags"}
    return [
        frame
        for frame in socket.frames
        if kind(frame) not in own and prompts_of([frame]) != {prompt_id}
    ]


@pytest.mark.parametrize("flags", [False, True])
def test_bobs_prompt_is_silent_for_everybody_else(
    flags: bool, alice: Client, bob: Client, power: Client
) -> None:
    with (
        Listener(alice, flags=flags) as alices,
        Listener(power, flags=flags) as powers,
        Listener(bob, alices.sid, flags=flags) as bobs,
        Listener(bob, flags=flags) as other,
    ):
        prompt_id = submit(bob, noisy(), client_id=bobs.sid)
        frames = bobs.until_end(prompt_id)
        # It was loud enough for Bob himself.
        assert {"custom.event", "binary 3", "progress", "executed"} <= set(kinds(frames))
        assert fenced(alices, alice) == []
        assert fenced(powers, power) == []
        assert fenced(other, bob) == []


@pytest.mark.parametrize("with_id", [False, True])
def test_prompt_past_the_gateway_is_silent_for_everybody(
    with_id: bool, alice: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    with Listener(alice, flags=True) as alices, Listener(admin, flags=True) as admins:
        # Without a client id ComfyUI sends progress and pictures to every socket.
        direct(comfy, noisy(), **({"client_id": alices.sid} if with_id else {}))
        comfy.wait_idle()
        assert fenced(alices, alice) == []
        assert fenced(admins, admin) == []


def test_prompts_one_after_the_other_do_not_mix(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    with Listener(alice) as alices, Listener(bob, alices.sid) as bobs:
        comfy.pause()
        mine, theirs = [], []
        for _ in range(3):
            mine.append(submit(alice, noisy(), client_id=alices.sid))
            theirs.append(submit(bob, noisy(), client_id=bobs.sid))
            direct(comfy, noisy())
        comfy.resume()
        for socket, expected in ((alices, mine), (bobs, theirs)):
            frames = [frame for prompt_id in expected for frame in socket.until_end(prompt_id)]
            assert prompts_of(frames) == set(expected)
            for name in ("custom.event", "execution_start", "execution_success"):
                assert kinds(frames).count(name) == 3, name
            # Two broadcasts of texts in each run, two previews, one result.
            assert kinds(frames).count("binary 3") == 6
            assert kinds(frames).count("binary 1") == 9


@pytest.mark.usefixtures("calm")
def test_broadcasts_between_runs_reach_nobody_and_during_a_run_only_its_owner(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    text = struct.pack(">II", 3, 1) + b"7whisper"
    preview = struct.pack(">II", 1, 1) + b"whisper"
    strange = struct.pack(">I", 99) + b"whisper"

    def broadcast() -> None:
        comfy.emit("custom.event", {"text": "whisper"})
        comfy.emit("progress", {"value": 1, "max": 2, "node": "1"})
        comfy.emit("executed", {"node": "1", "output": {"images": [{"filename": "whisper"}]}})
        comfy.emit("logs", {"entries": [{"t": "", "m": "whisper"}], "size": None})
        comfy.emit("executing", None)
        for frame in (text, preview, strange, b"", b"\0\0"):
            comfy.emit_binary(frame)

    with Listener(alice) as alices, Listener(bob) as bobs:
        broadcast()
        running = submit(bob, slow(), client_id=bobs.sid)
        wait_running(comfy, running)
        bobs.until(lambda frame: kind(frame) == "progress_state")
        broadcast()
        bobs.until(lambda frame: frame == preview)
        bob.post("/interrupt")
        bobs.until_end(running)
        broadcast()
        assert fenced(alices, alice) == []
        assert [f for f in fenced(bobs, bob) if prompts_of([f]) == set()].count(preview) == 1


@pytest.mark.usefixtures("calm")
def test_alice_listens_under_bobs_ids_and_hears_nothing(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    with Listener(bob) as bobs:
        running = submit(bob, slow(), client_id=bobs.sid)
        mapped = received_one(comfy, running)["client_id"]
        wait_running(comfy, running)
        bobs.until(lambda frame: kind(frame) == "progress_state")
        with Listener(alice, bobs.sid) as same, Listener(alice, mapped) as guessed:
            bob.post("/interrupt")
            # Nor does it cut Bob off.
            bobs.until_end(running)
            assert kinds(same.rest(0.2)) == kinds(guessed.rest(0.2)) == []


def test_forged_events_from_a_client_go_nowhere(alice: Client, bob: Client) -> None:
    with Listener(alice) as alices, Listener(bob) as bobs:
        for forged in ('{"type": "status"}', '{"type": "executed", "data": {}}', "{", "", "x"):
            alices.socket.send(forged)
        alices.socket.send(b"\0\0\0\1forged")
        assert fenced(bobs, bob) == []
        assert fenced(alices, alice) == []


def test_late_event_of_an_ended_run_opens_no_door(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    """A node's thread may report progress after its prompt has ended."""
    with Listener(alice) as alices:
        mine = submit(alice, save(), client_id=alices.sid)
        alices.until_end(mine)
        sid = received_one(comfy, mine)["client_id"]
        late = {"value": 9, "max": 9, "node": "1", "prompt_id": mine}
        for name in ("progress", "executed", "executing", "progress_state"):
            comfy.emit(name, late, sid)
        theirs = submit(bob, noisy())
        comfy.emit_binary(struct.pack(">II", 1, 1) + b"whisper")
        comfy.emit("custom.event", {"text": "whisper"})
        comfy.wait_idle()
        frames = fenced(alices, alice)
    assert prompts_of(frames) == {mine}
    assert theirs not in str(frames)
    assert "whisper" not in str(frames)
