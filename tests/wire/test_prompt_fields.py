"""What the gateway makes of a prompt's fields: client ids, queue jumping, secrets, unknown ones."""

import json
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import (
    calm_down,
    direct,
    ended,
    ids,
    received_one,
    run,
    save,
    slow,
    submit,
    wait_running,
)

pytestmark = pytest.mark.usefixtures("clean_log")

SECRETS = {
    "auth_token_comfy_org": "secret-auth-token",
    "api_key_comfy_org": "secret-api-key",
    "something_new": {"deep": ["secret-unknown"]},
}


def sent_client_id(comfy: FakeComfyThread, client: Client, **more: Any) -> str:
    """The client id under which ComfyUI got a prompt."""
    body = received_one(comfy, submit(client, save(), **more))
    assert body["extra_data"]["client_id"] == body["client_id"]
    assert isinstance(body["client_id"], str)
    assert body["client_id"]
    return body["client_id"]


def test_client_id_reaches_comfyui_as_another_one_per_user(
    alice: Client, bob: Client, forwarded: FakeComfyThread
) -> None:
    alices = sent_client_id(forwarded, alice, client_id="tab-1")
    bobs = sent_client_id(forwarded, bob, client_id="tab-1")
    other = sent_client_id(forwarded, alice, client_id="tab-2")
    assert len({alices, bobs, other, "tab-1", "tab-2"}) == 5
    assert sent_client_id(forwarded, alice, client_id="tab-1") == alices


