"""Whose a prompt is, is written down before ComfyUI is asked; a prompt it did not take leaves
no record. Ids that clients choose."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import ROOT, Gateway
from tests.prompts import Graph, direct, ended, picture, received, received_one, run, save, submit
from tests.refusals import check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("clean_log")

RECORD = """
from comfyproxy.models import PromptRecord
row = PromptRecord.objects.filter(prompt_id=prompt_id).select_related("user").first()
result = None if row is None else [row.user.username, row.client_id, row.state]
"""
COUNT = "from comfyproxy.models import PromptRecord; result = PromptRecord.objects.count()"

Record = Callable[[str], list[Any] | None]


@pytest.fixture
def record(gateway: Gateway) -> Record:
    return lambda prompt_id: gateway.run(RECORD, prompt_id=prompt_id)


def fresh() -> str:
    return str(uuid.uuid4())


def test_alice_sends_a_prompt_and_it_is_recorded_as_hers(alice: Client, record: Record) -> None:
    entry = run(alice, save(), client_id="tab")
    assert record(entry["prompt"][1]) == ["alice", "tab", "success"]


def test_record_is_there_before_comfyui_answers(
    alice: Client, forwarded: FakeComfyThread, record: Record
) -> None:
    run(alice, save())
    prompt_id = fresh()
    # The next request that ComfyUI gets is never answered: no other is needed for this prompt.
    forwarded.hang()
    body = {"prompt": save(), "prompt_id": prompt_id}

    def send() -> None:
        with pytest.raises(requests.Timeout):
            alice.post("/prompt", json=body, timeout=1)

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: received(forwarded, prompt_id), 5)
    assert record(prompt_id) == ["alice", None, "submitting"]
    sender.join()
    # Whether ComfyUI took it, nobody knows: the record stays.
    assert record(prompt_id) == ["alice", None, "submitting"]


def invalid() -> Graph:
    graph = save()
    graph["1"]["inputs"]["width"] = 0
    return graph


def unknown_node() -> Graph:
    return {**save(), "9": {"class_type": "NoSuchNode", "inputs": {}}}


def no_output() -> Graph:
    return {"1": picture()}


@pytest.mark.parametrize("make", [invalid, unknown_node, no_output])
def test_alice_sends_what_comfyui_refuses_and_no_record_stays(
    make: Callable[[], Graph],
    alice: Client,
    comfy: FakeComfyThread,
    gateway: Gateway,
    record: Record,
) -> None:
    graph, prompt_id, before = make(), fresh(), gateway.run(COUNT)
    answer = alice.post("/prompt", json={"prompt": graph, "prompt_id": prompt_id})
    upstream = requests.post(f"{comfy.url}/prompt", json={"prompt": graph}, timeout=5)
    assert (answer.status_code, answer.json()) == (400, upstream.json())
    assert record(prompt_id) is None
    assert gateway.run(COUNT) == before
    # And so the id is still to be had.
    assert submit(alice, save(), prompt_id=prompt_id) == prompt_id


def test_alice_is_told_of_the_outputs_that_do_not_run(alice: Client, record: Record) -> None:
    graph = save()
    graph["8"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 7], "filename_prefix": "b"}}
    answer = alice.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 200
    assert answer.json()["node_errors"].keys() == {"8"}
    entry = ended(alice, answer.json()["prompt_id"])
    assert entry["outputs"].keys() == {"2"}
    assert record(answer.json()["prompt_id"]) == ["alice", None, "success"]


def test_alice_is_told_what_went_wrong_and_not_where_comfyui_lives(
    alice: Client, comfy: FakeComfyThread
) -> None:
    graph = save()
    # A slot that the node does not have: an exception, whose traceback ComfyUI sends along.
    graph["2"]["inputs"]["images"] = ["1", 7]
    full = requests.post(f"{comfy.url}/prompt", json={"prompt": graph}, timeout=10)
    answer = alice.post("/prompt", json={"prompt": graph})
    assert (answer.status_code, full.status_code) == (400, 400)
    assert answer.json()["error"] == full.json()["error"]
    assert answer.json()["node_errors"].keys() == full.json()["node_errors"].keys()
    assert str(ROOT) in full.text
    assert str(ROOT) not in answer.text
    assert "validation.py" in answer.text


def test_alice_sends_many_at_once_and_each_has_its_number(alice: Client) -> None:
    def send(_: int) -> int:
        client = Client(alice.base_url, alice.token)
        return int(client.post("/prompt", json={"prompt": save()}).json()["number"])

    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(send, range(24)))
    assert numbers == list(range(numbers[0], numbers[0] + 24))


def test_two_users_choose_one_id_at_once_and_one_of_them_has_it(
    alice: Client, bob: Client, forwarded: FakeComfyThread
) -> None:
    prompt_id = fresh()

    def send(client: Client) -> int:
        own = Client(client.base_url, client.token)
        return own.post("/prompt", json={"prompt": save(), "prompt_id": prompt_id}).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(send, [alice, bob] * 3))
    assert statuses == [200, *[409] * 5]
    assert len(received(forwarded, prompt_id)) == 1


def test_alice_chooses_an_id_and_it_is_kept(alice: Client, forwarded: FakeComfyThread) -> None:
    prompt_id = fresh()
    assert submit(alice, save(), prompt_id=prompt_id) == prompt_id
    assert received_one(forwarded, prompt_id)["prompt_id"] == prompt_id
    assert ended(alice, prompt_id)["prompt"][1] == prompt_id


@pytest.mark.parametrize(
    "spelling", [str.upper, lambda text: text.replace("-", ""), "{{{}}}".format]
)
def test_alice_spells_an_id_in_another_way_and_gets_the_usual_one(
    spelling: Callable[[str], str], alice: Client, bob: Client
) -> None:
    prompt_id = fresh()
    assert submit(alice, save(), prompt_id=spelling(prompt_id)) == prompt_id
    # Nor is another spelling of it another id.
    for sent in (prompt_id, spelling(prompt_id)):
        answer = bob.post("/prompt", json={"prompt": save(), "prompt_id": sent})
        check_refusal(answer, 409, "PROMPT_ID_TAKEN", field="prompt_id")


def test_nobody_can_use_an_id_again(
    alice: Client, bob: Client, admin: Client, forwarded: FakeComfyThread, record: Record
) -> None:
    prompt_id = submit(alice, save())
    before = ended(alice, prompt_id)
    for client in (bob, alice, admin):
        answer = client.post("/prompt", json={"prompt": save(), "prompt_id": prompt_id})
        check_refusal(answer, 409, "PROMPT_ID_TAKEN", field="prompt_id")
    assert record(prompt_id) == ["alice", None, "success"]
    assert len(received(forwarded, prompt_id)) == 1
    assert alice.get(f"/history/{prompt_id}").json() == {prompt_id: before}
    assert bob.get(f"/history/{prompt_id}").json() == {}


def test_alice_removes_a_prompt_and_its_id_stays_taken(alice: Client, bob: Client) -> None:
    prompt_id = submit(alice, save())
    ended(alice, prompt_id)
    alice.post("/history", json={"delete": [prompt_id]})
    assert alice.get(f"/history/{prompt_id}").json() == {}
    answer = bob.post("/prompt", json={"prompt": save(), "prompt_id": prompt_id})
    check_refusal(answer, 409, "PROMPT_ID_TAKEN", field="prompt_id")


@pytest.mark.parametrize("value", ["mine", "", "1" * 200, 7, True, [], {}, ["a"], "\0"], ids=repr)
def test_alice_chooses_what_is_no_uuid_and_it_is_refused(
    value: Any, alice: Client, forwarded: FakeComfyThread
) -> None:
    answer = alice.post("/prompt", json={"prompt": save(), "prompt_id": value})
    check_refusal(answer, 400, "BAD_REQUEST", field="prompt_id")
    assert received(forwarded) == []


def test_prompt_without_an_id_gets_one(alice: Client, forwarded: FakeComfyThread) -> None:
    for more in ({}, {"prompt_id": None}):
        prompt_id = submit(alice, save(), **more)
        assert str(uuid.UUID(prompt_id)) == prompt_id
        assert received_one(forwarded, prompt_id)["prompt_id"] == prompt_id


def test_alice_counts_her_own_prompts(alice: Client, bob: Client, comfy: FakeComfyThread) -> None:
    def number(client: Client) -> int:
        return int(client.post("/prompt", json={"prompt": save()}).json()["number"])

    first, bobs = number(alice), number(bob)
    direct(comfy, save())
    assert [number(alice), number(bob), number(alice)] == [first + 1, bobs + 1, first + 2]
