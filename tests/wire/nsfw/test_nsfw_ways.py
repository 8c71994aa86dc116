"""The other ways to pictures: previews of models, saved files, custom nodes' routes, the socket."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.client import Client
from tests.comfydisk import ComfyDisk
from tests.fakecomfy import safetensors
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.judge import BLUE, RED, Judge
from tests.listener import Listener
from tests.prompts import load, picture, run, submit
from tests.refusals import check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("calm")

SEE_ALL = """
from django.contrib.auth.models import Permission
from accounts.models import User
user = User.objects.get(username=username)
for name in ("can_view_all_comfyui_items", "can_access_extensions"):
    user.user_permissions.add(Permission.objects.get(codename=name))
"""


def png(color: tuple[int, int, int]) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def covers(strict: Gateway, comfy: FakeComfyThread) -> Iterator[None]:
    """Two models with a picture beside each, and one with a picture in its metadata."""
    strict.run(SEE_ALL, username="alice")
    folder = Path(comfy.base_dir) / "models/vae"
    made = [
        (folder / "red.safetensors", b""),
        (folder / "red.png", png((224, 16, 16))),
        (folder / "green.safetensors", b""),
        (folder / "green.png", png((16, 224, 16))),
    ]
    for path, content in made:
        path.write_bytes(content)
    thumbnail = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg" + "A" * 60
    facts = {"ssmd_cover_images": "[]", "modelspec.thumbnail": thumbnail, "ss_name": "kept"}
    described = folder / "described.safetensors"
    safetensors.write(described, facts)
    yield
    for path, _ in made:
        path.unlink()
    described.unlink()


@pytest.mark.usefixtures("covers")
def test_previews_and_metadata_of_models_hold_no_explicit_picture(
    alice: Client, bob: Client, strict: Gateway
) -> None:
    strict.run(SEE_ALL, username="bob")
    for client in (alice, bob):
        client.post("/prompt", json={"prompt": {"1": {"class_type": "NoSuch", "inputs": {}}}})
        wait_until(lambda: "red.safetensors" in client.get("/models/vae").json(), 10)  # noqa: B023
    red, green = (f"/experiment/models/preview/vae/0/{name}.webp" for name in ("red", "green"))
    check_refusal(alice.get(red), 403, "NSFW_BLOCKED", reason="explicit")
    assert alice.get(green).status_code == bob.get(red).status_code == 200
    about = "/view_metadata/vae?filename=described.safetensors"
    assert alice.get(about).json() == {"ss_name": "kept"}
    assert "modelspec.thumbnail" in bob.get(about).json()


def test_picture_among_saved_files_is_judged(alice: Client) -> None:
    for name, color, status in (("red", (224, 16, 16), 403), ("green", (16, 224, 16), 200)):
        assert alice.post(f"/userdata/{name}.png", data=png(color)).status_code == 200
        answer = alice.get(f"/userdata/{name}.png")
        assert answer.status_code == status
    assert alice.post("/userdata/w.json", data=b"{}").status_code == 200
    assert alice.get("/userdata/w.json").status_code == 200


RULE = """
from comfyproxy.models import RouteRule
RouteRule.objects.get_or_create(
    pattern="/fakepack/{rest*}", defaults={"methods": "GET", "capability": "can_run"}
)
"""


PICTURES = ["image/png", "IMAGE/PNG", "image/svg+xml", "video/mp4", "application/octet-stream"]


# What only some servers call a file, and an archive of many, may be pictures as well.
@pytest.mark.parametrize("kind", [*PICTURES, "binary/octet-stream", "application/zip"])
def test_custom_nodes_route_gives_no_pictures_to_who_is_kept_from_explicit_ones(
    strict: Gateway, alice: Client, bob: Client, kind: str
) -> None:
    strict.run(RULE)
    path = f"/fakepack/picture?type={kind}"
    wait_until(lambda: bob.get(path).status_code == 200, 10)
    for prefix in ("", "/api"):
        check_refusal(alice.get(prefix + path), 403, "NSFW_BLOCKED", reason="unknown")
        assert alice.get(f"{prefix}/fakepack/info").json()["pack"] == "fake_pack"


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "audio/x", "font/x"])
def test_picture_that_a_route_calls_a_text_stays_one_to_the_browser(
    strict: Gateway, alice: Client, bob: Client, kind: str
) -> None:
    strict.run(RULE)
    path = f"/fakepack/picture?type={kind}"
    wait_until(lambda: bob.get(path).status_code == 200, 10)
    answer = alice.get(path)
    assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert answer.headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize("status", [404, 418, 500])
def test_refusal_of_a_route_stays_one_without_its_picture(
    strict: Gateway, alice: Client, bob: Client, status: int
) -> None:
    strict.run(RULE)
    path = f"/fakepack/picture?status={status}"
    wait_until(lambda: bob.get(path).status_code == status, 10)
    assert bob.get(path).content.endswith(b"picture")
    answer = alice.get(path)
    assert (answer.status_code, answer.content) == (status, b"")


def test_file_that_is_not_there_is_not_taken_for_a_picture(alice: Client, bob: Client) -> None:
    """aiohttp answers so under a content type that may be anything."""
    for client in (alice, bob):
        assert client.get("/api/global_subgraphs").status_code == 404


def sent_pictures(client: Client, color: int) -> list[bytes]:
    """The finished pictures that a socket hears of a prompt."""
    graph = {
        "1": picture(color),
        "2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}},
    }
    with Listener(client) as listener:
        prompt_id = submit(client, graph, client_id=listener.sid)
        listener.until_end(prompt_id)
        return [frame for frame in listener.frames if isinstance(frame, bytes)]


def test_picture_that_only_the_socket_has_is_sent_once_it_was_judged(
    alice: Client, bob: Client
) -> None:
    assert sent_pictures(alice, RED + 2) == []
    assert len(sent_pictures(alice, BLUE + 2)) == 1
    assert len(sent_pictures(bob, RED + 3)) == 1


def test_socket_goes_on_while_the_classifier_does_not_answer(alice: Client, judge: Judge) -> None:
    judge.held.clear()
    try:
        assert sent_pictures(alice, BLUE + 4) == []
    finally:
        judge.held.set()


def test_blocked_picture_may_be_worked_with_and_what_comes_of_it_is_judged_itself(
    alice: Client, disk: ComfyDisk
) -> None:
    answer = alice.post("/upload/image", files={"image": ("in.png", png((225, 15, 15)))}).json()
    name = f"{answer['subfolder']}/{answer['name']}"
    entry = run(alice, load(name))
    (file,) = entry["outputs"]["2"]["images"]
    check_refusal(alice.get("/view", params=file), 403, "NSFW_BLOCKED", reason="explicit")
    assert json.dumps(entry)
