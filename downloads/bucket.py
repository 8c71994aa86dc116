"""Downloads that end in the S3 bucket: brought here whole and verified first, then uploaded."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.conf import settings

from downloads import s3
from downloads.disk import disk_error, lock
from downloads.errors import DownloadError, InUse
from downloads.remote import RemoteFile
from downloads.retry import Backoff, persist
from downloads.transfer import Done

_LOCK: Final = ".lock"


def is_set_up() -> bool:
    """Whether there is a bucket, and boto3 to reach it."""
    return settings.MSS_S3_BUCKET is not None and s3.is_installed()


def address(below: str) -> str:
    """A file in the bucket's folder as people name it."""
    found = _bucket()
    return f"s3://{found.name}/{found.prefix}{below}"


def store(
    remote: RemoteFile,
    folder: str,
    name: str,
    *,
    owner: int,
    fetch: Callable[[Path], Done],
    progress: Callable[[int, int | None], None],
    cancelled: Callable[[], bool],
) -> tuple[Done, str, bool]:
    """Downloads a file and puts it into the bucket.

    Args:
        folder: the bucket's folder below its prefix; ends with a slash
        owner: whose file it is; the same file of the same owner is gone on with after a failure
        fetch: downloads to a path

    Returns:
        (what was downloaded, the name that it has there, whether it is new there)

    Raises:
        DownloadError
    """
    identity = hashlib.sha256(f"{owner} {remote.identity}".encode()).hexdigest()[:32]
    place = staging() / identity
    try:
        held = persist(lambda: _hold(place), backoff=Backoff(), cancelled=cancelled)
        try:
            done = fetch(place / name)
            stored_as, is_new = _upload(done, folder, progress, cancelled)
        finally:
            os.close(held)
    except OSError as error:
        raise disk_error(error) from error
    return done, stored_as, is_new


def remove(below: str) -> None:
    """Takes a file out of the bucket's folder again."""
    s3.remove(_bucket(), below)


def _upload(
    done: Done,
    folder: str,
    progress: Callable[[int, int | None], None],
    cancelled: Callable[[], bool],
) -> tuple[str, bool]:
    # Not too old for as long as it is on its way.
    os.utime(done.path)
    try:
        found = s3.put(
            _bucket(),
            folder,
            done.path,
            done.sha256,
            progress=progress,
            cancelled=cancelled,
        )
    except DownloadError as error:
        if not error.keeps_part:
            done.path.unlink(missing_ok=True)
        raise
    done.path.unlink(missing_ok=True)
    return found


def _bucket() -> s3.Bucket:
    found: s3.Bucket | None = settings.MSS_S3_BUCKET
    assert found is not None, "asked for where none is set up"
    return found


def staging() -> Path:
    """Where files are on their way to the bucket, each in a folder of its own."""
    found: Path = settings.MSS_DATA_DIR / "downloads"
    return found


def remove_old(older_than: float) -> int:
    """Removes what did not reach the bucket and nobody touched for so many seconds."""
    removed = 0
    for place in staging().glob("*/"):
        try:
            held = _hold(place)
        except (InUse, OSError):
            continue
        try:
            if all(time.time() - path.stat().st_mtime > older_than for path in place.iterdir()):
                shutil.rmtree(place)
                removed += 1
        except OSError:
            continue
        finally:
            os.close(held)
    return removed


def _hold(place: Path) -> int:
    """The open lock of a folder here. Raises OSError, InUse."""
    place.mkdir(parents=True, exist_ok=True)
    fd = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lock(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd
