"""While ComfyUI is away, the last known lists serve whoever reads; nothing runs by them."""

import time
from pathlib import Path

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.granted import giving
from tests.prompts import Graph, save, submit
from tests.refusals import check_refusal, faults, wait_until

FRESH = {"Cache-Control": "no-cache"}
ITEM = ("checkpoints", "sd15.safetensors")
PATHS = (
    "/models",
    "/models/checkpoints",
    "/models/unet",
    "/embeddings",
    "/object_info",
    "/experiment/models",
    "/experiment/models/checkpoints",
)


def loader() -> Graph:
    inputs = {"ckpt_name": ITEM[1]}
    return {**save(), "5": {"class_type": "CheckpointLoaderSimple", "inputs": inputs}}


@pytest.mark.parametrize("headers", [{}, FRESH], ids=["", "no-cache"])
def test_what_was_known_is_shown_to_each_as_before(
    headers: dict[str, str],
    shaky: FakeComfyThread,
    shaky_gateway: Gateway,
    shaky_alice: Client,
) -> None:
    greta = giving(shaky_gateway)(ITEM)
    submit(greta, loader())
    before = {path: greta.get(path).json() for path in PATHS}
    assert before["/models/checkpoints"] == [ITEM[1]]
    log = len(shaky_gateway.log())
    shaky.stop_listening()
    try:
        for _ in range(3):
            for path in PATHS:
                answer = greta.get(path, headers=headers)
                assert (answer.status_code, answer.json()) == (200, before[path])
            assert shaky_alice.get("/models/checkpoints", headers=headers).json() == []
            node = greta.get("/object_info/CheckpointLoaderSimple", headers=headers).json()
            assert node["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] == [ITEM[1]]
        # Who asks for the first time.
        late = giving(shaky_gateway)(("loras", "style*"))
        assert late.get("/models/loras", headers=headers).json() == ["style.safetensors"]
        path = "/view_metadata/checkpoints?filename=sd15.safetensors"
        check_refusal(greta.get(path, headers=headers), 502, "UPSTREAM_UNREACHABLE")
        # Nobody has asked for this one before.
        path = "/experiment/models/vae"
        check_refusal(greta.get(path, headers=headers), 502, "UPSTREAM_UNREACHABLE")
        answer = greta.post("/prompt", json={"prompt": loader()})
        check_refusal(answer, 502, "UPSTREAM_UNREACHABLE")
    finally:
        shaky.come_back()
    said = shaky_gateway.log()[log:].count("what is known is shown meanwhile")
    assert said <= len(shaky_gateway.processes)
    submit(greta, loader())
    assert greta.get("/models/checkpoints", headers=FRESH).json() == [ITEM[1]]


def test_a_gateway_asks_when_it_starts(shaky: FakeComfyThread, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data", shaky.url).prepare()
    greta = giving(gateway)(ITEM)
    shaky.clear_requests()
    gateway.start()
    processes = len(gateway.processes)

    def asked(end: str) -> int:
        return sum(r.path.endswith(end) for r in shaky.requests)

    try:
        # The last thing that is asked for; reading it takes a moment more.
        wait_until(lambda: asked("/audio_encoders") >= processes)
        time.sleep(0.5)
        shaky.stop_listening()
        assert greta.get("/models/checkpoints").json() == [ITEM[1]]
    finally:
        gateway.stop()
        if not shaky.listening:
            shaky.come_back()
    assert asked("/object_info") == processes


def test_a_gateway_starts_before_comfyui_does(shaky: FakeComfyThread, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data", shaky.url).prepare()
    greta = giving(gateway)(ITEM)
    shaky.stop_listening()
    try:
        gateway.start()
        check_refusal(greta.get("/models/checkpoints"), 502, "UPSTREAM_UNREACHABLE")
        shaky.come_back()
        assert greta.get("/models/checkpoints").json() == [ITEM[1]]
    finally:
        gateway.stop()
        if not shaky.listening:
            shaky.come_back()
    assert faults(gateway.log(), []) == []
