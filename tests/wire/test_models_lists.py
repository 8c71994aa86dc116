"""`/models`, `/models/{folder}`, `/embeddings`: names of models that the caller may use."""

from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.refusals import asked, check_refusal

pytestmark = pytest.mark.usefixtures("clean_log", "known")


def of_comfyui(comfy: FakeComfyThread, path: str) -> Any:
    """ComfyUI's own answer, which must not be empty: there has to be something to hide."""
    answer = Client(comfy.url).get(path).json()
    assert answer
    return answer


def folders(comfy: FakeComfyThread) -> list[str]:
    return list(of_comfyui(comfy, "/models"))


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_alice_sees_folders_and_nothing_in_them(
    prefix: str, alice: Client, guest: Client, comfy: FakeComfyThread
) -> None:
    for client in (alice, guest):
        shown = client.get(f"{prefix}/models").json()
        assert shown == [name for name in folders(comfy) if name != "custom_nodes"]
        for folder in shown:
            if folder != "configs":
                assert client.get(f"{prefix}/models/{folder}").json() == [], folder
        assert client.get(f"{prefix}/embeddings").json() == []
    assert of_comfyui(comfy, "/models/checkpoints")
    assert of_comfyui(comfy, "/embeddings")


def test_alice_does_not_see_which_custom_nodes_there_are(
    alice: Client, power: Client, comfy: FakeComfyThread
) -> None:
    check_refusal(alice.get("/models/custom_nodes"), 404, "NOT_FOUND")
    listed = Client(comfy.url).get("/models/custom_nodes")
    assert power.get("/models/custom_nodes").json() == listed.json()


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_power_user_and_admin_see_all(
    prefix: str, power: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    for client in (power, admin):
        assert client.get(f"{prefix}/models").json() == folders(comfy)
        for folder in ("checkpoints", "loras", "vae", "embeddings", "diffusion_models"):
            path = f"/models/{folder}"
            assert client.get(prefix + path).json() == of_comfyui(comfy, path)
        assert client.get(f"{prefix}/embeddings").json() == of_comfyui(comfy, "/embeddings")


@pytest.mark.parametrize(
    "folder", ["nosuch", "%20", "CHECKPOINTS", "%C3%A9", "a.b", "checkpoints;x"]
)
def test_unknown_folder_is_not_found_for_anyone(folder: str, alice: Client, power: Client) -> None:
    for client in (alice, power):
        check_refusal(client.get(f"/models/{folder}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/models", "/models/checkpoints", "/embeddings", "/object_info"])
def test_nobody_unknown_sees_anything_and_nobody_changes_it(
    path: str, anonymous: Client, power: Client, forwarded: FakeComfyThread
) -> None:
    check_refusal(anonymous.get(path), 401, "AUTH_REQUIRED")
    answer = power.post(path, json={})
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert asked(forwarded) == []
