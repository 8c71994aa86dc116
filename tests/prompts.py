"""Prompts that the wire tests send, what becomes of them, and what of them reached ComfyUI."""

import itertools
import json
import random
from typing import Any

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.refusals import wait_until

Graph = dict[str, dict[str, Any]]

# No two graphs are equal unless a test wants them so: ComfyUI would answer from its cache.
_colors = itertools.count(random.randrange(0x800000))


def picture(color: int | None = None, size: int = 16) -> dict[str, Any]:
    inputs = {"width": size, "height": size, "batch_size": 1, "color": color or next(_colors)}
    return {"class_type": "EmptyImage", "inputs": inputs}


def save(prefix: Any = "test", color: int | None = None) -> Graph:
    """One picture, saved by node 2."""
    return {
        "1": picture(color),
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": prefix},
        },
    }


def preview(color: int | None = None) -> Graph:
    """One picture, shown by node 2 as a file for a while."""
    return {
        "1": picture(color),
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }


def slow(seconds: float = 30, steps: int = 1, preview: bool = False) -> Graph:
    """As `save`, with a node 3 that takes its time; interrupted at once if asked."""
    graph = save("slow")
    inputs = {"image": ["1", 0], "seconds": seconds, "steps": steps}
    graph["3"] = {"class_type": "FakeSlow", "inputs": {**inputs, "preview": preview, "salt": "s"}}
    graph["2"]["inputs"]["images"] = ["3", 0]
    return graph


def text(words: Any) -> Graph:
    """An output node that takes any text."""
    return {"1": {"class_type": "FakeText", "inputs": {"text": words}}}


def load(name: Any) -> Graph:
    """LoadImage (node 1) of that name, saved by node 2."""
    graph = save("loaded")
    graph["1"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    return graph


def submit(client: Client, graph: Graph, **more: Any) -> str:
    """Send a prompt that is accepted; its id."""
    answer = client.post("/prompt", json={"prompt": graph, **more})
    assert answer.status_code == 200, answer.text
    assert answer.json()["node_errors"] == {}
    return str(answer.json()["prompt_id"])


def run(client: Client, graph: Graph, **more: Any) -> dict[str, Any]:
    """Send a prompt and wait for its end; its history entry."""
    return ended(client, submit(client, graph, **more))


def ended(client: Client, prompt_id: str) -> dict[str, Any]:
    """The history entry of a prompt, once there is one."""
    entry: dict[str, Any] = {}

    def found() -> bool:
        entry.update(client.get(f"/history/{prompt_id}").json())
        return bool(entry)

    wait_until(found, 15)
    assert list(entry) == [prompt_id]
    return dict(entry[prompt_id])


def file_of(entry: dict[str, Any], node: str = "2") -> dict[str, Any]:
    """The one file that a node reported in a history entry."""
    (found,) = entry["outputs"][node]["images"]
    return dict(found)


def wait_running(comfy: FakeComfyThread, prompt_id: str) -> None:
    """Until that prompt runs and can be interrupted: what comes before it begins is forgotten,
    as in ComfyUI."""

    def has_begun() -> bool:
        begun = comfy.server.running_core.executor.messages[:1]
        return prompt_id in ids(comfy)[0] and [data["prompt_id"] for _, data in begun] == [
            prompt_id
        ]

    wait_until(has_begun, 10)


def wait_at_node(comfy: FakeComfyThread, prompt_id: str, node_id: str) -> None:
    """Until that prompt, which has a client, is at that node."""
    wait_running(comfy, prompt_id)
    wait_until(lambda: comfy.server.running_core.executor.last_node_id == node_id, 10)


def ids(comfy: FakeComfyThread) -> tuple[list[str], list[str]]:
    """The ids that really run and really wait in ComfyUI, whoever's they are."""
    running, pending = comfy.server.running_core.queue.snapshot()
    return [item[1] for item in running], [item[1] for item in sorted(pending, key=_number)]


def _number(item: Any) -> float:
    return float(item[0])


def received(comfy: FakeComfyThread, prompt_id: str | None = None) -> list[dict[str, Any]]:
    """The bodies of `POST /prompt` that reached ComfyUI, of one prompt or of all."""
    bodies = [
        json.loads(record.body)
        for record in comfy.requests
        if record.kind == "http" and record.method == "POST" and record.path.endswith("/prompt")
    ]
    return [body for body in bodies if prompt_id in (None, body.get("prompt_id"))]


def received_one(comfy: FakeComfyThread, prompt_id: str) -> dict[str, Any]:
    (body,) = received(comfy, prompt_id)
    return body


def direct(comfy: FakeComfyThread, graph: Graph, **more: Any) -> str:
    """A prompt that ComfyUI gets without the gateway: nobody's."""
    return submit(Client(comfy.url), graph, **more)


def calm_down(comfy: FakeComfyThread) -> None:
    """End whatever runs or waits, whoever's it is."""
    core = comfy.server.running_core
    core.queue.wipe()
    comfy.resume()
    core.executor.interrupt.set()
    comfy.wait_idle()
