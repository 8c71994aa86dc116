"""/ws: what a client receives of its own prompts: events in order, previews, results."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.cast import PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Listener, data_of, kind, kinds, metadata, picture, prompts_of
from tests.prompts import Graph, ended, save, slow, submit
from tests.prompts import picture as empty_image

pytestmark = pytest.mark.usefixtures("clean_log")


@pytest.fixture(scope="module")
def sophie(gateway: Gateway) -> Client:
    """A user who is not shown explicit pictures."""
    code = """
from accounts import services
user = services.create_user(username="sophie", password=password, role="user", actor=None)
user.sfw_enforced = True
user.save()
result = user.namespace
"""
    namespace = gateway.run(code, password=PASSWORD)
    answer = Client(gateway.url).post("/login", json={"username": "sophie", "password": PASSWORD})
    return Client(gateway.url, answer.json()["jwt_token"], namespace)


def results(color: int) -> Graph:
    """A picture that is sent over the socket instead of being saved."""
    graph: Graph = {"1": empty_image(color, size=8)}
    graph["2"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}
    return graph


def test_events_of_a_run_come_in_comfyuis_order(alice: Client) -> None:
    with Listener(alice) as socket:
        prompt_id = submit(alice, save(), client_id=socket.sid)
        frames = socket.until_end(prompt_id)
    assert prompts_of(frames) == {prompt_id}
    node = ["progress_state", "executing", "progress_state"]
    assert kinds(frames, "status") == [
        "execution_start",
        "execution_cached",
        *node,
        *["progress_state", "executing", "executed", "progress_state"],
        "execution_success",
        "executing",
    ]
    nodes = [data_of(frame)["node"] for frame in frames if kind(frame) == "executing"]
    assert nodes == ["1", "2", None]
    (executed,) = (data_of(frame) for frame in frames if kind(frame) == "executed")
    assert executed["output"] == ended(alice, prompt_id)["outputs"]["2"]
    assert alice.get("/view", params=executed["output"]["images"][0]).status_code == 200


def test_many_events_come_complete_and_in_order(alice: Client) -> None:
    with Listener(alice) as socket:
        prompt_id = submit(alice, slow(0, steps=500), client_id=socket.sid)
        frames = socket.until_end(prompt_id)
    values = [data_of(frame)["value"] for frame in frames if kind(frame) == "progress"]
    assert values == list(range(1, 501))


def test_failed_prompt_tells_why_without_server_paths(
    alice: Client, comfy: FakeComfyThread
) -> None:
    graph = save()
    message = f"no {comfy.base_dir}/models/secret.bin"
    graph["3"] = {"class_type": "FakeFail", "inputs": {"image": ["1", 0], "message": message}}
    graph["2"]["inputs"]["images"] = ["3", 0]
    with Listener(alice) as socket:
        prompt_id = submit(alice, graph, client_id=socket.sid)
        frames = socket.until_end(prompt_id)
    (error,) = (data_of(frame) for frame in frames if kind(frame) == "execution_error")
    assert (error["prompt_id"], error["node_id"]) == (prompt_id, "3")
    assert error["exception_message"].startswith("no ")
    assert comfy.base_dir not in str(error["traceback"]) + error["exception_message"]
    assert "mss_namespace" not in str(frames)


def test_secrets_of_a_prompt_are_in_no_event(alice: Client) -> None:
    extra = {"auth_token_comfy_org": "secret-a", "other": {"deep": "secret-b"}}
    with Listener(alice) as socket:
        prompt_id = submit(alice, save(), client_id=socket.sid, extra_data=extra)
        socket.until_end(prompt_id)
        assert "secret-" not in str(socket.frames)


def test_previews_come_in_the_form_that_the_client_announced(alice: Client) -> None:
    with Listener(alice) as plain, Listener(alice, flags=True) as modern:
        pictures = []
        for socket, form in ((plain, "binary 1"), (modern, "binary 4")):
            prompt_id = submit(alice, slow(0, steps=3, preview=True), client_id=socket.sid)
            frames = [frame for frame in socket.until_end(prompt_id) if isinstance(frame, bytes)]
            assert kinds(list(frames)) == [form] * 3
            pictures.append([Image.open(io.BytesIO(picture(frame))) for frame in frames])
            if form == "binary 4":
                told = metadata(frames[0])
                assert told is not None
                assert (told["prompt_id"], told["node_id"]) == (prompt_id, "3")
                assert told["image_type"] == "image/jpeg"
            else:
                assert {frame[4:8] for frame in frames} == {b"\0\0\0\1"}
    assert [[image.format for image in images] for images in pictures] == [["JPEG"] * 3] * 2


def test_two_sockets_of_one_id_get_each_their_own_form(alice: Client) -> None:
    with Listener(alice) as plain, Listener(alice, plain.sid, flags=True) as modern:
        prompt_id = submit(alice, slow(0, steps=2, preview=True), client_id=plain.sid)
        plain_kinds, modern_kinds = (
            [name for name in kinds(socket.until_end(prompt_id)) if name.startswith("binary")]
            for socket in (plain, modern)
        )
    assert (plain_kinds, modern_kinds) == (["binary 1"] * 2, ["binary 4"] * 2)


@pytest.mark.parametrize("flags", [False, True])
def test_results_arrive_and_are_what_was_made(flags: bool, alice: Client) -> None:
    with Listener(alice, flags=flags) as socket:
        prompt_id = submit(alice, results(0x10A0F0), client_id=socket.sid)
        frames = [frame for frame in socket.until_end(prompt_id) if isinstance(frame, bytes)]
    (frame,) = frames
    assert kind(frame) == ("binary 4" if flags else "binary 1")
    image = Image.open(io.BytesIO(picture(frame)))
    assert (image.format, image.getpixel((0, 0))) == ("PNG", (0x10, 0xA0, 0xF0))
    if not flags:
        assert frame[4:8] == b"\0\0\0\2"


@pytest.mark.parametrize("flags", [False, True])
def test_user_who_is_kept_safe_gets_no_preview_and_everything_else(
    flags: bool, sophie: Client
) -> None:
    with Listener(sophie, flags=flags) as socket:
        prompt_id = submit(sophie, slow(0, steps=3, preview=True), client_id=socket.sid)
        frames = socket.until_end(prompt_id)
        assert [name for name in kinds(frames) if name.startswith("binary")] == []
        assert kinds(frames).count("progress") == 3
        # Without a classifier a finished picture passes that nobody tagged (docs/nsfw.md).
        prompt_id = submit(sophie, results(0x445566), client_id=socket.sid)
        frames = socket.until_end(prompt_id)
        assert len([name for name in kinds(frames) if name.startswith("binary")]) == 1
        assert "execution_success" in kinds(frames)


def test_text_progress_and_own_events_of_custom_nodes_arrive(alice: Client) -> None:
    graph = save()
    for node_id, to_everyone in (("5", False), ("6", True)):
        graph[node_id] = {
            "class_type": "FakeTextProgress",
            "inputs": {"text": f"working {node_id}", "to_everyone": to_everyone},
        }
    for node_id, to_everyone in (("7", False), ("8", True)):
        graph[node_id] = {
            "class_type": "FakeCustomEvent",
            "inputs": {"text": "t", "event": f"own.{node_id}", "to_everyone": to_everyone},
        }
    with Listener(alice) as socket:
        frames = socket.until_end(submit(alice, graph, client_id=socket.sid))
    told = sorted(frame[9:].decode() for frame in frames if isinstance(frame, bytes))
    assert told == ["working 5", "working 6"]
    assert {name for name in kinds(frames) if name.startswith("own.")} == {"own.7", "own.8"}


def test_cached_prompt_tells_its_earlier_output(alice: Client) -> None:
    graph = save()
    with Listener(alice) as socket:
        first = socket.until_end(submit(alice, graph, client_id=socket.sid))
        second = socket.until_end(submit(alice, graph, client_id=socket.sid))
    outputs = [
        data_of(frame)["output"]
        for frames in (first, second)
        for frame in frames
        if kind(frame) == "executed"
    ]
    assert len(outputs) == 2
    assert outputs[0] == outputs[1]


@pytest.fixture
def logging_comfy(comfy: FakeComfyThread) -> Iterator[FakeComfyThread]:
    yield comfy
    comfy.server.running_core.logs.subscribed.clear()


def test_logs_reach_only_who_manages_the_backend(
    admin: Client, alice: Client, logging_comfy: FakeComfyThread
) -> None:
    with Listener(alice) as socket, Listener(admin) as admins:
        # As if somebody had subscribed for everyone: ComfyUI asks nobody who it was.
        subscribed = logging_comfy.server.running_core.logs.subscribed
        subscribed.update(logging_comfy.server.running_core.hub.sockets)
        log: Graph = {"1": {"class_type": "FakeLog", "inputs": {"text": "a line for the admin"}}}
        prompt_id = submit(admin, log, client_id=admins.sid)
        frames = admins.until_end(prompt_id)
        assert "a line for the admin" in str([f for f in frames if kind(f) == "logs"])
        mine = submit(alice, save(), client_id=socket.sid)
        assert "logs" not in kinds(socket.until_end(mine))
