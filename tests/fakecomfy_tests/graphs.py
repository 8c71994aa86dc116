"""Prompts that the tests send, and waiting for them to end."""

from __future__ import annotations

import time
import uuid
from typing import Any

from .replay import Answer, send

Graph = dict[str, Any]


def save(colour: int = 0, prefix: str = "t/x", size: int = 16) -> Graph:
    inputs = {"width": size, "height": size, "batch_size": 1, "color": colour}
    return {
        "1": {"class_type": "EmptyImage", "inputs": inputs},
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": prefix},
        },
    }


def slow(
    seconds: float, steps: int = 10, preview: bool = False, prefix: str = "t/slow", colour: int = 7
) -> Graph:
    graph = save(colour, prefix)
    inputs: dict[str, Any] = {"image": ["1", 0], "seconds": seconds, "steps": steps}
    inputs.update(preview=preview, salt=uuid.uuid4().hex)
    graph["3"] = graph.pop("2")
    graph["2"] = {"class_type": "FakeSlow", "inputs": inputs}
    graph["3"]["inputs"]["images"] = ["2", 0]
    return graph


def fail(message: str = "boom") -> Graph:
    graph = save(0, "t/fail")
    graph["3"] = graph.pop("2")
    graph["2"] = {"class_type": "FakeFail", "inputs": {"image": ["1", 0], "message": message}}
    graph["3"]["inputs"]["images"] = ["2", 0]
    return graph


def wait_idle(url: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while send(url, "GET", "/prompt").json()["exec_info"]["queue_remaining"]:
        assert time.monotonic() < deadline, "the queue does not get empty"
        time.sleep(0.005)


def wait_running(url: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not send(url, "GET", "/queue").json()["queue_running"]:
        assert time.monotonic() < deadline, "nothing runs"
        time.sleep(0.005)


def post(url: str, prompt: Any, **more: Any) -> Answer:
    return send(url, "POST", "/prompt", json_body={"prompt": prompt, **more})


def run(url: str, prompt: Any, **more: Any) -> dict[str, Any]:
    """Runs a prompt to its end; its history entry."""
    answer = post(url, prompt, **more)
    assert answer.status == 200, answer.text
    wait_idle(url)
    prompt_id = answer.json()["prompt_id"]
    return send(url, "GET", f"/history/{prompt_id}").json()[prompt_id]
