"""/ws: clients that do not read, or that send too much, harm themselves only."""

import json
import struct

import pytest

from comfyproxy.relay import MAX_FRAME_UP_CHARS
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import UPGRADE, Listener, data_of, kind, kinds
from tests.prompts import received_one, save, submit
from tests.rawconnection import connected
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("clean_log")

EVENTS = 300
PAD = "x" * 100_000  # 30 MB in all: more than systems and outboxes take


def own_prompt(client: Client, socket: Listener, comfy: FakeComfyThread) -> tuple[str, str]:
    """A prompt of the client's, over by now, and the id that ComfyUI sends its events to."""
    prompt_id = submit(client, save(), client_id=socket.sid)
    socket.until_end(prompt_id)
    return prompt_id, received_one(comfy, prompt_id)["client_id"]


def test_client_that_never_reads_is_cut_off_and_stalls_nobody(
    alice: Client, bob: Client, comfy: FakeComfyThread, gateway: Gateway
) -> None:
    with (
        Listener(alice) as reader,
        Listener(alice, reader.sid, max_queue=1) as stalled,
        Listener(bob) as bobs,
    ):
        prompt_id, sid = own_prompt(alice, reader, comfy)
        before = gateway.memory()
        values: list[int] = []
        for number in range(EVENTS):
            data = {"value": number, "max": EVENTS, "prompt_id": prompt_id, "pad": PAD}
            comfy.emit("progress", data, sid)
            # At the reader's pace, who shares this process with ComfyUI.
            while number % 20 == 19 and len(values) <= number:
                frame = reader.next()
                if kind(frame) == "progress" and "pad" in data_of(frame):
                    values.append(data_of(frame)["value"])
        assert values == list(range(EVENTS))
        # Bob, and Alice's next prompt, go on as ever.
        bobs.until_end(submit(bob, save(), client_id=bobs.sid))
        reader.until_end(submit(alice, save(), client_id=reader.sid))
        assert gateway.memory() - before < 40_000_000
        assert stalled.close_code() == 1013
        assert 0 < kinds(stalled.frames).count("progress") < EVENTS


def test_slow_client_loses_old_previews_and_nothing_else(
    alice: Client, comfy: FakeComfyThread
) -> None:
    with Listener(alice) as reader, Listener(alice, reader.sid, max_queue=1, flags=True) as slow:
        prompt_id, sid = own_prompt(alice, reader, comfy)
        metadata = json.dumps(
            {"prompt_id": prompt_id, "node_id": "1", "image_type": "image/jpeg"}
        ).encode()
        head = struct.pack(">II", 4, len(metadata)) + metadata
        for number in range(EVENTS):
            comfy.emit_binary(head + struct.pack(">I", number) + PAD.encode(), sid)
            comfy.emit("progress", {"value": number, "max": 1, "prompt_id": prompt_id}, sid)
        last = {"value": EVENTS - 1, "max": 1, "prompt_id": prompt_id}
        reader.until(lambda frame: kind(frame) == "progress" and data_of(frame) == last)
        slow.until(lambda frame: kind(frame) == "progress" and data_of(frame) == last)
        texts = [
            data_of(frame)["value"]
            for frame in slow.frames
            if kind(frame) == "progress" and data_of(frame)["prompt_id"] == prompt_id
        ]
        assert texts[-EVENTS:] == list(range(EVENTS))
        pictures = [
            struct.unpack_from(">I", frame, len(head))[0]
            for frame in slow.frames
            if isinstance(frame, bytes) and frame.startswith(head)
        ]
        assert pictures == sorted(set(pictures))
        assert pictures[-1] == EVENTS - 1
        assert len(pictures) < EVENTS


LIMIT = 4 * 1024 * 1024


def test_announced_oversized_message_ends_that_socket_before_it_is_sent(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    with (
        Listener(alice) as same,
        Listener(bob) as bobs,
        connected(alice, "GET", f"/ws?clientId={same.sid}", UPGRADE) as raw,
    ):
        assert raw.recv(65536).startswith(b"HTTP/1.1 101 ")
        # A frame's head: binary, masked, one byte longer than is allowed.
        raw.sendall(b"\x82\xff" + struct.pack(">Q", LIMIT + 1) + b"mask")
        received = b""
        while piece := raw.recv(65536):
            received += piece
        (code,) = struct.unpack_from(">H", received, received.rindex(b"\x88") + 2)
        assert code == 1009
        same.until_end(submit(alice, save(), client_id=same.sid))
        bobs.until_end(submit(bob, save(), client_id=bobs.sid))


@pytest.mark.parametrize("message", [b"\0" * LIMIT, "t" * LIMIT, "é" * (LIMIT // 2)], ids=type)
def test_message_that_comfyui_would_cut_the_socket_for_closes_its_senders_alone(
    message: bytes | str, alice: Client, forwarded: FakeComfyThread
) -> None:
    with Listener(alice) as same, Listener(alice, same.sid) as socket:
        socket.socket.send(message)
        assert socket.close_code() == 1009
        same.until_end(submit(alice, save(), client_id=same.sid))
    sizes = [record.body_size for record in forwarded.requests if record.kind == "ws_frame"]
    assert max(sizes) < 1000


def test_json_messages_pass_and_what_would_fill_comfyuis_log_does_not(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    largest = json.dumps({"type": "custom", "data": "t" * (MAX_FRAME_UP_CHARS - 40)})
    with Listener(alice) as socket:
        for noise in (b"\0" * (LIMIT - 1), "t" * (LIMIT - 1), "[1]", largest + "{", "1" * 70_000):
            socket.socket.send(noise)
        socket.socket.send(largest)

        def frames() -> list[tuple[int, str]]:
            # The gateway's own first frame, its feature flags, is short.
            return [
                (record.body_size, record.text[:20])
                for record in forwarded.requests
                if record.kind == "ws_frame" and "feature_flags" not in record.text
            ]

        wait_until(lambda: frames() == [(len(largest), largest[:20])])
        socket.until_end(submit(alice, save(), client_id=socket.sid))
