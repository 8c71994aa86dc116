"""What the main addresses really answer is what the OpenAPI document says, nothing left out."""

from typing import Any

import pytest
import requests

from tests.cast import ALICE, CHARLIE, PASSWORD
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.openapischema import Described
from tests.prompts import load, picture, save, slow, submit, wait_running

API = "/mss-login/api"


@pytest.fixture(scope="module")
def described(gateway: Gateway) -> Described:
    return Described(Client(gateway.url))


class Asked:
    """Asks and compares; the answer if all is as described."""

    def __init__(self, described: Described, client: Client) -> None:
        self._described, self._client = described, client

    def __call__(
        self, method: str, path: str, status: int = 200, /, at: str = "", **kwargs: Any
    ) -> requests.Response:
        answer = self._client.request(method, at or path, **kwargs)
        self._client.cookies.clear()
        assert answer.status_code == status, answer.text[:500]
        assert self._described.faults(method, path, answer) == []
        return answer


@pytest.fixture
def as_alice(described: Described, alice: Client) -> Asked:
    return Asked(described, alice)


@pytest.fixture
def as_admin(described: Described, admin: Client) -> Asked:
    return Asked(described, admin)


@pytest.fixture
def as_nobody(described: Described, anonymous: Client) -> Asked:
    return Asked(described, anonymous)


def test_logins_and_tokens(as_nobody: Asked, as_alice: Asked) -> None:
    credentials = {"username": ALICE.username, "password": PASSWORD}
    as_nobody("POST", "/login", json=credentials)
    as_nobody("POST", "/login", 401, json={**credentials, "password": "wrong"})
    as_nobody("POST", "/login", 400, json={"username": "alice"})
    as_nobody("POST", "/login", 403, json={"guest_login": True})
    as_nobody("POST", "/register", 404, json={})
    made = as_nobody("POST", "/mss-login/generate_token", json={**credentials, "label": "app"})
    as_nobody("GET", "/mss-login/generate_token", 302)
    as_alice("POST", "/mss-login/generate_token", 400, json={"scopes": ["can_manage_backend"]})
    assert as_alice("GET", f"{API}/tokens").json()["tokens"]
    prefix = made.json()["token_hash_prefix"]
    as_alice("DELETE", f"{API}/tokens", json={"token_hash_prefix": prefix})
    as_alice("DELETE", f"{API}/tokens", 404, json={"token_hash_prefix": prefix})
    as_nobody("GET", "/logout")
    as_nobody("GET", "/login")


def test_account(as_nobody: Asked, as_alice: Asked) -> None:
    as_alice("GET", f"{API}/me")
    as_nobody("GET", f"{API}/me", 401)
    as_nobody("GET", f"{API}/is-https")
    assert as_alice("GET", "/mss-login/me/sessions").json()["sessions"]
    as_alice("POST", "/mss-login/me/sessions/revoke", 404, json={"jti": "0" * 32})
    as_alice("GET", f"{API}/queue")
    as_alice("POST", f"{API}/mfa/setup")
    as_alice("POST", f"{API}/mfa/verify-setup", 400, json={"code": "000000"})
    as_alice("POST", f"{API}/mfa/disable", 400, json={"password": PASSWORD})
    as_nobody("POST", f"{API}/mfa/verify", 401, json={"mfa_temp_token": "x", "code": "1"})
    as_alice("GET", f"{API}/passkeys")
    as_alice("POST", f"{API}/passkeys/options", 400)
    as_nobody("GET", "/account/here")
    as_alice("GET", "/account/frontend")
    as_alice("GET", "/account/models")
    as_nobody("GET", "/readyz")
    as_nobody("GET", "/mss-login/texts.json")
    as_nobody("GET", "/mss-login/texts.js")
    as_nobody("GET", "/account", 302)


