"""Two users' calls in any order: each sees what they would see alone.

Every example runs three times against one simulated ComfyUI: two fresh users in turn, and each of
them alone with the same calls. Whatever differs is something one learnt of the other.
"""

import copy
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.cast import PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Listener, kind
from tests.prompts import Graph, calm_down, load, picture, slow, wait_at_node

pytestmark = pytest.mark.usefixtures("clean_log", "disk")

CREATE: Final = """
from accounts import services
result = {}
for name in names:
    user = services.create_user(username=name, password=password, role="user", actor=None)
    result[name] = user.namespace
"""
_numbers = itertools.count()


class Actor:
    """One user, what they own, and what they have seen."""

    def __init__(self, client: Client, comfy: FakeComfyThread, first_color: int) -> None:
        self.client = client
        self.comfy = comfy
        self.prompts: list[str] = []
        self.first_color = first_color
        self.seen: list[Any] = []
        self.other: Actor | None = None

    def graph(self, made_by: str) -> Graph:
        # Equal for both but for the colour: what is equal ComfyUI's cache would answer, and
        # that is an accepted sign of others.
        nodes: Graph = {"1": picture(self.first_color + len(self.prompts))}
        inputs: dict[str, Any] = {"images": ["1", 0]}
        if made_by == "SaveImage":
            inputs["filename_prefix"] = "same/name"
        return {**nodes, "2": {"class_type": made_by, "inputs": inputs}}

    def send(self, graph: Graph) -> None:
        answer = self.client.post("/prompt", json={"prompt": graph, "client_id": "tab"})
        body = answer.json()
        self.prompts += [body.pop("prompt_id")] if answer.status_code == 200 else []
        self.seen.append((answer.status_code, body))

    def chosen(self, number: int) -> list[str]:
        """One of the own prompts, and all of the other's."""
        others = [] if self.other is None else self.other.prompts
        return [*others, *([self.prompts[number % len(self.prompts)]] if self.prompts else [])]

    def post(self, path: str, body: Any) -> None:
        answer = self.client.post(path, json=body)
        self.seen.append((path, answer.status_code, answer.text))

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        self.seen.append((path, answer.json()))
        return answer.json()

    def upload(self) -> None:
        data = io.BytesIO()
        Image.new("RGB", (8, 8), (len(self.seen), 0, 0)).save(data, "PNG")
        files = {"image": ("same.png", data.getvalue())}
        self.seen.append(self.client.post("/upload/image", files=files).json())

    def look(self) -> None:
        """Everything there is to see."""
        queue = self.get("/queue")
        self.get("/prompt")
        self.get("/api/history?max_items=3")
        history = self.get("/history")
        for folder in ("output", "input"):
            # Newest first; what ended within the same millisecond comes in any order.
            self.seen.append(sorted(self.client.get(f"/internal/files/{folder}").json()))
        for entry in history.values():
            for output in entry["outputs"].values():
                for file in output.get("images", ()):
                    answer = self.client.get("/view", params=file)
                    self.seen.append((answer.status_code, len(answer.content)))
        assert queue.keys() == {"queue_running", "queue_pending"}

    def busy(self) -> None:
        """A run that the other cannot end and that its owner ends."""
        self.comfy.wait_idle()
        before = len(self.prompts)
        self.send(slow(30) | {"1": picture(self.first_color + before)})
        if len(self.prompts) == before:
            return
        mine = self.prompts[-1]
        # At whichever node it ends is to be seen in its history.
        wait_at_node(self.comfy, mine, "3")
        other = self.other
        if other is not None:
            other.client.post("/interrupt", json={})
            other.client.post("/interrupt", json={"prompt_id": mine})
            other.client.post("/queue", json={"delete": [mine], "clear": True})
            other.client.post("/api/jobs/cancel", json={"job_ids": [mine]})
            other.client.post(f"/api/jobs/{mine}/cancel", json={})
        self.seen.append(("busy", self.client.get("/prompt").json()))
        self.client.post("/interrupt", json={"prompt_id": mine})
        self.comfy.wait_idle()


