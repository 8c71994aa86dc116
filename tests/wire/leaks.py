"""Checks that one user's doings stay hidden from another's, each a function of their clients.

Both have the same file names, prefixes, client ids and graphs. `tests/wire/test_leaks.py` runs each
through the gateway, in both spellings, and past it, where each must fail.
"""

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.listener import Listener, kind, picture, prompts_of, status
from tests.prompts import Graph, ids, load, run, save, slow, submit, wait_running
from tests.prompts import picture as empty_image

SECRETS = {"auth_token_comfy_org": "s3cret-1", "api_key_comfy_org": "s3cret-2", "mine": "s3cret-3"}


@dataclass(frozen=True)
class Scene:
    """Bob owns something, Alice looks for it; `comfy` is what both are in front of. `api` stands
    before ComfyUI's paths: nothing, or /api."""

    alice: Client
    bob: Client
    comfy: FakeComfyThread
    api: str = ""

    def waiting(self) -> str:
        """A prompt of Bob's that waits."""
        self.comfy.pause()
        return submit(self.bob, save(), client_id="tab", extra_data=SECRETS)

    def running(self) -> str:
        """A prompt of Bob's that runs."""
        prompt_id = submit(self.bob, slow(30), client_id="tab")
        wait_running(self.comfy, prompt_id)
        return prompt_id


Check = Callable[[Scene], None]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def no_trace(client: Client, path: str, *words: str, **params: Any) -> None:
    text = client.get(path, params=params).text
    assert not [word for word in words if word in text], path


@check
def queue_shows_none_of_anothers(scene: Scene) -> None:
    prompt_id = scene.waiting()
    no_trace(scene.alice, f"{scene.api}/queue", prompt_id, "SaveImage", "s3cret")
    assert scene.alice.get(f"{scene.api}/prompt").json()["exec_info"]["queue_remaining"] == 0


@check
def queue_gives_nobody_their_secrets_back(scene: Scene) -> None:
    prompt_id = scene.waiting()
    answer = scene.bob.get(f"{scene.api}/queue").text
    assert prompt_id in answer
    assert "s3cret" not in answer


@check
def waiting_prompt_cannot_be_deleted(scene: Scene) -> None:
    prompt_id = scene.waiting()
    scene.alice.post(f"{scene.api}/queue", json={"delete": [prompt_id]})
    assert prompt_id in scene.bob.get(f"{scene.api}/queue").text


@check
def clearing_the_queue_leaves_anothers(scene: Scene) -> None:
    prompt_id = scene.waiting()
    scene.alice.post(f"{scene.api}/queue", json={"clear": True})
    assert prompt_id in scene.bob.get(f"{scene.api}/queue").text


@check
def running_prompt_cannot_be_interrupted(scene: Scene) -> None:
    prompt_id = scene.running()
    for body in (None, {}, {"prompt_id": prompt_id}):
        scene.alice.post(f"{scene.api}/interrupt", json=body)
    time.sleep(0.3)
    assert ids(scene.comfy)[0] == [prompt_id]


@check
def history_shows_none_of_anothers(scene: Scene) -> None:
    entry = run(scene.bob, save(), extra_data=SECRETS)
    prompt_id = entry["prompt"][1]
    no_trace(scene.alice, f"{scene.api}/history", prompt_id)
    no_trace(scene.alice, f"{scene.api}/history", prompt_id, max_items=1)
    no_trace(scene.alice, f"{scene.api}/history/{prompt_id}", prompt_id)


@check
def history_gives_nobody_their_secrets_back(scene: Scene) -> None:
    assert "s3cret" not in json.dumps(run(scene.bob, save(), extra_data=SECRETS))


@check
def history_cannot_be_deleted(scene: Scene) -> None:
    prompt_id = run(scene.bob, save())["prompt"][1]
    scene.alice.post(f"{scene.api}/history", json={"delete": [prompt_id]})
    scene.alice.post(f"{scene.api}/history", json={"clear": True})
    assert prompt_id in scene.bob.get(f"{scene.api}/history/{prompt_id}").text


@check
def jobs_show_none_of_anothers(scene: Scene) -> None:
    prompt_id = run(scene.bob, save())["prompt"][1]
    no_trace(scene.alice, "/api/jobs", prompt_id)
    no_trace(scene.alice, f"/api/jobs/{prompt_id}", prompt_id)


@check
def job_cannot_be_cancelled(scene: Scene) -> None:
    prompt_id = scene.waiting()
    scene.alice.post(f"/api/jobs/{prompt_id}/cancel", json={})
    scene.alice.post("/api/jobs/cancel", json={"job_ids": [prompt_id]})
    assert prompt_id in scene.bob.get(f"{scene.api}/queue").text


@check
def output_cannot_be_viewed(scene: Scene) -> None:
    (file,) = run(scene.bob, save())["outputs"]["2"]["images"]
    answer = scene.alice.get(f"{scene.api}/view", params=file)
    assert answer.status_code == 404


@check
def output_cannot_be_viewed_in_another_spelling(scene: Scene) -> None:
    (file,) = run(scene.bob, save())["outputs"]["2"]["images"]
    folder, name = file["subfolder"], file["filename"]
    spellings = [
        {"filename": f"{name} [output]", "type": "input", "subfolder": folder},
        {"filename": name, "subfolder": f"./{folder}//."},
        {"filename": name, "subfolder": f"x/../{folder}"},
        {"filename": f"{folder}/{name}", "subfolder": folder},
        {"filename": name, "subfolder": folder, "preview": "webp;50"},
        {"filename": name, "subfolder": folder, "channel": "rgb"},
    ]
    statuses = [
        scene.alice.get(f"{scene.api}/view", params=spelling).status_code for spelling in spellings
    ]
    assert 200 not in statuses


