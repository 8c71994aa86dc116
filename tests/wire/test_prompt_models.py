"""Models and node classes that prompts use: only what the caller was given, by any spelling."""

from pathlib import Path
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import Graph, ended, picture, received, run, save, submit, text

pytestmark = pytest.mark.usefixtures("clean_log")

CHOOSE = "Choose the model here; which one the link gives cannot be checked."


def loader(name: Any, class_type: str = "CheckpointLoaderSimple") -> Graph:
    """A loader (node 5) beside a picture that needs no model."""
    inputs = {"CheckpointLoaderSimple": {"ckpt_name": name}, "VAELoader": {"vae_name": name}}
    other = {"model_name": name, "extra_name": "[None]"}
    return {**save(), "5": {"class_type": class_type, "inputs": inputs.get(class_type, other)}}


def custom(value: Any) -> Graph:
    return {**save(), "5": {"class_type": "FakeCustomAny", "inputs": {"value": value}}}


def check_refused(
    client: Client, comfy: FakeComfyThread, graph: Graph, place: tuple[str, str], message: str
) -> None:
    """403 MODEL_NOT_ALLOWED, that one place marked in ComfyUI's shape; ComfyUI was not asked."""
    before = len(received(comfy))
    answer = client.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 403, answer.text
    node_id, name = place
    error = {
        "type": "model_not_allowed",
        "message": message,
        "details": name,
        "extra_info": {"input_name": name},
    }
    assert answer.json() == {
        "error": f"The prompt uses a model that you were not given. {message}",
        "code": "MODEL_NOT_ALLOWED",
        "node_errors": {
            node_id: {
                "class_type": graph[node_id]["class_type"],
                "errors": [error],
                "dependent_outputs": [],
            }
        },
    }
    assert len(received(comfy)) == before


def not_given(model: str) -> str:
    return f"You were not given {model}."


@pytest.mark.parametrize(
    ("spelling", "folder"),
    [
        ("sd15.safetensors", "checkpoints"),
        ("./sd15.safetensors", "checkpoints"),
        ("/sd15.safetensors", "checkpoints"),
        ("//sd15.safetensors", "checkpoints"),
        ("x/../sd15.safetensors", "checkpoints"),
        ("../sd15.safetensors", "checkpoints"),
        ("..\\sd15.safetensors", "checkpoints"),
        ("SD15.SafeTensors", "checkpoints"),
        ("portraits/real.safetensors", "checkpoints"),
        ("portraits\\real.safetensors", "checkpoints"),
        ("portraits/./x/..//real.safetensors", "checkpoints"),
        ("real.safetensors", "checkpoints"),
        ("people/alice lora.safetensors", "loras"),
    ],
)
def test_alice_names_a_model_in_any_spelling_and_is_refused(
    spelling: str, folder: str, alice: Client, comfy: FakeComfyThread
) -> None:
    # As she spelt it: where it lies she is not told.
    message = not_given(f"{folder}/{spelling}")
    check_refused(alice, comfy, loader(spelling), ("5", "ckpt_name"), message)
    new_style = loader(spelling, "FakeNewStyleLoader")
    check_refused(alice, comfy, new_style, ("5", "model_name"), message)
    # And in nodes that declare nothing of the kind.
    for value in (spelling, [spelling], {"a": [{"b": spelling}]}, {"__value__": spelling}):
        check_refused(alice, comfy, custom(value), ("5", "value"), message)
    check_refused(alice, comfy, text(spelling), ("1", "text"), message)


def test_alice_names_a_model_in_a_node_that_nobody_knows_and_is_refused(
    alice: Client, comfy: FakeComfyThread
) -> None:
    graph = {**save(), "5": {"class_type": "NoSuchNode", "inputs": {"x": "sd15.safetensors"}}}
    check_refused(alice, comfy, graph, ("5", "x"), not_given("checkpoints/sd15.safetensors"))


