"""Downloads whose worker is killed or stopped, on both brokers and databases: they go on, once.
And searches while a site hangs."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from accounts.dbthread import THREADS
from tests.accounts.acting import session
from tests.cast import ADMIN, ALICE, OWNER, POWER
from tests.client import Client
from tests.downloads.servers import Asked, Reply, json_reply, safetensors
from tests.downloads.shop import API, Sites, ask, downloading, ended, job_of
from tests.downloadworker import DownloadWorker
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import EMBEDDED, Gateway
from tests.refusals import check_refusal, wait_until
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
        env = {EMBEDDED: "1"}
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


# How many connections to the database there are, this script's own included. The gateway keeps
# some: one for each thread of `accounts.dbthread`, made when it is first needed.
KEPT = THREADS + 1 + 1
CONNECTIONS = """
from django.db import connection
result = 0
if connection.vendor == "postgresql":
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_stat_activity where datname = current_database()")
        result = cursor.fetchone()[0]
"""


def test_searches_at_a_site_that_hangs_are_few_and_hold_no_connection(
    shop: Gateway, sites: Sites, alice: Client
) -> None:
    hanging = threading.Event()

    def hang(asked: Asked) -> Reply:
        hanging.wait(30)
        return json_reply([])

    sites.huggingface.routes["/api/models"] = hang
    begun = len(sites.huggingface.asked_for("/api/models"))
    path = f"{API}/search?source=huggingface&query=x"
    tokens = [alice.token, *(session(shop, person) for person in (OWNER, ADMIN, POWER))]
    # A session each: a client is no thread's but its own. More searches than connections kept.
    clients = [Client(shop.url, token) for token in tokens for _ in range(2)]
    assert len(clients) > KEPT
    with ThreadPoolExecutor(len(clients)) as threads:
        try:
            found = [threads.submit(client.get, path) for client in clients]
            asked = begun + len(clients)
            wait_until(lambda: len(sites.huggingface.asked_for("/api/models")) == asked, 10)
            answer = alice.get(path)
            check_refusal(answer, 429, "THROTTLED")
            assert int(answer.headers["Retry-After"]) > 0
            # Other requests come and go meanwhile: what is held by a search stays.
            wait_until(lambda: shop.run(CONNECTIONS) <= KEPT, 10)
        finally:
            hanging.set()
        assert [each.result().status_code for each in found] == [200] * len(clients)
    assert alice.get(path).json() == {"models": []}


FILL = """
from accounts.models import User
from downloads.models import DownloadJob
user = User.objects.get(username=username)
make = DownloadJob.objects.create
rows = [make(user=user, target=user, source="huggingface", status=status) for status in states]
result = [str(row.pk) for row in rows]
"""
EMPTY = """
from downloads.models import DownloadJob
DownloadJob.objects.all().delete()
result = None
"""


def test_asking_and_retrying_at_once_never_make_too_many(shop: Gateway, alice: Client) -> None:
    wish = {"source": "huggingface", "repo_id": "org/many", "filename": "m.safetensors"}
    failed = shop.run(FILL, username=ALICE.username, states=["failed"] * 6)
    shop.run(FILL, username=ALICE.username, states=["queued"] * 48)
    asks = [(f"{API}/jobs/{job_id}/retry", {}) for job_id in failed] + [
        (f"{API}/download", wish)
    ] * 6
    clients = [Client(shop.url, alice.token) for _ in asks]
    try:
        with ThreadPoolExecutor(len(asks)) as threads:
            answers = list(threads.map(lambda c, ask: c.post(ask[0], json=ask[1]), clients, asks))
        assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 10
        assert alice.get(f"{API}/jobs").json()["stats"]["pending_total"] == 50
    finally:
        shop.run(EMPTY)
