"""ComfyUI is not there: every answer says so, no record of a prompt stays, and all recovers."""

import uuid

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Listener, Refused
from tests.prompts import run, save, submit
from tests.refusals import check_refusal

EXISTS = """
from comfyproxy.models import PromptRecord
result = PromptRecord.objects.filter(prompt_id=prompt_id).exists()
"""


@pytest.mark.parametrize("restarted", [False, True])
def test_prompt_leaves_no_record(
    restarted: bool, shaky: FakeComfyThread, shaky_gateway: Gateway, shaky_alice: Client
) -> None:
    # What ComfyUI offers is known, so that nothing but the prompt itself asks for it now.
    run(shaky_alice, save())
    shaky.stop_listening()
    prompt_id = str(uuid.uuid4())
    try:
        answer = shaky_alice.post("/prompt", json={"prompt": save(), "prompt_id": prompt_id})
        check_refusal(answer, 502, "UPSTREAM_UNREACHABLE")
        assert shaky_gateway.run(EXISTS, prompt_id=prompt_id) is False
    finally:
        shaky.come_back()
    # On connections that have died meanwhile as well.
    if restarted:
        shaky.restart()
    assert submit(shaky_alice, save(), prompt_id=prompt_id) == prompt_id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/queue"),
        ("GET", "/prompt"),
        ("GET", "/history"),
        ("GET", "/history?max_items=3"),
        ("POST", "/queue"),
        ("POST", "/history"),
        ("POST", "/interrupt"),
    ],
)
def test_every_route_says_so(
    method: str, path: str, down: FakeComfyThread, shaky_alice: Client
) -> None:
    answer = shaky_alice.request(method, path, json={"clear": True})
    check_refusal(answer, 502, "UPSTREAM_UNREACHABLE")


def test_socket_is_refused_before_the_upgrade(down: FakeComfyThread, shaky_alice: Client) -> None:
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            Listener(shaky_alice, "tab")
        assert caught.value.status == 502
        assert caught.value.body["code"] == "UPSTREAM_UNREACHABLE"
    down.come_back()
    with Listener(shaky_alice, "tab") as socket:
        socket.until_end(submit(shaky_alice, save(), client_id="tab"))