def test_prompts_and_what_becomes_of_them(
    as_alice: Asked, alice: Client, comfy: FakeComfyThread
) -> None:
    running = submit(alice, slow(), client_id="tab")
    wait_running(comfy, running)
    extra = {"extra_pnginfo": {"workflow": {"nodes": []}}}
    accepted = as_alice("POST", "/prompt", json={"prompt": save(), "extra_data": extra})
    as_alice("GET", "/prompt")
    queue = as_alice("GET", "/queue").json()
    assert [len(part) for part in queue.values()] == [1, 1]
    assert len(as_alice("GET", "/api/jobs").json()["jobs"]) >= 2
    waiting = accepted.json()["prompt_id"]
    as_alice("GET", "/api/jobs/{job_id}", at=f"/api/jobs/{waiting}")
    as_alice("GET", f"{API}/queue")
    as_alice("GET", "/account/prompts")
    as_alice("POST", "/interrupt", json={"prompt_id": running})
    comfy.wait_idle()
    for prompt_id in (running, waiting):
        as_alice("GET", "/api/jobs/{job_id}", at=f"/api/jobs/{prompt_id}")
        as_alice("GET", "/history/{prompt_id}", at=f"/history/{prompt_id}")
    entry = as_alice("GET", "/history").json()[waiting]
    image = entry["outputs"]["2"]["images"][0]
    as_alice("GET", "/view", params=image)
    as_alice("GET", "/view", 206, params=image, headers={"Range": "bytes=0-9"})
    as_alice("GET", "/view", 416, params=image, headers={"Range": "bytes=999999-"})
    as_alice("GET", "/view", 404, params={"filename": "no.png"})
    as_alice("GET", "/view", 400, params={"filename": "../no.png"})
    tagged = {**image, "is_nsfw": True}
    as_alice("POST", "/mss-login-gallery/mark-nsfw", json=tagged)
    as_alice("POST", "/mss-login-gallery/mark-nsfw", 403, json={**tagged, "is_nsfw": False})
    as_alice("GET", "/account/prompts")
    as_alice("POST", "/queue", json={"delete": [waiting]})
    as_alice("POST", "/api/jobs/{job_id}/cancel", at=f"/api/jobs/{waiting}/cancel")
    as_alice("POST", "/api/jobs/cancel", 404, json={"job_ids": ["unknown"]})
    as_alice("POST", "/history", json={"delete": [waiting]})
    as_alice("GET", "/api/tags", 403)


def test_prompts_that_are_refused(as_alice: Asked, as_nobody: Asked, guest: Client) -> None:
    as_nobody("POST", "/prompt", 401, json={"prompt": save()})
    as_alice("POST", "/prompt", 400, json={"prompt": {"1": {}}})
    as_alice("POST", "/prompt", 400, data=b"{")
    # ComfyUI's own: an input is missing, a class is not there.
    broken = {"1": picture(), "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}
    as_alice("POST", "/prompt", 400, json={"prompt": broken})
    unknown = {"1": {"class_type": "NoSuchNode", "inputs": {}}}
    as_alice("POST", "/prompt", 400, json={"prompt": unknown})
    as_alice("POST", "/prompt", 403, json={"prompt": save("../outside")})
    as_alice("POST", "/prompt", 403, json={"prompt": load("../../etc/passwd")})
    model = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}}
    as_alice("POST", "/prompt", 403, json={"prompt": {**save(), "9": model}})


