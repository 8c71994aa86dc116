"""Files that prompts read: each user their own, and what lies unowned at the top of input."""

from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.ownfiles import check_refused, color_of, upload
from tests.prompts import direct, load, run, save, submit, text

pytestmark = pytest.mark.usefixtures("clean_log")


def test_alice_loads_what_she_uploaded_by_the_name_she_was_told(alice: Client) -> None:
    name = upload(alice, "mine.png", (10, 20, 30))
    assert color_of(alice, run(alice, load(name))) == (10, 20, 30)
    assert color_of(alice, run(alice, load(f"{name} [input]"))) == (10, 20, 30)


def test_bare_name_means_ones_own_file_before_the_unowned_one(
    alice: Client, bob: Client, charlie: Client, gateway: Gateway, comfy: FakeComfyThread
) -> None:
    upload(alice, "example.png", (1, 2, 3))
    upload(bob, "example.png", (4, 5, 6))
    assert color_of(alice, run(alice, load("example.png"))) == (1, 2, 3)
    assert color_of(bob, run(bob, load("example.png"))) == (4, 5, 6)
    # Planted at the top of the input folder by whoever installed ComfyUI.
    assert color_of(charlie, run(charlie, load("example.png"))) == (40, 120, 200)


def test_mask_editors_name_means_ones_own_file(alice: Client, bob: Client) -> None:
    upload(alice, "m.png", (7, 7, 7), subfolder="clipspace")
    upload(bob, "m.png", (9, 9, 9), subfolder="clipspace")
    for client, color in ((alice, 7), (bob, 9)):
        assert color_of(client, run(client, load("clipspace/m.png [input]"))) == (color,) * 3


def test_alice_loads_her_own_output(alice: Client, bob: Client) -> None:
    entry = run(alice, save("again", color=0x112233))
    (image,) = entry["outputs"]["2"]["images"]
    name = f"{image['subfolder']}/{image['filename']} [output]"
    assert color_of(alice, run(alice, load(name))) == (0x11, 0x22, 0x33)
    # As LoadImageOutput's list has it.
    graph = load(f"again_{image['filename'].split('_')[1]}_.png [output]")
    graph["1"]["class_type"] = "LoadImageOutput"
    assert color_of(alice, run(alice, graph)) == (0x11, 0x22, 0x33)


@pytest.mark.parametrize("class_type", ["LoadImage", "LoadImageMask", "LoadImageOutput"])
def test_bob_names_alices_files_and_is_refused(
    class_type: str, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    uploaded = upload(alice, "private.png", (1, 1, 1))
    (image,) = run(alice, save("private"))["outputs"]["2"]["images"]
    saved = f"{image['subfolder']}/{image['filename']}"
    for name in (
        uploaded,
        f"./{uploaded}",
        f"a/../{uploaded}",
        f"{uploaded} [input]",
        f"{bob.namespace}/../{uploaded}",
        f"{saved} [output]",
        f"../output/{saved}",
        uploaded.upper(),
        uploaded.replace("/", "\\"),
        uploaded.replace("/", " /"),
    ):
        graph = load(name)
        graph["1"]["class_type"] = class_type
        if class_type == "LoadImageMask":
            graph["1"]["inputs"]["channel"] = "red"
        answer = bob.post("/prompt", json={"prompt": graph})
        assert (answer.status_code, answer.json()["code"]) == (403, "FILE_NOT_ALLOWED"), name
        assert list(answer.json()["node_errors"]) == ["1"]


@pytest.mark.parametrize(
    "name",
    [
        "../models/checkpoints/sd15.png",
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../x.png",
        "..\\x.png",
        "C:\\x.png",
        "../output/x.png [input]",
        "/etc/passwd [output]",
        "x.png\0",
        {"__value__": "../x.png"},
        ["../x.png", "y"],
    ],
    ids=repr,
)
def test_alice_loads_from_outside_and_is_refused(
    name: Any, alice: Client, comfy: FakeComfyThread
) -> None:
    check_refused(alice, comfy, load(name), ("1", "image"))


def test_unowned_outputs_are_out_of_reach(alice: Client, comfy: FakeComfyThread) -> None:
    prompt_id = direct(comfy, save("nobodys"))
    comfy.wait_idle()
    history = Client(comfy.url).get(f"/history/{prompt_id}").json()
    (image,) = history[prompt_id]["outputs"]["2"]["images"]
    answer = alice.post("/prompt", json={"prompt": load(f"{image['filename']} [output]")})
    # The name means a file of her own, which is not there.
    assert answer.status_code == 400
    (error,) = answer.json()["node_errors"]["1"]["errors"]
    assert error["type"] == "custom_validation_failed"
    assert comfy.base_dir not in answer.text


def test_alice_feeds_a_file_name_through_a_custom_node_and_is_refused(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    name = upload(bob, "theirs.png", (2, 2, 2))
    graph = load(["9", 0])
    graph["9"] = {"class_type": "FakeCustomAny", "inputs": {"value": name}}
    answer = alice.post("/prompt", json={"prompt": graph})
    assert (answer.status_code, answer.json()["code"]) == (403, "FILE_NOT_ALLOWED")
    assert set(answer.json()["node_errors"]) == {"1", "9"}
    # Even one that is not in any folder's name: what the link gives cannot be read.
    graph["9"]["inputs"]["value"] = "x.png"
    check_refused(alice, comfy, graph, ("1", "image"))
    # Nor anywhere else, whatever the node is.
    answer = alice.post("/prompt", json={"prompt": text(name)})
    assert (answer.status_code, answer.json()["code"]) == (403, "FILE_NOT_ALLOWED")


def test_alice_loads_bobs_whole_folder_and_is_refused(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    for client in (alice, bob):
        upload(client, "folder.png", (3, 3, 3))
    graph = load("x")
    node = {"class_type": "LoadImageSetFromFolderNode", "inputs": {"folder": bob.namespace}}
    check_refused(alice, comfy, {**graph, "1": node}, ("1", "folder"))
    # Put together while it runs, so that no text of the prompt leads there.
    half = len(bob.namespace) // 2
    parts = {"string_a": bob.namespace[:half], "string_b": bob.namespace[half:], "delimiter": ""}
    graph["8"] = {"class_type": "StringConcatenate", "inputs": parts}
    graph["9"] = {"class_type": "FakeCustomAny", "inputs": {"value": ["8", 0]}}
    node["inputs"]["folder"] = ["9", 0]
    check_refused(alice, comfy, {**graph, "1": node}, ("1", "folder"))
    node["inputs"]["folder"] = alice.namespace
    submit(alice, {**load("x"), "1": node})


def test_admin_may_load_everybodys_files(admin: Client, alice: Client) -> None:
    name = upload(alice, "shared.png", (5, 5, 5))
    assert color_of(admin, run(admin, load(name))) == (5, 5, 5)


def test_alice_names_more_files_than_any_prompt_needs_and_comfyui_is_not_asked(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    answer = alice.post("/prompt", json={"prompt": load([f"{n}.png" for n in range(5000)])})
    assert (answer.status_code, answer.json()["field"]) == (400, "prompt")
    assert [record.path for record in forwarded.requests if "/view" in record.path] == []
