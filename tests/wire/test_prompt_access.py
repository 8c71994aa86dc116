"""Who may send prompts at all; equal graphs of two users; bodies that are no prompts."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.prompts import Graph, ended, picture, received, run, save, submit
from tests.refusals import asked, check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

PATHS = ("/prompt", "/api/prompt")


@pytest.mark.parametrize("path", PATHS)
def test_guest_may_not_send_prompts(
    path: str, guest: Client, anonymous: Client, forwarded: FakeComfyThread
) -> None:
    answer = guest.post(path, json={"prompt": save()})
    check_refusal(answer, 403, "PERMISSION_DENIED", permission="can_run")
    check_refusal(anonymous.post(path, json={"prompt": save()}), 401, "AUTH_REQUIRED")
    assert received(forwarded) == []
    assert guest.get(path).json() == {"exec_info": {"queue_remaining": 0}}


def test_guest_is_refused_before_the_body_was_sent(guest: Client, gateway: Gateway) -> None:
    url = urlsplit(gateway.url)
    with socket.create_connection((url.hostname, url.port), timeout=5) as connection:
        head = (
            f"POST /prompt HTTP/1.1\r\nHost: {url.netloc}\r\n"
            f"Authorization: Bearer {guest.token}\r\nContent-Length: 5000000\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_not_for_prompts(
    path: str, method: str, alice: Client, forwarded: FakeComfyThread
) -> None:
    answer = alice.request(method, path, json={"prompt": save()})
    check_refusal(answer, 405, "METHOD_NOT_ALLOWED", allow=["GET", "HEAD", "POST"])
    assert asked(forwarded) == []


def test_equal_graphs_of_two_users_make_two_files(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    graph = save("same", color=0xABCDEF)
    alices, bobs = run(alice, graph), run(bob, graph)
    (mine,), (theirs,) = (entry["outputs"]["2"]["images"] for entry in (alices, bobs))
    assert mine["subfolder"] == alice.namespace
    assert theirs["subfolder"] == bob.namespace
    assert bob.get("/view", params=theirs).status_code == 200
    assert bob.get("/view", params=mine).status_code == 404
    # What each picture tells of its making is its owner's as well.
    assert alice.namespace.encode() not in bob.get("/view", params=theirs).content


def test_equal_previews_of_two_users_are_two_files(alice: Client, bob: Client) -> None:
    """PreviewImage takes no prefix: without a key of the user's, ComfyUI's cache would hand
    Bob the file that Alice's prompt has made, her workflow inside."""
    graph: Graph = {
        "1": picture(0x123456),
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    workflow = {"extra_pnginfo": {"workflow": {"note": "alices idea"}}}
    alices = run(alice, graph, extra_data=workflow)
    bobs = run(bob, graph)
    assert alices["outputs"]["2"] != bobs["outputs"]["2"]
    assert alices["prompt"][2] == bobs["prompt"][2] == graph


def test_alice_sends_the_same_again_and_it_comes_from_the_cache(alice: Client) -> None:
    graph = save("cached")
    first, second = run(alice, graph), run(alice, graph)
    assert second["outputs"] == first["outputs"]
    cached = dict(second["status"]["messages"])["execution_cached"]
    assert set(cached["nodes"]) == {"1", "2"}


def test_what_the_gateway_adds_does_not_come_back(
    alice: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    graph = save("plain")
    prompt_id = submit(alice, graph)
    expected = json.loads(json.dumps(graph))
    expected["2"]["inputs"]["filename_prefix"] = f"{alice.namespace}/plain"
    assert ended(alice, prompt_id)["prompt"][2] == expected
    assert admin.get(f"/history/{prompt_id}").json()[prompt_id]["prompt"][2] == expected


GARBAGE: list[Any] = [None, True, 7, 1.5, "text", "", [], ["a"], {}, {"a": None}, [[]], "\0"]


@pytest.mark.parametrize("value", GARBAGE, ids=repr)
def test_alice_sends_garbage_in_any_field_and_gets_a_refusal(
    value: Any, alice: Client, forwarded: FakeComfyThread
) -> None:
    bodies = [
        value,
        {"prompt": value},
        {"prompt": {"1": value}},
        {"prompt": {"1": {"class_type": value, "inputs": {}}}},
        {"prompt": {"1": {"class_type": "EmptyImage", "inputs": value}}},
        {"prompt": {value if isinstance(value, str) else "x": {}}},
    ]
    for body in bodies:
        answer = alice.post("/prompt", data=json.dumps(body).encode())
        assert answer.status_code == 400, (body, answer.text)
        assert "error" in answer.json()


@pytest.mark.parametrize("field", ["extra_data", "number", "front", "partial_execution_targets"])
@pytest.mark.parametrize("value", [*GARBAGE, [1], {"a": [None]}, 1e300, -1], ids=repr)
def test_alice_sends_garbage_beside_a_prompt_and_comfyui_lives(
    field: str, value: Any, alice: Client, comfy: FakeComfyThread
) -> None:
    answer = alice.post("/prompt", json={"prompt": save(), field: value})
    assert answer.status_code in (200, 400), answer.text
    assert comfy.worker_alive


@pytest.mark.parametrize("value", [*GARBAGE, 1e300, -1, "9" * 5000, {"__value__": []}], ids=repr)
@pytest.mark.parametrize("place", [("1", "width"), ("2", "images"), ("2", "filename_prefix")])
def test_alice_sends_garbage_in_an_input_and_comfyui_lives(
    place: tuple[str, str], value: Any, alice: Client, comfy: FakeComfyThread
) -> None:
    graph = save()
    graph[place[0]]["inputs"][place[1]] = value
    answer = alice.post("/prompt", json={"prompt": graph})
    assert answer.status_code in (200, 400, 403, 502), answer.text
    assert comfy.worker_alive


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\0",
        b"\xff\xfe",
        b'{"prompt": NaN}',
        b'{"prompt": {"1": {"class_type": "\\ud800", "inputs": {}}}}',
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b"prompt=1&client_id=2",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_alice_sends_what_is_no_json_and_gets_a_refusal(
    body: bytes, alice: Client, forwarded: FakeComfyThread
) -> None:
    check_refusal(alice.post("/prompt", data=body), 400, "INVALID_JSON")
    assert received(forwarded) == []


def test_alice_sends_too_many_nodes_and_is_refused(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    graph = {str(n): picture(1) for n in range(1001)}
    check_refusal(alice.post("/prompt", json={"prompt": graph}), 400, "BAD_REQUEST", field="prompt")
    assert received(forwarded) == []


def test_alice_nests_values_too_deeply_and_is_refused(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    value: Any = "x"
    for _ in range(500):
        value = [value]
    graph = {**save(), "9": {"class_type": "FakeCustomAny", "inputs": {"value": value}}}
    answer = alice.post("/prompt", json={"prompt": graph})
    check_refusal(answer, 400, "BAD_REQUEST", field="prompt.9")
    assert received(forwarded) == []


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999", "NaN"])
def test_alice_hides_a_number_that_is_none_and_everybodys_lists_still_work(
    number: str, alice: Client, bob: Client
) -> None:
    """ComfyUI turns such text into a number, for which its JSON has no standard form."""
    mine = run(bob, save())
    graph = {**save(), "3": {"class_type": "FakeSlow", "inputs": {}}}
    graph["3"]["inputs"] = {
        "image": ["1", 0],
        "seconds": number,
        "steps": 1,
        "preview": False,
        "salt": "s",
    }
    graph["2"]["inputs"]["images"] = ["3", 0]
    answer = alice.post("/prompt", json={"prompt": graph})
    try:
        assert bob.get("/queue").status_code == 200
        assert bob.get("/history").json()[mine["prompt"][1]] == mine
    finally:
        alice.post("/interrupt")
        if answer.status_code == 200:
            alice.post("/history", json={"delete": [answer.json()["prompt_id"]]})
