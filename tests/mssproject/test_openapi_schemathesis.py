"""schemathesis asks for everything in the OpenAPI document, as a guest, a user and an admin:
nothing fails, and every answer is one that the document describes."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from mssproject.openapi.settings import TAGS
from tests.cast import ADMIN, ALICE, GUEST, OWNER, PASSWORD, Person
from tests.client import Client
from tests.downloads.servers import json_reply
from tests.downloads.shop import Sites
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.prompts import ended, run, save, submit
from tests.refusals import faults as faults_in
from tests.surface import Asker, Surface, operations

# Who asks, and who is there for what ends sessions and takes accounts apart.
PAIRS = (
    (GUEST, Person("gil", "guest")),
    (ALICE, Person("tina", "user")),
    (ADMIN, Person("tom", "admin")),
)
# Called like a role: shared items of either are asked for by that name.
NAMESAKE = Person("user", "user")
# Requests that keep the document's rules, and as many that break them, of each operation. More of
# them, and others: SURFACE_EXAMPLES=20 SURFACE_SEED=1, a quarter of an hour.
EXAMPLES = int(os.environ.get("SURFACE_EXAMPLES", "2"))
SEED = int(os.environ.get("SURFACE_SEED", "0"))


@pytest.fixture(scope="module")
def gateway_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of its own, with everything set up: whatever is done to it, nobody else sees."""
    folder = tmp_path_factory.mktemp("surface")
    people = [OWNER, NAMESAKE, *(person for pair in PAIRS for person in pair)]
    with FakeComfyThread(folder / "comfy", seed=True) as comfy, Sites() as sites:
        sites.civitai.routes["/api/v1/models"] = json_reply({"items": []})
        sites.huggingface.routes["/api/models"] = json_reply([])
        env = {
            "COMFYUI_MODELS_DIR": str(Path(comfy.base_dir) / "models"),
            "CIVITAI_URL": sites.civitai.url,
            "HF_ENDPOINT": sites.huggingface.url,
            "MSS_GUEST_LOGIN": "true",
        }
        with serving(folder, comfy.url, people, **env) as server:
            yield server


@pytest.fixture(scope="module")
def surface(gateway_of_all: Gateway) -> Surface:
    alice = Client(gateway_of_all.url, log_in(gateway_of_all, ALICE))
    made = submit(alice, save())
    (image,) = ended(alice, made)["outputs"]["2"]["images"]
    for name in ("workflows/known.json", "workflows/kept.json"):
        alice.post(f"/userdata/{quote(name, safe='')}", json=save())
    known = {
        **{"prompt_id": made, "job_id": made, "job_ids": [made], "delete": [made]},
        **{"username": "gil", "user": "alice", "name": NAMESAKE.username, "role": "user"},
        **{"folder": "checkpoints", "node_class": "KSampler", "directory_type": "output"},
        **{"file": "workflows/known.json", "dest": "workflows/moved.json", "path": "workflows"},
        **{"whitelist": [], "blacklist": ["192.0.2.0/24"], "source": "huggingface"},
        **{"networks": ["127.0.0.0/8"], "scopes": ["can_access_api"], "status": "completed"},
        **{"groups": {"guest": {"can_access_api": True}}, "prompt": save()},
    }
    grants = {"items": [{"folder": "loras", "item_name": "*"}]}
    wish = {"source": "huggingface", "repo_id": "some/model", "filename": "a.safetensors"}
    whole = {
        "POST /login": {"username": ALICE.username, "password": PASSWORD},
        "POST /prompt": {"prompt": save(), "client_id": "tab"},
        "GET /view": image,
        "POST /mss-login-gallery/mark-nsfw": {**image, "is_nsfw": True},
        "GET /userdata": {"dir": "workflows", "recurse": "true", "full_info": "true"},
        "GET /view_metadata/{folder}": {"filename": "sd15.safetensors"},
        "POST /cpe/workflow/save": {"workflow": save(), "name": "saved"},
        "POST /cpe/workflow/convert": save(),
        "GET /cpe/workflow/get": {"filename": "kept.json"},
        "GET /cpe/workflow/get-and-convert": {"filename": "kept.json"},
        "POST /mss-login/api/users": {"username": "newcomer", "password": PASSWORD},
        "POST /mss-login/api/users/{name}/shared-items": grants,
        "DELETE /mss-login/api/users/{name}/shared-items": grants,
        "POST /mss-login/api/groups/{name}/shared-items": grants,
        "POST /mss-login/api/user-env": {"action": "list_workflows", "user": ALICE.username},
        "POST /mss-login/api/nsfw-management": {"action": "list"},
        "POST /mss-login/api/model-download/download": wish,
        "POST /account/downloads/jobs": wish,
        "POST /mss-login/generate_token": {"label": "made up", "scopes": ["can_access_api"]},
        "POST /mss-login/me/sessions/revoke": {"all_others": True},
    }
    return Surface(gateway_of_all.url, known, whole, EXAMPLES, SEED)


def log_in(gateway: Gateway, person: Person) -> str:
    body = {"username": person.username, "password": PASSWORD}
    answer = requests.post(f"{gateway.url}/login", json=body, timeout=30)
    token: str = answer.json()["jwt_token"]
    return token


@pytest.fixture(scope="module")
def askers(gateway_of_all: Gateway) -> list[Asker]:
    def fresh(person: Person) -> Callable[[], str]:
        return partial(log_in, gateway_of_all, person)

    return [Asker(one.role, log_in(gateway_of_all, one), fresh(other)) for one, other in PAIRS]


@pytest.fixture(scope="module")
def described(gateway_of_all: Gateway) -> dict[str, list[object]]:
    return operations(Client(gateway_of_all.url).get("/mss-login/api/schema").json())


@pytest.mark.parametrize("tag", TAGS)
def test_nothing_fails_and_every_answer_is_described(
    surface: Surface, askers: list[Asker], described: dict[str, list[object]], tag: str
) -> None:
    found = [fault for operation in described[tag] for fault in surface.faults(operation, askers)]
    assert found == [], "\n\n".join(found)


def test_everybody_was_let_in_and_the_gateway_is_as_well_as_before(
    gateway_of_all: Gateway,
    surface: Surface,
    askers: list[Asker],
    described: dict[str, list[object]],
) -> None:
    labels = {operation.label for each in described.values() for operation in each}
    for asker in askers:
        assert asker.answers.keys() == labels, "run the whole module"
        client = Client(gateway_of_all.url, asker.token)
        assert client.get("/mss-login/api/me").json()["role"] == asker.role
    guest, user, admin = (asker.answers for asker in askers)
    # They were not all refused alike, and what they named was there.
    assert set(guest["GET /mss-login/api/users"]) == {403}
    assert set(admin["GET /mss-login/api/users"]) == {200}
    for label in ("POST /prompt", "GET /view", "GET /history/{prompt_id}", "GET /userdata"):
        assert 200 in user[label]
    for label in surface.whole:
        assert {200, 201} & {*user[label], *admin[label]}, label
    run(Client(gateway_of_all.url, askers[1].token), save())
    assert faults_in(gateway_of_all.log(), [asker.token for asker in askers]) == []
