"""Bodies of `POST /prompt` that kill ComfyUI: none gets through, and its worker lives.

The cases are recordings of ComfyUI 0.3.64; that they are fatal to the simulated one as well
is for tests/fakecomfy_tests/test_crashes.py to show.
"""

import json
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import Graph, calm_down, picture, received, run, save
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

CASES = json.loads(
    (Path(__file__).parents[1] / "fakecomfy_tests/fixtures/crashes.json").read_text()
)
ANSWERS: dict[str, tuple[list[int], str | None]] = {
    "extra_data is a number": ([400], "extra_data"),
    "extra_data is a text holding auth_token_comfy_org": ([400], "extra_data"),
    "extra_data is null, no client_id": ([400], "extra_data"),
    "extra_pnginfo is a text": ([400], "extra_data.extra_pnginfo"),
    "client_id is a list": ([400], "client_id"),
    "client_id is a number": ([400], "client_id"),
    "client_id null": ([200], None),
    "same number AND same prompt_id twice while pending": ([200, 400, 400], "prompt_id"),
    "three times the same number and prompt_id while pending": ([200, *[400] * 3], "prompt_id"),
    "number 'nan' among pending": ([200, 400, 400], "number"),
    "a node that nothing uses, without inputs": ([400], "prompt.9.inputs"),
    "a node that nothing uses, inputs a list": ([400], "prompt.9.inputs"),
    "a node that nothing uses, linked to a node that is not there": ([200], None),
    "two nodes that nothing uses, linked in a circle": ([200], None),
    "a circle that an output uses": ([400], None),
    "class_type is a list": ([400], "prompt.9.class_type"),
}


def test_every_recorded_case_has_its_expected_answer() -> None:
    assert [case["name"] for case in CASES] == list(ANSWERS)


def is_safe(body: dict[str, Any]) -> bool:
    return (
        isinstance(body["client_id"], str)
        and body["extra_data"]["client_id"] == body["client_id"]
        and str(uuid.UUID(body["prompt_id"])) == body["prompt_id"]
        and "number" not in body
        and all(
            isinstance(node["class_type"], str) and isinstance(node["inputs"], dict)
            for node in body["prompt"].values()
        )
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_alice_sends_what_kills_comfyui_and_it_lives(
    case: dict[str, Any], alice: Client, forwarded: FakeComfyThread
) -> None:
    statuses, field = ANSWERS[case["name"]]
    answers = [alice.post("/prompt", json=body) for body in case["requests"]]
    assert [answer.status_code for answer in answers] == statuses
    for answer in answers:
        if answer.status_code != 200 and field is not None:
            check_refusal(answer, 400, "BAD_REQUEST", field=field)
    assert all(map(is_safe, received(forwarded)))
    # Some cases begin with a prompt that takes long, so that the others have to wait.
    calm_down(forwarded)
    assert run(alice, save())["status"]["status_str"] == "success"
    assert forwarded.worker_alive


def chain(length: int, *, used: bool) -> Graph:
    graph = save()
    nodes = [str(100 + index) for index in range(length)]
    graph[nodes[0]] = picture()
    for before, node_id in pairwise(nodes):
        graph[node_id] = {"class_type": "ImageInvert", "inputs": {"image": [before, 0]}}
    if used:
        graph["2"]["inputs"]["images"] = [nodes[-1], 0]
    return graph


@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
@pytest.mark.parametrize("length", [260, 900, 1500])
def test_alice_sends_a_long_chain_and_it_stops_at_the_gateway(
    length: int, used: bool, alice: Client, forwarded: FakeComfyThread
) -> None:
    answer = alice.post("/prompt", json={"prompt": chain(length, used=used)})
    check_refusal(answer, 400, "BAD_REQUEST", field="prompt")
    assert received(forwarded) == []
    assert run(alice, save())["status"]["status_str"] == "success"


def test_alice_hides_a_chain_in_wrapped_links_and_it_stops_too(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    graph = chain(900, used=True)
    for node in graph.values():
        node["inputs"] = {
            name: {"__value__": value} if isinstance(value, list) else value
            for name, value in node["inputs"].items()
        }
    answer = alice.post("/prompt", json={"prompt": graph})
    check_refusal(answer, 400, "BAD_REQUEST", field="prompt")
    assert received(forwarded) == []


def test_alice_sends_the_longest_chain_allowed_and_it_runs(alice: Client) -> None:
    graph = chain(249, used=True)
    assert run(alice, graph)["status"]["status_str"] == "success"


@pytest.mark.parametrize("field", ["client_id", "extra_data.client_id"])
@pytest.mark.parametrize("value", [[], {}, ["a"], {"a": 1}, 7, True, 1.5], ids=str)
def test_alice_sends_a_client_id_that_is_no_text_and_it_is_refused(
    field: str, value: Any, alice: Client, forwarded: FakeComfyThread
) -> None:
    inner = {"extra_data": {"client_id": value}}
    more = {"client_id": value} if field == "client_id" else inner
    answer = alice.post("/prompt", json={"prompt": save(), **more})
    check_refusal(answer, 400, "BAD_REQUEST", field=field)
    # With a proper one beside it as well: ComfyUI would take either.
    answer = alice.post("/prompt", json={"prompt": save(), "client_id": "fine", **inner})
    check_refusal(answer, 400, "BAD_REQUEST", field="extra_data.client_id")
    assert received(forwarded) == []
    assert forwarded.listening


def test_alice_sends_thirty_megabytes_and_nothing_is_forwarded(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    answer = alice.post("/prompt", json={"prompt": save(), "pad": "x" * 30_000_000})
    check_refusal(answer, 413, "TOO_LARGE")
    assert received(forwarded) == []
    assert run(alice, save())["status"]["status_str"] == "success"