ACTIONS: Final[dict[str, Callable[[Actor, int], None]]] = {
    "save": lambda actor, number: actor.send(actor.graph("SaveImage")),
    "preview": lambda actor, number: actor.send(actor.graph("PreviewImage")),
    "load": lambda actor, number: actor.send(load("same.png")),
    "upload": lambda actor, number: actor.upload(),
    "delete": lambda actor, number: actor.post("/queue", {"delete": actor.chosen(number)}),
    "clear": lambda actor, number: actor.post("/queue", {"clear": True}),
    "forget": lambda actor, number: actor.post("/history", {"delete": actor.chosen(number)}),
    "forget all": lambda actor, number: actor.post("/history", {"clear": True}),
    "interrupt": lambda actor, number: actor.post("/interrupt", {}),
    "look": lambda actor, number: actor.look(),
}
# (whose turn, what, of which of their prompts); the last two are for both: the queue is worked
# off, or one of them runs a prompt to the end of the other's patience.
STEP = st.tuples(st.integers(0, 1), st.sampled_from([*ACTIONS, "run", "busy"]), st.integers(0, 3))
Steps = list[tuple[int, str, int]]


def play(steps: Steps, actors: list[Actor | None], comfy: FakeComfyThread) -> None:
    """Do the steps of those who are there."""
    comfy.pause()
    for someone, other in itertools.permutations(actors):
        if someone is not None:
            someone.other = other
    for whose, what, number in [*steps, (0, "run", 0)]:
        actor = actors[whose]
        if what in ("run", "busy"):
            comfy.resume()
            comfy.wait_idle()
            if what == "busy" and actor is not None:
                actor.busy()
            comfy.pause()
        elif actor is not None:
            ACTIONS[what](actor, number)
    for someone in actors:
        if someone is not None:
            someone.look()
    comfy.resume()


class Stage:
    """Makes users and lets them play."""

    def __init__(self, gateway: Gateway, comfy: FakeComfyThread) -> None:
        self.gateway = gateway
        self.comfy = comfy

    def newcomers(self, count: int) -> list[Client]:
        names = [f"player{next(_numbers)}" for _ in range(count)]
        found = self.gateway.run(CREATE, names=names, password=PASSWORD)
        clients = []
        for name in names:
            body = {"username": name, "password": PASSWORD}
            token = Client(self.gateway.url).post("/login", json=body).json()["jwt_token"]
            clients.append(Client(self.gateway.url, token, found[name]))
        return clients

    def views(self, steps: Steps, clients: list[Client | None]) -> list[str | None]:
        """What each who is there has seen, in words that are the same for any user."""
        calm_down(self.comfy)
        # What a user's pictures look like is theirs, whoever plays beside them.
        actors = [
            None if client is None else Actor(client, self.comfy, 0x10000 * (place + 1))
            for place, client in enumerate(clients)
        ]
        Client(self.comfy.url).post("/free", json={"free_memory": True})
        self.comfy.wait_idle()
        with ExitStack() as stack:
            sockets = [
                None if actor is None else stack.enter_context(Listener(actor.client, "tab"))
                for actor in actors
            ]
            play(steps, actors, self.comfy)
            heard = [[] if socket is None else socket.rest(0.2) for socket in sockets]
        return [
            None if actor is None else neutral(actor, frames)
            for actor, frames in zip(actors, heard, strict=True)
        ]


def neutral(actor: Actor, frames: list[Any]) -> str:
    """All that an actor saw and heard, without ids, times and names of this one life."""
    # How many looks at the queue a burst of changes takes is chance; the last count is not.
    counts = [frame["data"]["status"] for frame in frames if kind(frame) == "status"]
    events = [copy.deepcopy(frame) for frame in frames if kind(frame) != "status"]
    text = json.dumps([actor.seen, events, counts[-1:]])
    for place, prompt_id in enumerate(actor.prompts):
        text = text.replace(prompt_id, f"prompt-{place}")
    text = text.replace(actor.client.namespace, "u-own")
    text = re.sub(r"ComfyUI_temp_[a-z]{5}_\d{5}_", "ComfyUI_temp", text)
    return re.sub(r'"timestamp": \d+', '"timestamp": 0', text)


@pytest.fixture(scope="module")
def stage(gateway: Gateway, comfy: FakeComfyThread) -> Iterator[Stage]:
    yield Stage(gateway, comfy)
    calm_down(comfy)


@settings(
    max_examples=12,
    deadline=None,
    # Shrinking would take minutes; an example has a dozen steps at most.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEP, min_size=3, max_size=14))
def test_each_of_two_users_sees_what_they_would_see_alone(stage: Stage, steps: Steps) -> None:
    one, two, first_alone, second_alone = stage.newcomers(4)
    together = stage.views(steps, [one, two])
    alone = [
        stage.views(steps, [first_alone, None])[0],
        stage.views(steps, [None, second_alone])[1],
    ]
    assert together == alone