@check
def preview_cannot_be_viewed(scene: Scene) -> None:
    graph = save()
    graph["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    (file,) = run(scene.bob, graph)["outputs"]["2"]["images"]
    assert scene.alice.get(f"{scene.api}/view", params=file).status_code == 404


def _upload(scene: Scene, client: Client, color: tuple[int, int, int], **data: str) -> Any:
    data_ = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(data_, "PNG")
    files = {"image": ("same.png", data_.getvalue())}
    return client.post(f"{scene.api}/upload/image", files=files, data=data).json()


def _color(client: Client, file: dict[str, Any]) -> Any:
    params = {"filename": file["name"], "subfolder": file["subfolder"], "type": file["type"]}
    answer = client.get("/view", params=params)
    return Image.open(io.BytesIO(answer.content)).getpixel((0, 0))


@check
def upload_is_not_overwritten_by_anothers_of_the_same_name(scene: Scene) -> None:
    theirs = _upload(scene, scene.bob, (1, 1, 1), overwrite="true")
    mine = _upload(scene, scene.alice, (2, 2, 2), overwrite="true")
    assert mine["name"] == "same.png"
    assert _color(scene.bob, theirs) == (1, 1, 1)


@check
def upload_cannot_be_viewed_or_loaded(scene: Scene) -> None:
    theirs = _upload(scene, scene.bob, (3, 3, 3), subfolder="private", overwrite="true")
    params = {"filename": theirs["name"], "subfolder": theirs["subfolder"], "type": "input"}
    seen = scene.alice.get(f"{scene.api}/view", params=params).status_code
    name = f"{theirs['subfolder']}/{theirs['name']}"
    loaded = scene.alice.post(f"{scene.api}/prompt", json={"prompt": load(name)}).status_code
    assert (seen, loaded) == (404, 403)


@check
def mask_is_not_painted_over_anothers_picture(scene: Scene) -> None:
    (file,) = run(scene.bob, save())["outputs"]["2"]["images"]
    mask = io.BytesIO()
    Image.new("RGBA", (16, 16), (0, 0, 0, 99)).save(mask, "PNG")
    answer = scene.alice.post(
        f"{scene.api}/upload/mask",
        files={"image": ("stolen.png", mask.getvalue())},
        data={"original_ref": json.dumps(file), "type": "input", "overwrite": "true"},
    )
    assert answer.status_code == 404


@check
def prefix_does_not_lead_into_anothers_files(scene: Scene) -> None:
    (theirs,) = run(scene.bob, save("mine"))["outputs"]["2"]["images"]
    (own,) = run(scene.alice, save("mine"))["outputs"]["2"]["images"]
    # Neither the same folder nor the number that tells how many Bob has.
    assert own["subfolder"] != theirs["subfolder"]


@check
def lists_of_input_files_do_not_name_anothers(scene: Scene) -> None:
    _upload(scene, scene.bob, (4, 4, 4), subfolder="bobs-own-folder", overwrite="true")
    _upload(scene, scene.bob, (4, 4, 4), overwrite="true")
    answer = scene.alice.get(f"{scene.api}/object_info").text
    assert "bobs-own-folder" not in answer
    info = scene.alice.get(f"{scene.api}/object_info/LoadImage").json()["LoadImage"]
    names = [name for name in info["input"]["required"]["image"][0] if "same.png" in name]
    assert [name for name in names if not name.startswith(f"{scene.alice.namespace}/")] == []


@check
def prompt_id_of_anothers_cannot_be_used_again(scene: Scene) -> None:
    prompt_id = run(scene.bob, save())["prompt"][1]
    body = {"prompt": save(), "prompt_id": prompt_id}
    assert scene.alice.post(f"{scene.api}/prompt", json=body).status_code == 409


@check
def queue_cannot_be_jumped(scene: Scene) -> None:
    first = scene.waiting()
    mine = submit(scene.alice, save(), front=True, number=-5)
    pending = sorted(scene.comfy.server.running_core.queue.pending, key=lambda item: item[0])
    assert [item[1] for item in pending] == [first, mine]


@check
def socket_with_the_same_client_id_hears_nothing_of_anothers_run(scene: Scene) -> None:
    with (
        Listener(scene.bob, "tab", path=f"{scene.api}/ws") as bobs,
        Listener(scene.alice, "tab", path=f"{scene.api}/ws") as alices,
    ):
        graph = slow(0, steps=2, preview=True)
        prompt_id = submit(scene.bob, graph, client_id="tab")
        # Nor does it take Bob's events away.
        bobs.until_end(prompt_id)
        frames = alices.frames + alices.rest(0.5)
        assert prompts_of(frames) == set()
        assert not [frame for frame in frames if kind(frame).startswith("binary")]


@check
def socket_hears_no_count_of_anothers_prompts(scene: Scene) -> None:
    with Listener(scene.alice, path=f"{scene.api}/ws") as alices:
        run(scene.bob, save())
        counts = [status(frame) for frame in alices.rest(0.5) if kind(frame) == "status"]
        assert counts == []


@check
def result_sent_over_the_socket_reaches_its_owner_alone(scene: Scene) -> None:
    graph: Graph = {"1": empty_image(size=8)}
    graph["2"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}
    with (
        Listener(scene.bob, path=f"{scene.api}/ws") as bobs,
        Listener(scene.alice, path=f"{scene.api}/ws") as alices,
    ):
        # Without a client id ComfyUI shows the picture to everybody.
        submit(scene.bob, graph)
        found = [picture(frame) for frame in alices.rest(0.7) if isinstance(frame, bytes)]
        found += [picture(frame) for frame in bobs.rest(0.2) if isinstance(frame, bytes)]
        assert found == []