def test_nodes_models_and_uploads(as_alice: Asked, as_admin: Asked) -> None:
    for asked in (as_alice, as_admin):
        asked("GET", "/object_info/{node_class}", at="/object_info/CheckpointLoaderSimple")
        asked("GET", "/models")
        asked("GET", "/models/{folder}", at="/models/checkpoints")
        asked("GET", "/models/{folder}", 404, at="/models/none")
        asked("GET", "/embeddings")
        asked("GET", "/experiment/models")
        asked("GET", "/experiment/models/{folder}", at="/experiment/models/checkpoints")
        asked("GET", "/system_stats")
    as_alice("GET", "/object_info")
    as_alice("GET", "/view_metadata/{folder}", 404, at="/view_metadata/loras?filename=no")
    stored = as_alice("POST", "/upload/image", files={"image": ("a.png", b"x", "image/png")})
    assert stored.json()["type"] == "input"
    as_alice("POST", "/upload/image", 400, data={"a": "b"})
    as_alice("GET", "/internal/files/{directory_type}", at="/internal/files/input")
    as_alice("GET", "/internal/files/{directory_type}", 400, at="/internal/files/none")
    as_alice("GET", "/features")
    as_alice("GET", "/extensions")
    as_alice("GET", "/users")
    as_admin("POST", "/users", json={"username": "somebody"})
    as_admin("POST", "/users", 400, json={"username": "somebody"})
    as_admin("POST", "/users", 400, json={"username": 5})


def test_settings_and_workflows(as_alice: Asked) -> None:
    as_alice("POST", "/settings", json={"Comfy.Some": [1]})
    as_alice("GET", "/settings")
    as_alice("GET", "/settings/{setting_id}", at="/settings/Comfy.Some")
    file = "/userdata/{file}"
    workflow = {"1": {"class_type": "EmptyImage", "inputs": {}}}
    name = "/userdata/workflows%2Fone.json"
    as_alice("POST", file, at=name, json=workflow)
    as_alice("POST", file, at=f"{name}?full_info=true", json=workflow)
    as_alice("POST", file, 409, at=f"{name}?overwrite=false", json=workflow)
    as_alice("POST", file, 400, at="/userdata/a%2525%252Fb", data=b"x")
    for more in ("", "&full_info=true", "&split=true&recurse=true"):
        as_alice("GET", "/userdata", at=f"/userdata?dir=workflows{more}")
    as_alice("GET", "/userdata", 400)
    as_alice("GET", "/v2/userdata")
    as_alice("GET", file, at=name)
    as_alice("GET", "/cpe/workflow/list")
    as_alice("GET", "/cpe/workflow/get", at="/cpe/workflow/get?filename=one.json")
    as_alice("GET", "/cpe/workflow/get", 404, at="/cpe/workflow/get?filename=two.json")
    convert = "/cpe/workflow/get-and-convert"
    as_alice("GET", convert, at=f"{convert}?filename=one.json")
    as_alice("POST", "/cpe/workflow/save", json={"workflow": workflow, "name": "three"})
    as_alice("POST", "/cpe/workflow/convert", json=workflow)
    as_alice("POST", "/cpe/workflow/convert", 503, json={"nodes": [], "version": 99})
    as_alice("GET", "/cpe/health")
    move = "/userdata/{file}/move/{dest}"
    as_alice("POST", move, at=f"{name}/move/workflows%2Ftwo.json")
    as_alice("DELETE", file, 204, at="/userdata/workflows%2Ftwo.json")
    as_alice("DELETE", file, 404, at="/userdata/workflows%2Ftwo.json")


