"""/healthz, /readyz and /metrics: open to those they are for, telling nothing of anybody."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.cast import ALICE
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import EMBEDDED, Gateway, free_port, serving
from tests.prompts import save, submit
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log", "calm")

TOKEN = "metrics-token-metrics-token"
PARTS = {"database", "comfyui", "comfyui_worker", "broker", "worker", "downloader"}
PROBES = ("/healthz", "/readyz", "/metrics")

TICK = """
from django.utils import timezone
from mssproject.models import TaskRun
TaskRun.objects.update_or_create(task=task, defaults={"started_at": timezone.now()})
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of another name, that wants https, with a token for the metrics, and without
    ComfyUI."""
    url = f"http://127.0.0.1:{free_port()}"
    settings = {
        "MSS_FORCE_HTTPS": "true",
        "MSS_ALLOWED_HOSTS": "studio.example",
        "MSS_METRICS_TOKEN": TOKEN,
        EMBEDDED: "1",
    }
    with serving(tmp_path_factory.mktemp("strict"), url, (ALICE,), **settings) as server:
        yield server


def test_anybody_learns_what_works_and_nothing_of_anybody(anonymous: Client, alice: Client) -> None:
    prompt_id = submit(alice, save())
    answer = anonymous.get("/readyz", headers={"Cookie": "jwt_token=nonsense"})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"status", *PARTS}
    assert (body["database"], body["comfyui"], body["broker"]) == ("ok", "ok", "ok")
    assert not [word for word in ("alice", prompt_id, alice.namespace) if word in answer.text]
    assert anonymous.head("/readyz").status_code == 200


def test_balancer_learns_that_the_process_lives_whatever_else_does_not(strict: Gateway) -> None:
    """By address, over http, under another name; ComfyUI is away, no worker runs."""
    answer = requests.get(f"{strict.url}/healthz", timeout=5)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    ready = requests.get(f"{strict.url}/readyz", timeout=15)
    assert ready.status_code == 503
    found = ready.json()
    assert (found["status"], found["database"]) == ("unavailable", "ok")
    assert found["comfyui"] != "ok"
    assert found["worker"].startswith("No worker")
    # Everything else wants to be asked as it should be.
    assert requests.get(f"{strict.url}/queue", timeout=5).status_code == 400


def test_monitor_learns_which_workers_are_there(tmp_path: Path, comfy: FakeComfyThread) -> None:
    with serving(tmp_path, comfy.url, ()) as server:
        server.run(TICK, task="comfyproxy.tasks.reconcile_prompts")
        found = requests.get(f"{server.url}/readyz", timeout=10).json()
    assert found["worker"] == "ok"
    assert found["downloader"].startswith("No worker")


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused_as_json(method: str, path: str, anonymous: Client) -> None:
    answer = anonymous.request(method, path)
    check_refusal(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["{}/", "/api{}", "/{}", "{}/."])
@pytest.mark.parametrize("probe", PROBES)
def test_another_spelling_is_no_way_around_the_login(
    path: str, probe: str, anonymous: Client
) -> None:
    assert anonymous.get(path.format(probe)).status_code in (400, 401, 404)


# --- whose metrics are they ---------------------------------------------------------------------


def test_this_machine_reads_the_metrics_without_a_token(anonymous: Client) -> None:
    answer = anonymous.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'mss_up{part="database"} 1.0' in answer.text


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"])
def test_strangers_client_behind_a_proxy_of_this_machine_is_refused(
    header: str, anonymous: Client
) -> None:
    check_refusal(anonymous.get("/metrics", headers={header: "8.8.8.8"}), 403, "PERMISSION_DENIED")


def test_with_a_token_only_the_token_counts(strict: Gateway) -> None:
    client = Client(strict.url)
    check_refusal(client.get("/metrics"), 401, "AUTH_REQUIRED")
    for wrong in (f"Bearer {TOKEN}x", "Bearer ", f"Bearer {'é' * 20}".encode()):
        answer = client.get("/metrics", headers={"Authorization": wrong})
        check_refusal(answer, 401, "TOKEN_INVALID")
    # A stranger's machine with the token is welcome; a user's login is none.
    right = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "8.8.8.8"}
    assert "mss_up" in client.get("/metrics", headers=right).text
    assert client.get(f"/metrics?token={TOKEN}").status_code == 401
    assert TOKEN not in strict.log()