@pytest.mark.parametrize(
    ("words", "model"),
    [
        ("embedding:easynegative", "embeddings/easynegative"),
        ("ugly, embedding:easynegative, blurry", "embeddings/easynegative"),
        ("(embedding:easynegative:1.2)", "embeddings/easynegative"),
        ("embedding: easynegative", "embeddings/easynegative"),
        ("a\nembedding:easynegative.safetensors", "embeddings/easynegative.safetensors"),
        ("embedding:./easynegative", "embeddings/./easynegative"),
        ("EMBEDDING:EasyNegative", "embeddings/EasyNegative"),
        ("embedding:deep/hands", "embeddings/deep/hands"),
        ("embedding:hands", "embeddings/hands"),
        ("embedding:,easynegative,", "embeddings/easynegative"),
        ("a cat <lora:detail:0.8>", "loras/detail"),
        ("<lora:people/alice lora:1>", "loras/people/alice lora"),
    ],
)
def test_alice_names_a_model_inside_a_text_and_is_refused(
    words: str, model: str, alice: Client, comfy: FakeComfyThread
) -> None:
    check_refused(alice, comfy, text(words), ("1", "text"), not_given(model))
    check_refused(alice, comfy, custom({"prompt": [words]}), ("5", "value"), not_given(model))


def test_alice_writes_about_models_that_are_none_and_it_runs(alice: Client) -> None:
    words = "embedding: a lora:x sd15 <lora> checkpoints/ none.safetensors"
    assert run(alice, text(words))["outputs"] == {"1": {"text": [words]}}


def test_alice_uses_what_lists_hold_beside_models(alice: Client) -> None:
    submit(alice, loader("pixel_space", "VAELoader"))


@pytest.mark.parametrize(
    "source",
    [
        {"class_type": "StringConcatenate", "inputs": dict.fromkeys(("string_a", "string_b"), "x")},
        {"class_type": "FakeCustomAny", "inputs": {"value": "harmless"}},
        {"class_type": "NoSuchNode", "inputs": {"value": "harmless"}},
        {"class_type": "PrimitiveString", "inputs": {"value": ["9", 0]}},
    ],
    ids=lambda source: str(source["class_type"]),
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_alice_links_a_model_input_and_is_refused(
    source: dict[str, Any], wrapped: bool, alice: Client, comfy: FakeComfyThread
) -> None:
    link: Any = {"__value__": ["9", 0]} if wrapped else ["9", 0]
    graph = {**loader(link), "9": source}
    check_refused(alice, comfy, graph, ("5", "ckpt_name"), CHOOSE)


def test_alice_links_a_readable_text_and_the_model_is_named(
    alice: Client, comfy: FakeComfyThread
) -> None:
    graph = loader(["9", 0])
    graph["9"] = {"class_type": "PrimitiveString", "inputs": {"value": "sd15.safetensors"}}
    message = not_given("checkpoints/sd15.safetensors")
    check_refused(alice, comfy, graph, ("9", "value"), message)


def test_every_place_is_marked_at_once(alice: Client) -> None:
    graph = {**loader("sd15.safetensors"), "6": loader("sdxl.safetensors")["5"]}
    graph["7"] = {
        "class_type": "FakeNewStyleLoader",
        "inputs": {"model_name": "sdxl.safetensors", "extra_name": "style.safetensors"},
    }
    answer = alice.post("/prompt", json={"prompt": graph}).json()
    marked = {
        node_id: [error["details"] for error in node["errors"]]
        for node_id, node in answer["node_errors"].items()
    }
    assert marked == {
        "5": ["ckpt_name"],
        "6": ["ckpt_name"],
        "7": ["model_name", "extra_name"],
    }


def test_alice_names_a_model_that_came_a_moment_ago_and_is_refused(
    alice: Client, comfy: FakeComfyThread
) -> None:
    alice.get("/object_info")
    path = Path(comfy.base_dir) / "models/checkpoints/brand-new.safetensors"
    path.write_bytes((path.parent / "sd15.safetensors").read_bytes())
    try:
        message = not_given("checkpoints/brand-new.safetensors")
        graph = loader("brand-new.safetensors")
        check_refused(alice, comfy, graph, ("5", "ckpt_name"), message)
    finally:
        path.unlink()


@pytest.mark.parametrize(
    "value",
    [
        "brand-new.safetensors/",
        "brand-new.safetensors/.",
        "./" * 260 + "brand-new.safetensors",
        "embedding:brand-new",
        "<lora:brand-new:1>",
    ],
)
def test_alice_spells_a_model_that_came_a_moment_ago_otherwise_and_is_refused(
    value: str, alice: Client, comfy: FakeComfyThread
) -> None:
    alice.get("/object_info")
    models = Path(comfy.base_dir) / "models"
    new = [models / folder / "brand-new.safetensors" for folder in FOLDERS]
    for path in new:
        path.write_bytes((models / "checkpoints/sd15.safetensors").read_bytes())
    try:
        graph = loader("x", "FakeNewStyleLoader")
        graph["5"]["inputs"] = {"model_name": value, "extra_name": "[None]"}
        answer = alice.post("/prompt", json={"prompt": graph})
        assert (answer.status_code, answer.json()["code"]) == (403, "MODEL_NOT_ALLOWED")
    finally:
        for path in new:
            path.unlink()


FOLDERS = ("checkpoints", "embeddings", "loras")


def test_alice_is_not_told_which_models_there_are(alice: Client, comfy: FakeComfyThread) -> None:
    graph = loader("guess.safetensors")
    graph["6"] = {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["5", 2]}}
    graph["7"] = {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 16, "height": 16, "batch_size": 1},
    }
    graph["2"]["inputs"]["images"] = ["6", 0]
    full = Client(comfy.url).post("/prompt", json={"prompt": graph})
    assert "sd15.safetensors" in full.text
    answer = alice.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 400
    (error,) = answer.json()["node_errors"]["5"]["errors"]
    assert error["details"] == "ckpt_name: 'guess.safetensors' not in []"
    assert error["extra_info"]["input_config"][0] == []
    for name in ("sd15", "sdxl", "real.safetensors"):
        assert name not in answer.text
    # Apart from that it is ComfyUI's own answer.
    expected = full.json()
    (inner,) = expected["node_errors"]["5"]["errors"]
    inner["details"] = error["details"]
    inner["extra_info"]["input_config"][0] = []
    assert answer.json() == expected