def test_administration(as_admin: Asked, as_alice: Asked) -> None:
    as_alice("GET", f"{API}/users", 403)
    as_admin("GET", f"{API}/users")
    new = {"username": "odile", "password": PASSWORD}
    as_admin("POST", f"{API}/users", 201, json=new)
    as_admin("POST", f"{API}/users", 409, json=new)
    one, odile = f"{API}/users/{{username}}", f"{API}/users/odile"
    as_admin("PUT", one, at=odile, json={"sfw_enforced": None, "is_active": True})
    as_admin("PUT", one, 400, at=odile, json={"is_active": "yes"})
    as_admin("PUT", one, 404, at=f"{API}/users/nobody", json={})
    items = f"{API}/users/{{name}}/shared-items"
    grant = {"folder": "checkpoints", "item_name": "sd15.safetensors"}
    as_admin("POST", items, at=f"{odile}/shared-items", json=grant)
    as_admin("POST", items, at=f"{odile}/shared-items", json={"items": [grant]})
    as_admin("GET", items, at=f"{odile}/shared-items")
    models = f"{API}/users/{{username}}/effective-models"
    assert as_admin("GET", models, at=f"{odile}/effective-models").json()["items"]
    as_admin("DELETE", items, at=f"{odile}/shared-items", json=grant)
    as_admin("DELETE", items, 404, at=f"{odile}/shared-items", json=grant)
    group = f"{API}/groups/{{name}}/shared-items"
    as_admin("GET", group, at=f"{API}/groups/user/shared-items")
    for action in ("status", "list", "list_workflows", "purge"):
        as_admin("POST", f"{API}/user-env", json={"action": action, "user": "odile"})
    as_admin("POST", f"{API}/user-env", 400, json={"action": "dance", "user": "odile"})
    as_admin("DELETE", one, at=odile)
    as_admin("GET", f"{API}/groups")
    as_admin("PUT", f"{API}/groups", json={"groups": {"guest": {"can_run": False}}})
    as_admin("PUT", f"{API}/groups", 400, json={"groups": {"guest": {"can_fly": True}}})
    as_admin("GET", f"{API}/ip-lists")
    denied = ["192.0.2.1", {"network": "192.0.2.0/30", "note": "x", "expires_at": None}]
    as_admin("PUT", f"{API}/ip-lists", json={"blacklist": denied})
    as_admin("PUT", f"{API}/ip-lists", 409, json={"whitelist": ["192.0.2.1"]})
    as_admin("PUT", f"{API}/ip-lists", json={"blacklist": []})
    as_admin("GET", f"{API}/available-model-folders")
    one_folder = f"{API}/available-models/{{folder}}"
    as_admin("GET", one_folder, at=f"{API}/available-models/loras")
    as_admin("GET", one_folder, 404, at=f"{API}/available-models/none")
    as_admin("POST", f"{API}/available-models/refresh")
    for action in ("list", "fix", "clear"):
        as_admin("POST", f"{API}/nsfw-management", json={"action": action})
    as_admin("POST", f"{API}/nsfw-management", 400, json={"action": "dance"})
    as_admin("POST", "/free", json={"free_memory": True})


def test_downloads(as_admin: Asked, as_alice: Asked) -> None:
    download = f"{API}/model-download"
    as_alice("GET", f"{download}/jobs", 403)
    as_admin("GET", f"{download}/sources")
    as_admin("GET", f"{download}/folders")
    key = {"source": "huggingface", "api_key": "hf_some"}
    as_admin("PUT", f"{download}/api-keys", json=key)
    as_admin("PUT", f"{download}/api-keys", json={**key, "api_key": ""})
    as_admin("PUT", f"{download}/api-keys", 400, json={**key, "source": "elsewhere"})
    as_admin("GET", f"{download}/api-keys")
    as_admin("GET", f"{download}/jobs")
    as_admin("GET", f"{download}/jobs/{{job_id}}", 404, at=f"{download}/jobs/none")
    wish = {"source": "huggingface", "repo_id": "a/b", "filename": "c.safetensors"}
    # This gateway was not told where ComfyUI's models are.
    as_admin("POST", f"{download}/download", 503, json=wish)
    as_admin("GET", f"{download}/search", 400, at=f"{download}/search?source=none&query=x")


def test_a_member_that_is_not_described_is_a_fault(described: Described, people: People) -> None:
    """So that the tests above can fail."""
    client = people.client(CHARLIE)
    answer = client.get(f"{API}/me")
    assert described.faults("GET", f"{API}/me", answer) == []
    answer._content = answer.content.replace(b'"username"', b'"surname"')
    missing, extra = sorted(described.faults("GET", f"{API}/me", answer))
    assert "'username' is a required property" in missing
    assert "'surname' was unexpected" in extra
    answer.status_code = 418
    assert "418" in described.faults("GET", f"{API}/me", answer)[0]
