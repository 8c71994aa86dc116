"""Users who were given some models see and use these, everywhere, and no others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cast import ADMIN
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.granted import Given
from tests.prompts import Graph, ended, received, save, submit, text
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("clean_log", "twins", "known")

FRESH = {"Cache-Control": "no-cache"}
SD15, REAL = ("checkpoints", "sd15.safetensors"), ("checkpoints", "portraits/real.safetensors")
LORA_TWIN = ("loras", "sd15.safetensors")


@pytest.fixture(scope="module")
def twins(comfy: FakeComfyThread, people: People) -> Iterator[None]:
    """A lora that is called like a checkpoint; gone after this module's tests."""
    models = Path(comfy.base_dir) / "models"
    twin = models / "loras/sd15.safetensors"
    twin.write_bytes((models / "loras/style.safetensors").read_bytes())
    yield
    twin.unlink()
    # Later tests, too, know what there is.
    people.client(ADMIN).post("/mss-login/api/available-models/refresh")


def lists(client: Client) -> dict[str, Any]:
    """Everything that a client is told of these folders."""
    info = client.get("/object_info", headers=FRESH).json()
    assert client.get("/object_info/LoraLoader").json()["LoraLoader"] == info["LoraLoader"]
    new = info["FakeNewStyleLoader"]["input"]["required"]
    return {
        "checkpoints": client.get("/models/checkpoints").json(),
        "loras": client.get("/api/models/loras").json(),
        "old": info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0],
        "new": new["model_name"][1]["options"],
        "lora": info["LoraLoader"]["input"]["required"]["lora_name"][0],
        "extra": new["extra_name"][1]["options"],
    }


def test_a_name_that_two_folders_have_is_shown_where_it_was_given(given: Given) -> None:
    mine = ["sd15.safetensors"]
    assert lists(given(SD15)) == {
        "checkpoints": mine,
        "old": mine,
        "new": mine,
        "loras": [],
        "lora": [],
        "extra": ["[None]"],
    }
    assert lists(given(LORA_TWIN)) == {
        "checkpoints": [],
        "old": [],
        "new": [],
        "loras": mine,
        "lora": mine,
        "extra": [*mine, "[None]"],
    }
    both = lists(given(SD15, LORA_TWIN, REAL))
    assert both["old"] == both["checkpoints"] == ["portraits/real.safetensors", *mine]
    assert both["lora"] == both["loras"] == mine


def test_patterns_and_whole_folders_are_shown(given: Given, power: Client) -> None:
    greta = given(("checkpoints", "portraits/*"), ("loras", "*"), ("unet", "*"))
    shown, everything = lists(greta), lists(power)
    assert shown["checkpoints"] == shown["old"] == ["portraits/real.safetensors"]
    for key in ("loras", "lora", "extra"):
        assert shown[key] == everything[key]
    assert greta.get("/models/vae").json() == []
    for folder in ("diffusion_models", "unet"):
        assert greta.get(f"/models/{folder}").json() == ["flux-demo.safetensors"]
    assert lists(given(("*", "*"))) == everything


def test_embeddings_are_shown_without_their_extension(given: Given) -> None:
    greta = given(("embeddings", "deep/*"))
    assert greta.get("/embeddings").json() == ["deep/hands"]
    assert given(("embeddings", "easynegative")).get("/embeddings").json() == []
    assert given(("*", "*.safetensors")).get("/api/embeddings").json() == [
        "deep/hands",
        "easynegative",
    ]


def loader(name: Any, class_type: str = "CheckpointLoaderSimple") -> Graph:
    inputs = (
        {"ckpt_name": name}
        if class_type == "CheckpointLoaderSimple"
        else {
            "model_name": name,
            "extra_name": "[None]",
        }
    )
    graph = save()
    graph["5"] = {"class_type": class_type, "inputs": inputs}
    # Something that ends in an output, so that ComfyUI looks at the loader too.
    graph["6"] = {"class_type": "PreviewAny", "inputs": {"source": ["5", 0]}}
    return graph


def refused(client: Client, graph: Graph) -> list[str]:
    """What the 403 says of each place: `node.input: message`."""
    answer = client.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 403, answer.text
    body = answer.json()
    assert body["code"] == "MODEL_NOT_ALLOWED"
    return [
        f"{node_id}.{error['details']}: {error['message']}"
        for node_id, node in body["node_errors"].items()
        for error in node["errors"]
    ]


@pytest.mark.parametrize("class_type", ["CheckpointLoaderSimple", "FakeNewStyleLoader"])
def test_a_given_model_is_used_though_another_of_its_name_was_not_given(
    class_type: str, given: Given, comfy: FakeComfyThread
) -> None:
    name = {"CheckpointLoaderSimple": "ckpt_name"}.get(class_type, "model_name")
    greta, other = given(SD15), given(LORA_TWIN)
    for value in ("sd15.safetensors", {"__value__": "sd15.safetensors"}):
        graph = loader(value, class_type)
        assert ended(greta, submit(greta, graph))["status"]["completed"] is True
        before = len(received(comfy))
        assert refused(other, graph) == [
            f"5.{name}: You were not given checkpoints/sd15.safetensors."
        ]
        assert len(received(comfy)) == before


@pytest.mark.parametrize(
    "spelling", ["./sd15.safetensors", " sd15.safetensors", "SD15.safetensors"]
)
def test_spelt_otherwise_it_may_be_either(spelling: str, given: Given) -> None:
    graph = loader(spelling, "FakeNewStyleLoader")
    assert refused(given(SD15), graph) == [f"5.model_name: You were not given loras/{spelling}."]
    assert refused(given(LORA_TWIN), graph) == [
        f"5.model_name: You were not given checkpoints/{spelling}."
    ]
    submit(given(SD15, LORA_TWIN), graph)


