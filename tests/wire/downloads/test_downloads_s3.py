"""Downloads into an S3 bucket, from asking to the object, with a real worker."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.accounts.acting import session
from tests.cast import ALICE, OWNER
from tests.chromium import complaints, log_in
from tests.client import Client
from tests.downloads.bucketserver import LOGIN, REGION, BucketServer
from tests.downloads.servers import safetensors, sha256
from tests.downloads.shop import API, GIVE_CAPABILITY, Sites, ask, ended, job_of
from tests.downloadworker import DownloadWorker
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.refusals import check_refusal, faults, wait_until


@pytest.fixture(scope="module")
def store() -> Iterator[BucketServer]:
    with BucketServer() as server:
        yield server


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory,
    comfy: FakeComfyThread,
    sites: Sites,
    store: BucketServer,
) -> Iterator[Gateway]:
    env = {
        "HF_ENDPOINT": sites.huggingface.url,
        "MSS_S3_BUCKET": "kept",
        "MSS_S3_ENDPOINT": store.url,
        **LOGIN,
        **REGION,
    }
    with serving(tmp_path_factory.mktemp("s3"), comfy.url, (OWNER, ALICE), **env) as server:
        server.run(GIVE_CAPABILITY, username=ALICE.username)
        yield server
        assert faults(server.log(), [LOGIN["AWS_SECRET_ACCESS_KEY"]]) == []


@pytest.fixture(scope="module")
def worker(shop: Gateway) -> Iterator[DownloadWorker]:
    with DownloadWorker(shop) as running:
        yield running
    assert faults(running.log(), [LOGIN["AWS_SECRET_ACCESS_KEY"]]) == []


@pytest.fixture(scope="module")
def alice(shop: Gateway) -> Client:
    return Client(shop.url, session(shop, ALICE), shop.namespaces[ALICE.username])


def wish(name: str) -> dict[str, str]:
    return {"source": "huggingface", "repo_id": "org/s3", "filename": name, "folder_type": "loras"}


def named(alice: Client, stem: str) -> str:
    """A file in Alice's folder."""
    return f"{alice.namespace}/{stem}.{alice.namespace[2:8]}.safetensors"


def left_behind(shop: Gateway) -> list[str]:
    """Names of files on their way to the bucket."""
    places = (shop.data_dir / "downloads").rglob("*")
    return [path.name for path in places if path.is_file() and path.name != ".lock"]


def test_user_downloads_into_the_bucket(
    worker: DownloadWorker, shop: Gateway, sites: Sites, alice: Client, store: BucketServer
) -> None:
    content = safetensors(20_000_000, seed=40)
    sites.on_huggingface("org/s3", "kept.safetensors", content)
    found = alice.get(f"{API}/sources").json()["capabilities"]["destination_types"]
    assert found == ["s3"]
    assert "loras" in alice.get(f"{API}/folders").json()["folders"]
    job = ended(alice, ask(alice, **wish("kept.safetensors"), destination_type="s3"))
    assert job["status"] == "completed", job
    key = f"kept/models/loras/{named(alice, 'kept')}"
    assert (job["destination"], job["destination_type"]) == (f"s3://{key}", "s3")
    assert (job["sha256"], job["progress_pct"]) == (sha256(content), 100.0)
    assert store.objects[key] == (content, sha256(content))
    assert left_behind(shop) == []
    # Hers as soon as the bucket is one of ComfyUI's folders.
    owner = Client(shop.url, session(shop, OWNER))
    grants = owner.get(f"/mss-login/api/users/{ALICE.username}/shared-items").json()["items"]
    given = [(grant["folder"], grant["item_name"]) for grant in grants]
    assert given == [("loras", named(alice, "kept"))]


def test_user_without_a_models_folder_is_told_so(alice: Client) -> None:
    answer = alice.post(f"{API}/download", json=wish("kept.safetensors"))
    check_refusal(answer, 503, "DOWNLOADS_NOT_SET_UP")


def test_cancelled_upload_leaves_nothing(
    worker: DownloadWorker, shop: Gateway, sites: Sites, alice: Client, store: BucketServer
) -> None:
    sites.on_huggingface("org/s3", "dropped.safetensors", safetensors(40_000_000, seed=41))
    store.slow = 0.02
    job_id = ask(alice, **wish("dropped.safetensors"), destination_type="s3")
    wait_until(lambda: store.uploads, 20)
    assert alice.post(f"{API}/jobs/{job_id}/cancel").status_code == 200
    assert ended(alice, job_id)["status"] == "cancelled"
    store.slow = 0.0
    wait_until(lambda: not store.uploads, 10)
    assert not any("dropped" in key for key in store.objects)
    assert left_behind(shop) == []


def test_refused_upload_is_gone_on_with_when_tried_again(
    worker: DownloadWorker, shop: Gateway, sites: Sites, alice: Client, store: BucketServer
) -> None:
    content = safetensors(1_000_000, seed=42)
    sites.on_huggingface("org/s3", "again.safetensors", content)
    store.refusing = 403
    job_id = ask(alice, **wish("again.safetensors"), destination_type="s3")
    job = ended(alice, job_id)
    assert job["status"] == "failed"
    assert "Tell the administrator" in job["error"]
    assert [f"{alice.namespace}/{name}" for name in left_behind(shop)] == [named(alice, "again")]
    store.refusing = None
    before = len(sites.storage.asked)
    assert alice.post(f"{API}/jobs/{job_id}/retry").status_code == 200
    wait_until(lambda: job_of(alice, job_id)["status"] == "completed", 20)
    # What had been downloaded was still there.
    assert len(sites.storage.asked) == before
    assert store.objects[f"kept/models/loras/{named(alice, 'again')}"][0] == content
    assert left_behind(shop) == []


def test_upload_of_a_killed_worker_is_done_again_once(
    shop: Gateway, worker: DownloadWorker, sites: Sites, alice: Client, store: BucketServer
) -> None:
    content = safetensors(40_000_000, seed=43)
    sites.on_huggingface("org/s3", "killed.safetensors", content)
    store.slow = 0.02
    job_id = ask(alice, **wish("killed.safetensors"), destination_type="s3")
    wait_until(lambda: store.uploads, 20)
    worker.kill()
    store.slow = 0.0
    with DownloadWorker(shop) as second:
        # The lease of the first has to run out.
        wait_until(lambda: second.wake() or not job_of(alice, job_id)["can_cancel"], 60)
        job = job_of(alice, job_id)
    assert job["status"] == "completed", job
    key = f"kept/models/loras/{named(alice, 'killed')}"
    assert store.objects[key] == (content, sha256(content))
    assert len([asked for asked in store.asked if asked == f"POST {key}?uploadId"]) == 1


def test_person_chooses_the_bucket_on_the_page(shop: Gateway, chromium_page: Page) -> None:
    log_in(chromium_page, shop.url, session(shop, ALICE))
    wrong = complaints(chromium_page)
    chromium_page.goto(f"{shop.url}/account/downloads")
    expect(chromium_page.get_by_label("Onto")).to_have_value("s3")
    expect(chromium_page.get_by_text("Downloads are not set up")).to_have_count(0)
    assert wrong == []