def test_client_id_inside_extra_data_counts_and_is_mapped_too(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    outer = sent_client_id(forwarded, alice, client_id="tab-1")
    inner = {"client_id": "tab-1"}
    assert sent_client_id(forwarded, alice, extra_data=inner) == outer
    assert sent_client_id(forwarded, alice, client_id=None, extra_data=inner) == outer
    both = {"client_id": "tab-2"}
    assert sent_client_id(forwarded, alice, client_id="tab-1", extra_data=both) == outer


@pytest.mark.parametrize("more", [{}, {"client_id": ""}, {"client_id": None}], ids=repr)
def test_prompt_without_a_client_id_gets_one_that_nobody_can_name(
    more: dict[str, Any], alice: Client, bob: Client, forwarded: FakeComfyThread
) -> None:
    mapped = sent_client_id(forwarded, alice, **more)
    assert mapped != sent_client_id(forwarded, bob, **more)
    assert mapped != sent_client_id(forwarded, alice, client_id=mapped)


def test_alice_sends_the_mapped_id_and_does_not_get_to_bob(
    alice: Client, bob: Client, forwarded: FakeComfyThread
) -> None:
    bobs = sent_client_id(forwarded, bob, client_id="tab-1")
    assert sent_client_id(forwarded, alice, client_id=bobs) != bobs


@pytest.mark.usefixtures("calm")
def test_alice_cannot_jump_the_queue(
    alice: Client, bob: Client, forwarded: FakeComfyThread
) -> None:
    forwarded.pause()
    first = submit(bob, save())
    jumps: list[dict[str, Any]] = [{"front": True}, {"number": -5}, {"front": True, "number": -1e9}]
    later = [submit(alice, save(), **jump) for jump in jumps]
    assert ids(forwarded)[1] == [first, *later]
    for prompt_id in later:
        assert received_one(forwarded, prompt_id).keys() == {
            "prompt",
            "prompt_id",
            "client_id",
            "extra_data",
        }


@pytest.mark.usefixtures("calm")
def test_admin_jumps_the_queue(admin: Client, bob: Client, forwarded: FakeComfyThread) -> None:
    forwarded.pause()
    waiting = submit(bob, save())
    front = submit(admin, save(), front=True)
    foremost = submit(admin, save(), number=-1e6)
    assert ids(forwarded)[1] == [foremost, front, waiting]
    assert received_one(forwarded, front)["front"] is True
    assert received_one(forwarded, foremost)["number"] == -1e6


@pytest.mark.usefixtures("calm")
def test_secrets_reach_comfyui_and_never_come_back(
    alice: Client, bob: Client, admin: Client, forwarded: FakeComfyThread
) -> None:
    extra = {**SECRETS, "extra_pnginfo": {"workflow": {"nodes": [1]}}}
    graph = slow()
    prompt_id = submit(alice, graph, client_id="tab", extra_data=extra)
    sent = received_one(forwarded, prompt_id)["extra_data"]
    assert sent == {**extra, "client_id": sent["client_id"]}
    wait_running(forwarded, prompt_id)
    forwarded.pause()
    pending = submit(alice, save(), extra_data=extra)
    shown = {"client_id": "tab", "extra_pnginfo": {"workflow": {"nodes": [1]}}}
    for client in (alice, admin):
        queue = client.get("/queue").json()
        assert [item[3] for item in queue["queue_running"]] == [shown]
        assert [item[3] for item in queue["queue_pending"]] == [
            {"extra_pnginfo": {"workflow": {"nodes": [1]}}}
        ]
    calm_down(forwarded)
    entry = ended(alice, prompt_id)
    assert entry["prompt"][3] == shown
    paths = ("/queue", "/history", f"/history/{prompt_id}", f"/history/{pending}", "/prompt")
    answers = [client.get(path).text for client in (alice, bob, admin) for path in paths]
    assert "secret-" not in "".join(answers)
    assert admin.get(f"/history/{prompt_id}").json()[prompt_id]["prompt"][3] == shown


@pytest.mark.usefixtures("calm")
def test_admin_sees_a_prompt_that_came_past_the_gateway_without_its_secrets(
    alice: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    comfy.pause()
    prompt_id = direct(comfy, save(), client_id="direct", extra_data=dict(SECRETS))
    (item,) = admin.get("/queue").json()["queue_pending"]
    assert (item[1], item[3]) == (prompt_id, {})
    assert alice.get("/queue").json() == {"queue_running": [], "queue_pending": []}
    comfy.resume()
    comfy.wait_idle()
    assert admin.get(f"/history/{prompt_id}").json()[prompt_id]["prompt"][3] == {}
    assert alice.get(f"/history/{prompt_id}").json() == {}


def test_unknown_fields_go_no_further_but_those_of_nodes_do(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    graph = save()
    graph["1"]["_meta"] = {"title": "Red"}
    prompt_id = submit(alice, graph, new_thing=1, workflow_id="w", extra_data={"x": 1})
    body = received_one(forwarded, prompt_id)
    assert body.keys() == {"prompt", "prompt_id", "client_id", "extra_data"}
    assert body["prompt"]["1"]["_meta"] == {"title": "Red"}
    assert ended(alice, prompt_id)["prompt"][2]["1"]["_meta"] == {"title": "Red"}


def test_partial_execution_targets_are_kept(alice: Client, forwarded: FakeComfyThread) -> None:
    graph = {**save("a"), "8": save("b")["2"]}
    entry = run(alice, graph, partial_execution_targets=["8"])
    body = received_one(forwarded, entry["prompt"][1])
    assert body["partial_execution_targets"] == ["8"]
    assert (entry["prompt"][4], list(entry["outputs"])) == (["8"], ["8"])
    answer = alice.post("/prompt", json={"prompt": graph, "partial_execution_targets": []})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "prompt_no_outputs")


@pytest.mark.parametrize("path", ["/prompt", "/api/prompt"])
@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "", "?;"],
)
def test_prompt_is_taken_with_any_content_type_on_both_paths(
    path: str, content_type: str, alice: Client
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = alice.post(path, data=json.dumps({"prompt": save()}).encode(), headers=headers)
    assert answer.status_code == 200
    assert ended(alice, answer.json()["prompt_id"])["status"]["completed"] is True