@pytest.mark.parametrize("spelling", ["/{}", "x/../{}", "..\\{}"])
def test_spelt_as_if_it_lay_elsewhere_it_is_refused_in_a_list_and_not_in_a_text(
    spelling: str, given: Given, power: Client
) -> None:
    name = spelling.format(REAL[1])
    graph = loader(name, "FakeNewStyleLoader")
    for client in (given(REAL), power):
        answer = client.post("/prompt", json={"prompt": graph})
        assert (answer.status_code, answer.json()["code"]) == (403, "FILE_NOT_ALLOWED")
        submit(client, text(name))
    assert refused(given(SD15), text(name)) == [f"1.text: You were not given checkpoints/{name}."]


HOW = """
from django.contrib.auth.models import Group, Permission
from accounts import granting, models
from django.conf import settings
user = models.User.objects.get(namespace=namespace)
team = Group.objects.create(name=f"team of {user}")
user.groups.add(team)
role = models.Role.objects.create(slug=f"role-of-{user}", title="x", rank=10)
role.permissions.set(user.role.permissions.all())
user.role = role
user.save()
here, elsewhere = settings.COMFYUI_URL, "http://elsewhere:8188"
for holder, name, backend in (
    (user, "style.safetensors", ""),
    (role, "detail.safetensors", here + "/"),
    (team, "people/*", "local"),
    (user, "sd15.safetensors", elsewhere),
    (user, "style.safetensors", elsewhere),
):
    granting.grant(holder, [granting.item("loras", name, backend)], actor=None)
"""
SEES_ALL = """
from django.contrib.auth.models import Permission
from accounts import models
user = models.User.objects.get(namespace=namespace)
permission = Permission.objects.get(codename="can_view_all_comfyui_items")
user.user_permissions.add(permission)
"""


def test_what_user_role_and_teams_were_given_here_counts_together(
    given: Given, gateway: Gateway, power: Client
) -> None:
    greta = given()
    assert greta.get("/models/loras").json() == []
    gateway.run(HOW, namespace=greta.namespace)
    wait_until(lambda: greta.get("/models/loras").json() != [])
    expected = ["detail.safetensors", "people/alice lora.safetensors", "style.safetensors"]
    assert sorted(greta.get("/models/loras").json()) == expected
    gateway.run(SEES_ALL, namespace=greta.namespace)
    whole = power.get("/models/loras").json()
    wait_until(lambda: greta.get("/models/loras").json() == whole)


@pytest.mark.parametrize(
    ("words", "item"),
    [
        ("embedding:hands", ("embeddings", "deep/hands.safetensors")),
        ("a cat, (embedding:deep/hands:1.2)", ("embeddings", "deep/*")),
        ("embedding:EASYnegative.safetensors,", ("embeddings", "easynegative.safetensors")),
        ("<lora:people/alice lora:0.7>", ("loras", "people/*")),
        ("<lora:detail:1>", ("loras", "detail.safetensors")),
        ("portraits\\real.safetensors", REAL),
        ("real.safetensors", ("checkpoints", "portraits/*")),
        ("/srv/models/checkpoints/portraits/real.safetensors", REAL),
        ("sdxl.safetensors", ("checkpoints", "sdxl*")),
    ],
)
def test_a_text_may_name_what_was_given(
    words: str, item: tuple[str, str], given: Given, alice: Client
) -> None:
    greta = given(item)
    custom = {**save(), "5": {"class_type": "FakeCustomAny", "inputs": {"value": {"a": [words]}}}}
    for graph in (text(words), custom):
        submit(greta, graph)
        assert len(refused(alice, graph)) == 1
        assert len(refused(given(("vae", "*")), graph)) == 1


def test_links_are_followed_to_what_was_given(given: Given) -> None:
    greta = given(REAL)
    graph = loader(["9", 0])
    graph["9"] = {"class_type": "PrimitiveString", "inputs": {"value": REAL[1]}}
    # ComfyUI itself takes no link into a list, so only that we let it pass counts.
    assert greta.post("/prompt", json={"prompt": graph}).status_code != 403
    graph["9"]["inputs"]["value"] = "sdxl.safetensors"
    assert refused(greta, graph) == ["9.value: You were not given checkpoints/sdxl.safetensors."]
    graph["9"] = {"class_type": "FakeCustomAny", "inputs": {"value": "x"}}
    assert refused(greta, graph) == [
        "5.ckpt_name: Choose the model here; which one the link gives cannot be checked."
    ]


def test_comfyuis_own_words_name_what_was_given_and_nothing_else(given: Given) -> None:
    graph = {node_id: loader("guess.safetensors")[node_id] for node_id in "56"}
    answer = given(REAL, LORA_TWIN).post("/prompt", json={"prompt": graph})
    assert answer.status_code == 400
    (error,) = answer.json()["node_errors"]["5"]["errors"]
    assert error["details"] == (
        "ckpt_name: 'guess.safetensors' not in ['portraits/real.safetensors']"
    )
    assert error["extra_info"]["input_config"][0] == ["portraits/real.safetensors"]
    assert "sd15" not in answer.text and "sdxl" not in answer.text


def test_a_model_that_came_a_moment_ago_does_not_pass_for_one_of_another_folder(
    given: Given, comfy: FakeComfyThread
) -> None:
    greta = given(("loras", "style.safetensors"))
    greta.get("/object_info")
    new = Path(comfy.base_dir) / "models/checkpoints/style.safetensors"
    new.write_bytes((new.parent / "sd15.safetensors").read_bytes())
    try:
        assert refused(greta, loader("style.safetensors")) == [
            "5.ckpt_name: You were not given checkpoints/style.safetensors."
        ]
    finally:
        new.unlink()
