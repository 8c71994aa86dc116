"""What the sockets get during a run: the frames and their order are the recorded ones."""

from __future__ import annotations

import asyncio
import json
import struct
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tests.fakecomfy import FakeComfy

from .graphs import fail, save, slow
from .replay import load
from .sockets import Client, connect, history, post

RECORDED = load("events.json")


def _idle(status_frames: int) -> Any:
    """True once so many statuses came and the last one says that nothing is left."""

    def check(client: Client) -> bool:
        found = [f for f in client.compact if f[0] == "status"]
        return len(found) >= status_frames and found[-1][1] == 0

    return check


def text(node: str, value: str, **more: Any) -> dict[str, Any]:
    return {"1": {"class_type": node, "inputs": {"text": value, **more}}}


def files() -> dict[str, Any]:
    inputs = {"filename_prefix": "rec/ws8", "kinds": "images,gifs,audio,3d,custom"}
    return {"1": {"class_type": "FakeFiles", "inputs": inputs}}


def replaced(class_type: str) -> dict[str, Any]:
    graph = save(9)
    graph["2"] = {"class_type": class_type, "inputs": {"images": ["1", 0]}}
    return graph


EVENT = "custom node's own event without a client id"
OWN_EVENT = "custom node's own event to the client"
TEXT = "text progress (binary event 3) sent by a node without a client id"

# Name of the recording: (prompt, client id or nothing, whether client a announces its flags).
RUNS: dict[str, tuple[Any, dict[str, Any], bool]] = {
    "run to completion (two nodes, no previews)": (save, {"client_id": "client-a"}, True),
    "run with previews, client with supports_preview_metadata": (
        lambda: slow(0.02, 2, preview=True),
        {"client_id": "client-a"},
        True,
    ),
    "client_id is empty text": (lambda: slow(0.02, 2, preview=True), {"client_id": ""}, True),
    "client_id of a client that is not connected": (
        lambda: slow(0.02, 2, preview=True),
        {"client_id": "nobody"},
        True,
    ),
    "someone submits with another's client id": (save, {"client_id": "client-b"}, True),
    "run that fails": (fail, {"client_id": "client-a"}, True),
    "node that reports several kinds of files": (files, {"client_id": "client-a"}, True),
    "PreviewImage": (lambda: replaced("PreviewImage"), {"client_id": "client-a"}, True),
    "SaveImageWebsocket (core's websocket output node)": (
        lambda: replaced("SaveImageWebsocket"),
        {"client_id": "client-a"},
        False,
    ),
}


@pytest.mark.parametrize("name", RUNS)
async def test_two_clients_watch_a_run_frames_are_as_recorded(
    comfy: FakeComfy, session: aiohttp.ClientSession, name: str
) -> None:
    prompt, more, flags = RUNS[name]
    a = await connect(session, comfy.ws_url, "client-a", flags)
    b = await connect(session, comfy.ws_url, "client-b")
    await post(session, comfy.url, prompt(), **more)
    await _compare(name, a, b)


async def _compare(name: str, a: Client, b: Client) -> None:
    want = RECORDED[name]
    # All that is to come has come when the last recorded frame is there; a little later nothing
    # must have followed.
    for client, frames in ((a, "submitter_client_a"), (b, "other_client_b")):
        await client.wait_frames(len(want[frames]))
    await asyncio.sleep(0.05)
    assert a.compact == want["submitter_client_a"]
    assert b.compact == want["other_client_b"]
    await a.close()
    await b.close()


async def test_client_repeats_prompt_all_is_cached(
    comfy: FakeComfy, session: aiohttp.ClientSession
) -> None:
    await post(session, comfy.url, save())
    await comfy.wait_idle()
    for name in (
        "the same prompt again: all cached",
        "the same prompt again by another client: cached across users",
    ):
        a = await connect(session, comfy.ws_url, "client-a")
        b = await connect(session, comfy.ws_url, "client-b")
        await post(
            session, comfy.url, save(), client_id="client-b" if "another" in name else "client-a"
        )
        await _compare(name, a, b)


async def test_client_without_flags_gets_plain_previews(
    comfy: FakeComfy, session: aiohttp.ClientSession
) -> None:
    await _warm(comfy, session)
    a = await connect(session, comfy.ws_url, "client-a", flags=False)
    b = await connect(session, comfy.ws_url, "client-b")
    await post(session, comfy.url, slow(0.02, 2, preview=True), client_id="client-a")
    pictures = "run with previews, client without feature flags"
    await _compare(pictures, a, b)
    frame = next(f for f in a.frames if isinstance(f, bytes))
    assert struct.unpack(">II", frame[:8]) == (1, 1)
    assert Image.open(BytesIO(frame[8:])).format == "JPEG"


async def _warm(comfy: FakeComfy, session: aiohttp.ClientSession) -> None:
    """Runs a prompt whose first node the next one finds in the cache, as in the recording."""
    await post(session, comfy.url, slow(0, 1))
    await comfy.wait_idle()


@pytest.mark.parametrize(
    ("name", "prompt", "stop"),
    [
        ("prompt WITHOUT client_id", lambda: slow(0.02, 2, preview=True), False),
        ("run that fails, without client_id", lambda: _fail_cached(), False),
        ("interrupted, without client_id", lambda: slow(5, 1), True),
    ],
)
async def test_prompt_without_client_id_is_partly_broadcast(
    comfy: FakeComfy, session: aiohttp.ClientSession, name: str, prompt: Any, stop: bool
) -> None:
    await _warm(comfy, session)
    a = await connect(session, comfy.ws_url, "client-a")
    b = await connect(session, comfy.ws_url, "client-b")
    await post(session, comfy.url, prompt())
    if stop:
        await a.wait_for(lambda c: c.compact[-1][0] == "progress_state")
        await session.post(f"{comfy.url}/interrupt")
    await _compare(name, a, b)


