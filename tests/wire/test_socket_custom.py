"""/ws: custom nodes' own events: for the run they name, for everybody if the admin says so, else
for nobody."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Frame, Listener, data_of, kind
from tests.prompts import save, slow, submit, wait_running
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("clean_log", "calm")

ALLOW = """
from comfyproxy.models import BroadcastEvent
BroadcastEvent.objects.create(event_type=event)
result = None
"""
FORBID = "from comfyproxy.models import BroadcastEvent; BroadcastEvent.objects.all().delete()"


@pytest.fixture
def no_broadcasts(gateway: Gateway) -> Iterator[None]:
    yield
    gateway.run(FORBID + "; result = None")


def after_a_prompt(socket: Listener, client: Client) -> list[Frame]:
    """All frames up to the end of a prompt of the client's own."""
    socket.until_end(submit(client, save(), client_id=socket.sid))
    return socket.frames


def customs(frames: list[Frame], event: str) -> list[Any]:
    return [data_of(frame) for frame in frames if kind(frame) == event]


def test_event_about_a_node_reaches_the_owner_of_the_run_and_nobody_else(
    alice: Client, bob: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    with Listener(alice) as alices, Listener(bob) as bobs, Listener(admin) as admins:
        prompt_id = submit(alice, slow(30), client_id=alices.sid)
        wait_running(comfy, prompt_id)
        while not any(
            data_of(f).get("node") == "3" for f in alices.frames if kind(f) == "executing"
        ):
            alices.next()
        comfy.emit("feedback", {"node_id": "3", "value": "alices"})
        comfy.emit("feedback", {"id": 3, "value": "alices"})
        # Of this run as far as anybody can tell, but about none of its nodes.
        comfy.emit("feedback", {"node_id": "77", "value": "somebodys"})
        comfy.emit("feedback", {"message": "3 of somebody"})
        comfy.emit("feedback", {"node_id": "3", "prompt_id": "another", "value": "anothers"})
        alice.post("/interrupt")
        alices.until_end(prompt_id)
        # After its end the same node means another's run.
        comfy.emit("feedback", {"node_id": "3", "value": "late"})
        assert customs(after_a_prompt(alices, alice), "feedback") == [
            {"node_id": "3", "value": "alices"},
            {"id": 3, "value": "alices"},
        ]
        assert customs(after_a_prompt(bobs, bob), "feedback") == []
        assert customs(after_a_prompt(admins, admin), "feedback") == []


@pytest.mark.usefixtures("no_broadcasts")
def test_event_that_the_admin_lists_reaches_everybody(
    alice: Client, bob: Client, gateway: Gateway, comfy: FakeComfyThread
) -> None:
    with Listener(alice) as alices, Listener(bob) as bobs:
        comfy.emit("meter", {"load": 1})
        assert customs(after_a_prompt(alices, alice), "meter") == []
        gateway.run(ALLOW, event="meter")

        def heard(listener: Listener, client: Client) -> bool:
            comfy.emit("meter", {"load": 2})
            return {"load": 2} in customs(after_a_prompt(listener, client), "meter")

        # Each web process reads the list anew within 5 s.
        wait_until(lambda: heard(alices, alice), 10)
        wait_until(lambda: heard(bobs, bob), 10)
        # Never one that names somebody's prompt, whatever the list says.
        comfy.emit("meter", {"load": 3, "prompt_id": "another"})
        assert {"load": 3, "prompt_id": "another"} not in customs(
            after_a_prompt(alices, alice), "meter"
        )
