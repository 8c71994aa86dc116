"""Model downloads from asking to using: both sites, a real worker, a real ComfyUI's folders."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.accounts.acting import mint, session
from tests.browser import Browser
from tests.cast import ADMIN, ALICE, BOB, CREATE, PASSWORD, POWER, Person
from tests.client import Client
from tests.downloads.servers import Reply, safetensors, sha256
from tests.downloads.shop import API, GIVE_CAPABILITY, KEY, Sites, ask, downloading, ended, job_of
from tests.downloadworker import DownloadWorker
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.refusals import check_refusal, faults, wait_until

STATE = """
from downloads.models import DownloadJob
job = DownloadJob.objects.get(pk=job_id)
result = [job.status, job.error_code]
"""
STORED_KEYS = """
from downloads.models import SourceKey
result = list(SourceKey.objects.values_list("value", flat=True))
"""


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread, sites: Sites
) -> Iterator[Gateway]:
    with downloading(tmp_path_factory.mktemp("shop"), comfy, sites) as server:
        yield server


@pytest.fixture(scope="module")
def worker(shop: Gateway) -> Iterator[DownloadWorker]:
    with DownloadWorker(shop) as running:
        yield running
    assert faults(running.log(), [KEY]) == []


@pytest.fixture(scope="module")
def alice(shop: Gateway) -> Client:
    return Client(shop.url, session(shop, ALICE), shop.namespaces[ALICE.username])


@pytest.fixture(scope="module")
def power(shop: Gateway) -> Client:
    client = Client(shop.url, mint(shop, POWER), shop.namespaces[POWER.username])
    answer = client.put(f"{API}/api-keys", json={"source": "civitai", "api_key": KEY})
    assert answer.json() == {"sources_with_keys": ["civitai"]}
    return client


@pytest.fixture(scope="module")
def bob(shop: Gateway) -> Client:
    return Client(shop.url, session(shop, BOB))


# --- from asking to using ---------------------------------------------------------------------


def test_user_downloads_from_hugging_face_and_nobody_else_sees_the_model(
    worker: DownloadWorker, sites: Sites, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    content = safetensors(3_000_000, seed=1)
    sites.on_huggingface("org/repo", "alices.safetensors", content)
    job_id = ask(
        alice,
        source="huggingface",
        repo_id="org/repo",
        filename="alices.safetensors",
        folder_type="checkpoints",
    )
    job = ended(alice, job_id)
    assert job["status"] == "completed", job
    name = f"{alice.namespace}/alices.{alice.namespace[2:8]}.safetensors"
    assert job["destination"] == f"checkpoints/{name}"
    assert (job["sha256"], job["bytes_done"]) == (sha256(content), len(content))
    assert (job["progress_pct"], job["error"], job["repo_id"]) == (100.0, None, "org/repo")
    path = Path(comfy.base_dir) / "models/checkpoints" / name
    assert path.read_bytes() == content
    # Hers with the next look, and nobody else's.
    wait_until(lambda: name in alice.get("/models/checkpoints").json(), 6)
    assert name not in bob.get("/models/checkpoints").json()
    graph = {
        "5": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    assert alice.post("/prompt", json={"prompt": graph}).status_code == 200
    assert bob.post("/prompt", json={"prompt": graph}).status_code == 403


def test_user_downloads_from_civitai_with_a_key(
    worker: DownloadWorker, sites: Sites, power: Client, comfy: FakeComfyThread
) -> None:
    content = safetensors(500_000, seed=2)
    sites.on_civitai(4711, "nice lora.safetensors", content)
    job = ended(power, ask(power, source="civitai", model_version_id=4711))
    assert job["status"] == "completed", job
    # Who may see all models gets it where all look; the site says that it is a LoRA.
    assert job["destination"] == "loras/nice lora.safetensors"
    assert job["model_version_id"] == 4711
    path = Path(comfy.base_dir) / "models/loras/nice lora.safetensors"
    assert path.read_bytes() == content
    # The same again is there already.
    before = len(sites.storage.asked)
    again = ended(power, ask(power, source="civitai", modelVersionId="4711"))
    assert (again["status"], again["destination"]) == ("completed", job["destination"])
    assert len(sites.storage.asked) == before


def test_sharer_downloads_for_somebody_else_with_their_key(
    worker: DownloadWorker, sites: Sites, power: Client, shop: Gateway, bob: Client
) -> None:
    admin = Client(shop.url, session(shop, ADMIN))
    sites.on_huggingface("org/gift", "gift.safetensors", safetensors(1000, seed=3))
    wish = {"source": "huggingface", "repo_id": "org/gift", "filename": "gift.safetensors"}
    wish["folder_type"] = "vae"
    # What is known is as new as it can be: only the model itself makes the gateway look again.
    fresh = {"Cache-Control": "no-cache"}
    assert bob.get("/models/vae", headers=fresh).json() == []
    job = ended(admin, ask(admin, **wish, target_username=BOB.username))
    assert job["target_username"] == BOB.username
    wait_until(lambda: bob.get("/models/vae").json() != [], 6)
    (name,) = bob.get("/models/vae").json()
    assert job["destination"] == f"vae/{name}"
    check_refusal(
        power.post(f"{API}/download", json={**wish, "target_username": BOB.username}),
        403,
        "PERMISSION_DENIED",
        permission="can_manage_model_sharing",
    )
    answer = admin.post(f"{API}/download", json={**wish, "target_username": "nobody"})
    check_refusal(answer, 404, "NOT_FOUND")


# --- what goes wrong --------------------------------------------------------------------------


def test_download_that_the_site_refuses_says_what_to_do(
    worker: DownloadWorker, sites: Sites, alice: Client
) -> None:
    sites.huggingface.routes["/org/gated/resolve/main/m.safetensors"] = Reply(
        403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}
    )
    wish = {"source": "huggingface", "repo_id": "org/gated", "filename": "m.safetensors"}
    job = ended(alice, ask(alice, **wish))
    assert job["status"] == "failed"
    assert "accept" in job["error"] and "org/gated" in job["error"]
    assert job["can_cancel"] is False
    answer = alice.post(f"{API}/jobs/{job['job_id']}/cancel")
    check_refusal(answer, 400, "JOB_FINISHED")
    # Once it is put right, the same job is tried again.
    sites.on_huggingface("org/gated", "m.safetensors", safetensors(1000, seed=4))
    assert alice.post(f"{API}/jobs/{job['job_id']}/retry").status_code == 200
    assert ended(alice, job["job_id"])["status"] == "completed"


def test_bytes_that_are_not_the_models_are_never_kept(
    worker: DownloadWorker, sites: Sites, alice: Client, comfy: FakeComfyThread
) -> None:
    sites.on_huggingface("org/wrong", "wrong.safetensors", safetensors(1000, seed=5))
    other = safetensors(1000, seed=6)
    sites.storage.routes["/hf-wrong.safetensors"] = Reply(200, other)
    wish = {"source": "huggingface", "repo_id": "org/wrong", "filename": "wrong.safetensors"}
    job = ended(alice, ask(alice, **wish), 60)
    assert (job["status"], job["sha256"]) == ("failed", None)
    models = Path(comfy.base_dir) / "models"
    assert not list(models.rglob("*wrong*"))


def test_waiting_and_running_downloads_are_cancelled(
    shop: Gateway, worker: DownloadWorker, sites: Sites, alice: Client, comfy: FakeComfyThread
) -> None:
    sites.slow = 0.05
    try:
        jobs = []
        for number in range(4):
            name = f"slow{number}.safetensors"
            sites.on_huggingface("org/slow", name, safetensors(40_000_000, seed=7))
            wish = {"source": "huggingface", "repo_id": "org/slow", "filename": name}
            jobs.append(ask(alice, **wish))
        wait_until(lambda: job_of(alice, jobs[1])["bytes_done"] > 0, 20)
        # Two at once from this site; the others wait.
        states = [job_of(alice, job)["status"] for job in jobs]
        assert states == ["running", "running", "queued", "queued"]
        stats = alice.get(f"{API}/jobs").json()["stats"]
        assert stats == {
            "active_total": 2,
            "active_civitai": 0,
            "active_huggingface": 2,
            "pending_total": 2,
            "limit_total": 5,
            "limit_civitai": 3,
            "limit_huggingface": 2,
        }
        running = job_of(alice, jobs[0])
        assert running["total_bytes"] > 40_000_000 and running["can_cancel"]
        wait_until(lambda: job_of(alice, jobs[0])["speed_bps"] > 0, 10)
        assert job_of(alice, jobs[0])["eta_seconds"] > 0
        answer = alice.post(f"{API}/jobs/{jobs[3]}/cancel").json()
        assert answer["job"]["status"] == "cancelled"
        started = time.monotonic()
        for job in jobs[:3]:
            assert alice.post(f"{API}/jobs/{job}/cancel").status_code == 200
        for job in jobs:
            assert ended(alice, job)["status"] == "cancelled"
        assert time.monotonic() - started < 6
    finally:
        sites.slow = 0.0
    folder = Path(comfy.base_dir) / "models/checkpoints" / alice.namespace
    wait_until(lambda: not list(folder.glob("slow*")), 5)


def test_running_download_of_somebody_who_is_disabled_stops(
    shop: Gateway, worker: DownloadWorker, sites: Sites, comfy: FakeComfyThread
) -> None:
    dora = Person("dora", "user")
    shop.namespaces |= shop.run(CREATE, cast=[(dora.username, dora.role)], password=PASSWORD)
    shop.run(GIVE_CAPABILITY, username=dora.username)
    client = Client(shop.url, session(shop, dora))
    sites.on_huggingface("org/stop", "stopped.safetensors", safetensors(40_000_000, seed=9))
    sites.slow = 0.1
    try:
        wish = {"source": "huggingface", "repo_id": "org/stop", "filename": "stopped.safetensors"}
        job_id = ask(client, **wish)
        wait_until(lambda: job_of(client, job_id)["bytes_done"] > 0, 20)
        admin = Client(shop.url, session(shop, ADMIN))
        answer = admin.put(f"/mss-login/api/users/{dora.username}", json={"is_active": False})
        assert answer.status_code == 200, answer.text
        wait_until(lambda: shop.run(STATE, job_id=job_id) == ["failed", "PERMISSION_DENIED"], 15)
    finally:
        sites.slow = 0.0
    assert not list(Path(comfy.base_dir).rglob("stopped*"))


# --- the API's words --------------------------------------------------------------------------


def test_user_is_told_what_is_possible(alice: Client, power: Client) -> None:
    found = alice.get(f"{API}/sources").json()
    assert found["sources"] == ["civitai", "huggingface"]
    assert found["sources_with_keys"] == []
    capabilities = found["capabilities"]
    assert capabilities["destination_types"] == ["local"]
    assert capabilities["limits"] == {
        "active_total": 5,
        "active_civitai": 3,
        "active_huggingface": 2,
    }
    assert "model_version_id" in capabilities["civitai_fields"]
    assert "repo_id" in capabilities["huggingface_fields"]
    assert power.get(f"{API}/sources").json()["sources_with_keys"] == ["civitai"]
    assert {"checkpoints", "loras", "vae"} <= set(alice.get(f"{API}/folders").json()["folders"])
    assert alice.get(f"/api{API}/folders").status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "BAD_REQUEST", "source"),
        ({"source": "nope"}, 400, "BAD_REQUEST", "source"),
        ({"source": "civitai"}, 400, "BAD_REQUEST", "model_version_id"),
        ({"source": "huggingface"}, 400, "BAD_REQUEST", "repo_id"),
        ({"source": "civitai", "model_version_id": 1}, 400, "API_KEY_REQUIRED", None),
        (
            {
                "source": "huggingface",
                "repo_id": "a/b",
                "filename": "m.safetensors",
                "folder_type": "nope",
            },
            400,
            "BAD_REQUEST",
            "folder_type",
        ),
        (
            {
                "source": "huggingface",
                "repo_id": "a/b",
                "filename": "m.safetensors",
                "destination_type": "s3",
            },
            403,
            "S3_DISABLED",
            None,
        ),
        ([], 400, "BAD_REQUEST", None),
    ],
)
def test_user_asks_for_nonsense_and_is_refused(
    alice: Client, body: Any, status: int, code: str, field: str | None
) -> None:
    fields = {} if field is None else {"field": field}
    check_refusal(alice.post(f"{API}/download", json=body), status, code, **fields)


def test_anothers_and_unknown_downloads_are_not_found(
    alice: Client, power: Client, sites: Sites
) -> None:
    job_id = ask(alice, source="huggingface", repo_id="org/none", filename="x.safetensors")
    for client, key in ((power, job_id), (alice, "nope"), (alice, "0" * 32)):
        check_refusal(client.get(f"{API}/jobs/{key}"), 404, "NOT_FOUND")
        check_refusal(client.post(f"{API}/jobs/{key}/cancel"), 404, "NOT_FOUND")
    assert job_id not in str(power.get(f"{API}/jobs").json())
    alice.post(f"{API}/jobs/{job_id}/cancel")


def test_only_who_may_download_and_only_with_the_header(
    shop: Gateway, bob: Client, alice: Client
) -> None:
    for path in ("sources", "folders", "api-keys", "jobs"):
        check_refusal(
            bob.get(f"{API}/{path}"),
            403,
            "PERMISSION_DENIED",
            permission="can_download_models",
        )
        cookie = Browser(shop.url, alice.token)
        check_refusal(cookie.get(f"{API}/{path}"), 401, "AUTH_REQUIRED")
        query = Client(shop.url).get(f"{API}/{path}", params={"token": alice.token})
        check_refusal(query, 401, "AUTH_REQUIRED")


def test_keys_are_encrypted_and_never_told(power: Client, shop: Gateway) -> None:
    assert all(KEY not in value for value in shop.run(STORED_KEYS))
    assert KEY not in power.get(f"{API}/api-keys").text
    for bad in ({"source": "civitai"}, {"source": "nope", "api_key": "x"}, {"api_key": "x"}):
        assert power.put(f"{API}/api-keys", json=bad).status_code == 400
    admin = Browser(shop.url, session(shop, ADMIN))
    page = admin.get("/admin/downloads/sourcekey/").text
    assert POWER.username in page and KEY not in page
    temporary = {"source": "huggingface", "api_key": "hf_x"}
    assert power.put(f"{API}/api-keys", json=temporary).json()["sources_with_keys"] == [
        "civitai",
        "huggingface",
    ]
    power.put(f"{API}/api-keys", json={**temporary, "api_key": ""})
    assert power.get(f"{API}/api-keys").json()["sources_with_keys"] == ["civitai"]
