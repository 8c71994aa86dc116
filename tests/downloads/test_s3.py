"""Uploads into a bucket: whole, once, over nobody's object, cancelled at any time."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from downloads import s3
from downloads.errors import Cancelled
from downloads.s3 import CHUNK, Bucket, S3Failed, put
from tests.downloads.bucketserver import LOGIN, REGION, BucketServer
from tests.downloads.servers import sha256

FOLDER = "loras/u-1/"
KEY = "models/loras/u-1/model.safetensors"
SMALL = b"small" * 1000
LARGE = b"0123456789" * (CHUNK // 4)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    for name, value in (LOGIN | REGION).items():
        monkeypatch.setenv(name, value)
    with BucketServer() as server:
        yield server


class Uploader:
    def __init__(self, url: str, path: Path) -> None:
        self.bucket = Bucket("kept", "models/", url)
        self.path = path
        self.told: list[tuple[int, int | None]] = []

    def __call__(
        self, content: bytes, cancelled: Callable[[], bool] = lambda: False
    ) -> tuple[str, bool]:
        self.path.write_bytes(content)
        return put(
            self.bucket,
            FOLDER,
            self.path,
            sha256(content),
            progress=lambda done, total: self.told.append((done, total)),
            cancelled=cancelled,
        )


@pytest.fixture
def upload(store: BucketServer, tmp_path: Path) -> Uploader:
    return Uploader(store.url, tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_upload_arrives_whole_and_tells_its_progress(
    store: BucketServer, upload: Uploader, content: bytes
) -> None:
    assert upload(content) == ("model.safetensors", True)
    assert store.objects == {f"kept/{KEY}": (content, sha256(content))}
    assert store.uploads == {}
    done = [done for done, _ in upload.told]
    assert done == sorted(done)
    if content:
        assert upload.told[-1] == (len(content), len(content))


def test_upload_of_the_same_content_is_not_repeated(store: BucketServer, upload: Uploader) -> None:
    upload(SMALL)
    before = list(store.asked)
    assert upload(SMALL) == ("model.safetensors", False)
    assert store.asked == [*before, f"HEAD kept/{KEY}"]


def test_upload_beside_another_content_takes_a_free_name(
    store: BucketServer, upload: Uploader
) -> None:
    theirs = SMALL[::-1]
    store.objects[f"kept/{KEY}"] = theirs, sha256(theirs)
    assert upload(SMALL) == ("model (1).safetensors", True)
    assert store.objects[f"kept/{KEY}"][0] == theirs
    assert store.objects[f"kept/{KEY.replace('model.', 'model (1).')}"][0] == SMALL


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_upload_that_another_overtakes_leaves_theirs_alone(
    store: BucketServer, upload: Uploader, content: bytes
) -> None:
    store.rival = b"theirs"
    assert upload(content) == ("model (1).safetensors", True)
    assert store.objects[f"kept/{KEY}"][0] == b"theirs"
    assert len(store.objects) == 2


def test_cancelled_upload_leaves_nothing(store: BucketServer, upload: Uploader) -> None:
    calls = iter([False])
    with pytest.raises(Cancelled):
        upload(LARGE, lambda: next(calls, True))
    assert any("partNumber" in asked for asked in store.asked)
    assert store.objects == {}
    assert store.uploads == {}


def test_worker_that_ends_stops_the_upload_with_its_own_reason(
    store: BucketServer, upload: Uploader
) -> None:
    class Ends(Exception):
        pass

    def ends() -> bool:
        raise Ends

    with pytest.raises(Ends):
        upload(LARGE, ends)
    assert store.objects == {}


@pytest.mark.parametrize("status", [400, 403, 404, 412, 500])
def test_bucket_that_refuses_is_said_so(
    store: BucketServer, upload: Uploader, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    store.refusing = status
    with pytest.raises(S3Failed) as caught:
        upload(SMALL)
    assert "administrator" in caught.value.sentence
    assert len(store.asked) <= 2 * s3.MOST_LOOKS


def test_bucket_that_nobody_serves_is_said_so(
    store: BucketServer, upload: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    upload.bucket = Bucket("kept", "", "http://127.0.0.1:9")
    with pytest.raises(S3Failed):
        upload(SMALL)


def test_upload_is_taken_back_where_that_is_permitted(
    store: BucketServer, upload: Uploader, caplog: pytest.LogCaptureFixture
) -> None:
    name, _ = upload(SMALL)
    store.refusing = 403
    s3.remove(upload.bucket, f"{FOLDER}{name}")
    assert "stays in the bucket" in caplog.text
    store.refusing = None
    s3.remove(upload.bucket, f"{FOLDER}{name}")
    assert store.objects == {}
