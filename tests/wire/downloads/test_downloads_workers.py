"""Downloads whose worker is killed or stopped, on both brokers and databases: they go on, once."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.accounts.acting import session
from tests.cast import ALICE
from tests.client import Client
from tests.downloads.servers import safetensors
from tests.downloads.shop import Sites, ask, downloading, ended, job_of
from tests.downloadworker import DownloadWorker
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.refusals import wait_until
from tests.services import own_database

# Not the one that other tests empty.
REDIS = "redis://127.0.0.1:6379/8"


@pytest.fixture(scope="module", params=["embedded", "redis"])
def shop(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    comfy: FakeComfyThread,
    sites: Sites,
) -> Iterator[Gateway]:
    """On what is embedded, and on PostgreSQL and Redis."""
    with ExitStack() as stack:
        env = {}
        if request.param == "redis":
            env = {"DATABASE_URL": stack.enter_context(own_database()), "REDIS_URL": REDIS}
        folder = tmp_path_factory.mktemp("workers")
        yield stack.enter_context(downloading(folder, comfy, sites, **env))


@pytest.fixture
def alice(shop: Gateway) -> Client:
    return Client(shop.url, session(shop, ALICE), shop.namespaces[ALICE.username])


@pytest.fixture
def name() -> str:
    """What no other test has downloaded."""
    return f"{uuid.uuid4().hex}.safetensors"


def test_download_of_a_killed_worker_goes_on_once_where_it_was(
    shop: Gateway, sites: Sites, alice: Client, comfy: FakeComfyThread, name: str
) -> None:
    content = safetensors(30_000_000, seed=8)
    sites.on_huggingface("org/kill", name, content)
    wish = {"source": "huggingface", "repo_id": "org/kill", "filename": name}
    sites.slow = 0.02
    job_id = ask(alice, **wish)
    with DownloadWorker(shop) as first:
        wait_until(lambda: job_of(alice, job_id)["bytes_done"] > 5_000_000, 30)
        first.kill()
    sites.slow = 0.0
    before = len(sites.storage.asked_for(f"/hf-{name}"))
    with DownloadWorker(shop) as second, DownloadWorker(shop) as third:

        def is_ended() -> bool:
            second.wake()
            third.wake()
            return not job_of(alice, job_id)["can_cancel"]

        wait_until(is_ended, 40)
    job = job_of(alice, job_id)
    assert job["status"] == "completed", job
    path = Path(comfy.base_dir) / "models" / job["destination"]
    assert path.read_bytes() == content
    asked = sites.storage.asked_for(f"/hf-{name}")[before:]
    (resumed,) = asked
    start = int(resumed.headers["Range"].removeprefix("bytes=").rstrip("-"))
    assert start >= 5_000_000
    assert len(list(path.parent.glob(f"{name.partition('.')[0]}*"))) == 1


def test_worker_that_is_stopped_gives_its_download_back_and_loses_nothing(
    shop: Gateway, sites: Sites, alice: Client, comfy: FakeComfyThread, name: str
) -> None:
    content = safetensors(30_000_000, seed=9)
    sites.on_huggingface("org/stop", name, content)
    wish = {"source": "huggingface", "repo_id": "org/stop", "filename": name}
    sites.slow = 0.02
    job_id = ask(alice, **wish)
    with DownloadWorker(shop) as first:
        wait_until(lambda: job_of(alice, job_id)["bytes_done"] > 5_000_000, 30)
        first.stop()
    assert job_of(alice, job_id)["status"] == "queued"
    sites.slow = 0.0
    with DownloadWorker(shop):
        job = ended(alice, job_id)
    assert job["status"] == "completed", job
    assert (Path(comfy.base_dir) / "models" / job["destination"]).read_bytes() == content
    first_try, second_try = sites.storage.asked_for(f"/hf-{name}")
    assert "Range" not in first_try.headers and "Range" in second_try.headers
