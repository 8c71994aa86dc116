"""Where prompts write: each user inside their own folder only."""

import uuid
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.ownfiles import check_refused
from tests.prompts import received_one, run, save, submit

pytestmark = pytest.mark.usefixtures("clean_log")


@pytest.mark.parametrize(
    ("prefix", "subfolder", "name"),
    [
        ("cat", "", "cat_00001_.png"),
        ("pets/cat", "/pets", "cat_00001_.png"),
        ("a//b/./cat", "/a/b", "cat_00001_.png"),
        ("%width%x%height%", "", "16x16_00001_.png"),
        ("u-short/cat", "/u-short", "cat_00001_.png"),
    ],
)
def test_alice_saves_into_her_own_folder(
    prefix: str, subfolder: str, name: str, alice: Client
) -> None:
    fresh = uuid.uuid4().hex
    entry = run(alice, save(f"{fresh}/{prefix}"))
    (image,) = entry["outputs"]["2"]["images"]
    folder = f"{alice.namespace}/{fresh}{subfolder}"
    assert image == {"filename": name, "subfolder": folder, "type": "output"}
    assert alice.get("/view", params=image).status_code == 200


@pytest.mark.parametrize("prefix", ["", "/".join(["."] * 3), {"__value__": ""}])
def test_alice_saves_under_no_name_and_it_is_in_her_folder_too(prefix: Any, alice: Client) -> None:
    (image,) = run(alice, save(prefix))["outputs"]["2"]["images"]
    assert (image["subfolder"], image["filename"][:8]) == (alice.namespace, "ComfyUI_")


def test_alice_resubmits_her_history_and_it_does_not_nest(
    alice: Client, comfy: FakeComfyThread
) -> None:
    entry = run(alice, save("pets/dog"))
    again = entry["prompt"][2]
    assert again["2"]["inputs"]["filename_prefix"] == f"{alice.namespace}/pets/dog"
    again["1"] = save()["1"]
    second = run(alice, again)
    assert second["prompt"][2] == again
    (first_image,), (second_image,) = (e["outputs"]["2"]["images"] for e in (entry, second))
    assert first_image["subfolder"] == second_image["subfolder"] == f"{alice.namespace}/pets"
    assert second_image["filename"] == "dog_00002_.png"


@pytest.mark.parametrize(
    "prefix",
    [
        "../x",
        "a/../../x",
        "a/../x",
        "..",
        "/x",
        "/etc/x",
        "C:/x",
        "C:x",
        "..\\x",
        "a\\..\\..\\x",
        "\\x",
        "x\0y",
        {"__value__": "../x"},
        {"__value__": {"__value__": "../x"}},
        ["../x"],
        {"a": "../x"},
        None,
    ],
    ids=repr,
)
def test_alice_saves_outside_her_folder_and_is_refused(
    prefix: Any, alice: Client, comfy: FakeComfyThread
) -> None:
    check_refused(alice, comfy, save(prefix), ("2", "filename_prefix"))


@pytest.mark.parametrize(
    "template",
    ["{}/x", "{}", "./{}/x", "x/../{}/x", "{}\\x", "{}./x", "{} /x", "a/{}/x", "%{}%/../{}/x"],
)
def test_alice_saves_into_bobs_folder_and_is_refused(
    template: str, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    for namespace in (bob.namespace, bob.namespace.upper()):
        graph = save(template.replace("{}", namespace))
        answer = alice.post("/prompt", json={"prompt": graph})
        assert (answer.status_code, answer.json()["code"]) == (403, "FILE_NOT_ALLOWED")
        assert list(answer.json()["node_errors"]) == ["2"]


def test_alice_links_a_prefix_and_only_what_can_be_read_is_taken(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    graph = save(["9", 0])
    graph["9"] = {"class_type": "PrimitiveString", "inputs": {"value": "linked/cat"}}
    prompt_id = submit(alice, graph)
    prefix = received_one(forwarded, prompt_id)["prompt"]["2"]["inputs"]["filename_prefix"]
    assert prefix == f"{alice.namespace}/linked/cat"
    graph["9"] = {
        "class_type": "StringConcatenate",
        "inputs": {"string_a": "..", "string_b": "x", "delimiter": "/"},
    }
    for link in (["9", 0], {"__value__": ["9", 0]}, ["9", 0.0]):
        graph["2"]["inputs"]["filename_prefix"] = link
        check_refused(alice, forwarded, graph, ("2", "filename_prefix"))
    graph["9"] = {"class_type": "PrimitiveString", "inputs": {"value": "../x"}}
    check_refused(alice, forwarded, graph, ("2", "filename_prefix"))


def test_alice_writes_nothing_outside_through_any_kind_of_node(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    for class_type, inputs in (
        ("FakeFiles", {"kinds": "images"}),
        ("SaveLatent", {"samples": ["1", 0]}),
        ("SaveAudio", {"audio": ["1", 0]}),
        # An input of that name, whatever the node is and whether it declares it.
        ("FakeText", {"text": "x"}),
        ("NoSuchNode", {}),
    ):
        node = {"class_type": class_type, "inputs": {**inputs, "filename_prefix": "../x"}}
        check_refused(alice, comfy, {**save(), "9": node}, ("9", "filename_prefix"))
        node["inputs"]["filename_prefix"] = f"{bob.namespace}/x"
        answer = alice.post("/prompt", json={"prompt": {**save(), "9": node}})
        assert (answer.status_code, answer.json()["code"]) == (403, "FILE_NOT_ALLOWED")