def _fail_cached() -> dict[str, Any]:
    graph = fail()
    graph["1"]["inputs"]["color"] = 7  # the colour that the warming prompt has
    return graph


async def test_client_interrupts_run_frames_are_as_recorded(
    comfy: FakeComfy, session: aiohttp.ClientSession
) -> None:
    a = await connect(session, comfy.ws_url, "client-a")
    b = await connect(session, comfy.ws_url, "client-b")
    prompt_id = await post(session, comfy.url, slow(5, 1), client_id="client-a")
    await a.wait_for(lambda c: c.compact[-1] == ["executing", "2"])
    await session.post(f"{comfy.url}/interrupt", json={"prompt_id": prompt_id})
    await _compare("run that is interrupted", a, b)


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        (TEXT, text("FakeTextProgress", "working on it", to_everyone=True)),
        (EVENT, text("FakeCustomEvent", "x", event="harness.event", to_everyone=True)),
        (OWN_EVENT, text("FakeCustomEvent", "x", event="harness.event", to_everyone=False)),
    ],
)
async def test_custom_node_sends_own_event_it_reaches_whom_it_says(
    comfy: FakeComfy, session: aiohttp.ClientSession, name: str, prompt: Any
) -> None:
    a = await connect(session, comfy.ws_url, "client-a")
    b = await connect(session, comfy.ws_url, "client-b")
    await post(session, comfy.url, prompt, client_id="client-a")
    # The recorded text node reports its text as well; the one here does not.
    want = RECORDED[name]
    want["submitter_client_a"] = [f for f in want["submitter_client_a"] if f[0] != "executed"]
    await _compare(name, a, b)


async def test_core_node_tells_everyone_a_picture_size(
    comfy: FakeComfy, session: aiohttp.ClientSession
) -> None:
    b = await connect(session, comfy.ws_url, "client-b")
    graph = save()
    graph["3"] = {"class_type": "GetImageSize", "inputs": {"image": ["1", 0]}}
    graph["2"] = {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}}
    await post(session, comfy.url, graph, client_id="client-a")
    await b.wait_for(_idle(4))
    (frame,) = [f for f in b.frames if isinstance(f, bytes)]
    assert frame == struct.pack(">II", 3, 1) + b"3width: 16, height: 16\n batch size: 1"


async def test_client_with_flags_gets_ids_with_its_previews(
    comfy: FakeComfy, session: aiohttp.ClientSession
) -> None:
    a = await connect(session, comfy.ws_url, "client-a")
    prompt_id = await post(session, comfy.url, slow(0, 1, preview=True), client_id="client-a")
    await a.wait_for(_idle(4))
    frame = next(f for f in a.frames if isinstance(f, bytes))
    event, length = struct.unpack(">II", frame[:8])
    assert event == 4
    assert json.loads(frame[8 : 8 + length]) == {
        "node_id": "2",
        "prompt_id": prompt_id,
        "display_node_id": "2",
        "parent_node_id": None,
        "real_node_id": "2",
        "image_type": "image/jpeg",
    }
    assert Image.open(BytesIO(frame[8 + length :])).format == "JPEG"


async def test_two_clients_queue_prompts_each_gets_its_own_events(
    comfy: FakeComfy, session: aiohttp.ClientSession
) -> None:
    want = RECORDED["one prompt of each client, queued one after the other"]
    a = await connect(session, comfy.ws_url, "client-a")
    b = await connect(session, comfy.ws_url, "client-b")
    await post(session, comfy.url, slow(0.3, 1), client_id="client-a")
    # Posted while the slow node runs, as in the recording.
    await a.wait_for(lambda c: c.compact[-1] == ["executing", "2"])
    await post(session, comfy.url, save(8), client_id="client-b")
    await a.wait_frames(len(want["client_a"]))
    await b.wait_frames(len(want["client_b"]))
    await asyncio.sleep(0.05)
    assert a.compact == want["client_a"]
    assert b.compact == want["client_b"]


async def test_pending_prompt_is_deleted_client_learns_only_the_length(
    comfy: FakeComfy, session: aiohttp.ClientSession
) -> None:
    want = RECORDED["a pending prompt is deleted: its client is told nothing but the queue length"]
    a = await connect(session, comfy.ws_url, "client-a", flags=False)
    await post(session, comfy.url, slow(0.3, 1), client_id="nobody")
    await a.wait_frames(3)
    prompt_id = await post(session, comfy.url, save(), client_id="client-a")
    await session.post(f"{comfy.url}/queue", json={"delete": [prompt_id]})
    await a.wait_frames(len(want["client_a"]))
    assert a.compact == want["client_a"]
    assert await history(session, comfy.url, prompt_id) is None


async def test_failed_run_error_event_shows_inputs_and_traceback(
    comfy: FakeComfy, session: aiohttp.ClientSession
) -> None:
    a = await connect(session, comfy.ws_url, "client-a")
    await post(session, comfy.url, fail("kaboom"), client_id="client-a")
    await a.wait_for(_idle(4))
    (event,) = [f for f in a.frames if f["type"] == "execution_error"]
    data = event["data"]
    assert (data["exception_message"], data["exception_type"]) == ("kaboom\n", "RuntimeError")
    assert data["current_inputs"]["message"] == ["kaboom"]
    assert data["current_inputs"]["image"][0].startswith("tensor(")
    assert set(data["current_outputs"]) == {"1", "2", "3"}
    assert "RuntimeError(message)" in data["traceback"][-1]