def test_power_user_uses_every_model(power: Client, comfy: FakeComfyThread) -> None:
    graph = loader("portraits/real.safetensors", "FakeNewStyleLoader")
    graph["5"]["inputs"]["extra_name"] = "people/alice lora.safetensors"
    graph["6"] = text("embedding:easynegative <lora:detail:1>")["1"]
    assert ended(power, submit(power, graph))["status"]["completed"] is True
    linked = {**loader(["9", 0]), "9": {"class_type": "FakeCustomAny", "inputs": {"value": "x"}}}
    assert power.post("/prompt", json={"prompt": linked}).status_code == 200


def checkpoint_save() -> Graph:
    graph = loader("sd15.safetensors")
    links = {"model": ["5", 0], "clip": ["5", 1], "vae": ["5", 2]}
    inputs = {**links, "filename_prefix": "checkpoints/mine"}
    return {**graph, "6": {"class_type": "CheckpointSave", "inputs": inputs}}


def test_alice_uses_a_node_that_her_role_blocks_and_is_refused(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    answer = alice.post("/prompt", json={"prompt": checkpoint_save()})
    message = "Your role may not use this node."
    assert answer.status_code == 403
    assert answer.json() == {
        "error": f"The prompt uses a node that your role does not allow. {message}",
        "code": "NODE_NOT_ALLOWED",
        "node_errors": {
            "6": {
                "class_type": "CheckpointSave",
                "errors": [
                    {
                        "type": "node_not_allowed",
                        "message": message,
                        "details": "",
                        "extra_info": {"input_name": ""},
                    }
                ],
                "dependent_outputs": [],
            }
        },
    }
    # Even where nothing would run it.
    unused = {"1": picture(), "6": {"class_type": "CheckpointSave", "inputs": {}}, **save()}
    answer = alice.post("/prompt", json={"prompt": unused})
    assert (answer.status_code, answer.json()["code"]) == (403, "NODE_NOT_ALLOWED")
    assert received(forwarded) == []


def test_power_user_may_use_that_node(power: Client, comfy: FakeComfyThread) -> None:
    assert run(power, checkpoint_save())["status"]["status_str"] == "success"
