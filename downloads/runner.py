"""One download from claim to end: resolve, transfer, give. Runs in a worker's thread."""

import logging
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import Final

from django.conf import settings
from django.db import close_old_connections, transaction

from accounts import granting
from accounts.capabilities import Capability
from accounts.models import User
from accounts.services import capabilities_of
from downloads import bucket, folders, paths, queue, services
from downloads.errors import DownloadError
from downloads.models import DownloadJob
from downloads.queue import Progress, Sign
from downloads.retry import Backoff, persist
from downloads.sites import new_web, source_of
from downloads.sources import BadWish
from downloads.transfer import Done, transfer

logger = logging.getLogger(__name__)

# Also the longest that a cancelled job goes on.
BEAT_SECONDS: Final = 1.0


class Interrupted(DownloadError):
    """This worker ends, or is not the job's any more. What has arrived stays."""

    code = "INTERRUPTED"
    sentence = "The download was interrupted and goes on soon."


@dataclass(frozen=True, slots=True)
class Stored:
    """What a download came to: `item` is its name as ComfyUI lists it in the folder."""

    done: Done
    folder_type: str
    item: str
    destination: str


class _Lease:
    """Says that the job lives, once a second, and hears whether it is to stop."""

    def __init__(self, job: DownloadJob, worker: str) -> None:
        self._job_id, self._worker = job.job_id, worker
        self._progress = Progress(job.bytes_done, job.total_bytes, 0.0)
        self._seen = (monotonic(), job.bytes_done)
        self._over = threading.Event()
        self.sign = Sign.GO_ON
        self._thread = threading.Thread(target=self._beat, name=f"lease-{job.job_id}", daemon=True)

    def __enter__(self) -> "_Lease":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, done: int, total: int | None) -> None:
        """How far the transfer is; written down with the next beat."""
        then, before = self._seen
        passed = monotonic() - then
        speed = self._progress.speed_bps
        if passed >= BEAT_SECONDS:
            self._seen = monotonic(), done
            now = max(0, done - before) / passed
            speed = now if speed == 0 else 0.7 * speed + 0.3 * now
        self._progress = Progress(done, total, speed)

    def is_cancelled(self) -> bool:
        """Whether the transfer is to end for good.

        Raises:
            Interrupted: it is to end here, and to go on elsewhere or later
        """
        if self.sign is Sign.LOST or _stopping.is_set():
            raise Interrupted
        return self.sign is Sign.CANCEL

    def _beat(self) -> None:
        try:
            while not self._over.wait(BEAT_SECONDS):
                self.sign = queue.alive(self._job_id, self._worker, self._progress)
                if self.sign is Sign.LOST:
                    return
        except Exception:
            # Without a lease another worker takes the job: this one must not go on.
            logger.exception("the lease of download %s could not be extended", self._job_id)
            self.sign = Sign.LOST
        finally:
            close_old_connections()


# Set when the worker process ends: its jobs go back into the queue.
_stopping = threading.Event()


def stop() -> None:
    """Have all transfers of this process end soon, and their jobs put back."""
    _stopping.set()


def run_all() -> int:
    """Run jobs until there is none that may be begun; how many were run."""
    number = 0
    while not _stopping.is_set():
        worker = uuid.uuid4().hex
        job = queue.claim(worker)
        if job is None:
            return number
        run(job, worker)
        number += 1
    return number


def run(job: DownloadJob, worker: str) -> None:
    """Run one claimed job to its end, whatever that is."""
    with _Lease(job, worker) as lease:
        try:
            stored = _fetched(job, worker, lease)
        except (DownloadError, BadWish) as error:
            _not_done(job, worker, lease, error)
            return
        except Exception:
            logger.exception("download %s failed", job.job_id)
            queue.failed(job.job_id, worker, error="The server failed at this.", code="INTERNAL")
            return
        _completed(job, worker, stored)


def _fetched(job: DownloadJob, worker: str, lease: _Lease) -> Stored:
    to_bucket = job.destination_type == services.S3
    if not (bucket.is_set_up() if to_bucket else folders.all_folders()):
        missing = services.S3Disabled if to_bucket else services.NotSetUp
        raise DownloadError(missing.sentence, code=missing.code)
    source, web = source_of(job.source), new_web(lease.is_cancelled)
    try:
        key = services.key_of(job.target_id, job.source)
        wanted = source.parse(job.wanted)
        remote = persist(
            lambda: source.resolve(wanted, key, web),
            backoff=Backoff(),
            cancelled=lease.is_cancelled,
        )
        folder_type = job.folder_type or folders.named(remote.folder_type or "") or folders.FALLBACK
        name, own = paths.safe_name(remote.filename), _own_folder(job.target)
        if own:
            name = paths.marked(name, job.target.namespace)
        below = f"{folder_type}/{own}"
        destination = bucket.address(below + name) if to_bucket else below + name
        known = {"folder_type": folder_type, "filename": name, "destination": destination}
        queue.note(job.job_id, worker, total_bytes=remote.size, **known)

        def fetch(target: Path, others: Sequence[Path] = ()) -> Done:
            return transfer(
                remote,
                target,
                others=others,
                # Not the job's id: who asks for the same again goes on with what is there.
                job=f"{job.target_id} {remote.identity}",
                web=web,
                key=key,
                progress=lease.tell,
                cancelled=lease.is_cancelled,
                allow_pickle=settings.MSS_ALLOW_PICKLE_MODELS,
            )

        if to_bucket:
            done, stored_as = bucket.store(
                remote,
                below,
                name,
                owner=job.target_id,
                fetch=fetch,
                progress=lease.tell,
                cancelled=lease.is_cancelled,
            )
            item = f"{own}{stored_as}"
            return Stored(done, folder_type, item, bucket.address(f"{folder_type}/{item}"))
        places = folders.places(folder_type)
        # Of equal names in these folders ComfyUI opens the first it finds. A folder of one's own
        # is in none of the others.
        done = fetch(places[0] / own / name, () if own else places[1:])
        root = next(place for place in places if done.path.is_relative_to(place))
        item = done.path.relative_to(root).as_posix()
        return Stored(done, folder_type, item, f"{folder_type}/{item}")
    finally:
        web.close()


def _own_folder(target: User) -> str:
    """Where the files of a user lie who must not use the others': empty, or with a slash."""
    sees_all = Capability.VIEW_ALL_COMFYUI_ITEMS in capabilities_of(target)
    return "" if sees_all else f"{target.namespace}/"


def _completed(job: DownloadJob, worker: str, stored: Stored) -> None:
    """The end and the grant together: who is told that it is there can use it."""
    done = stored.done
    with transaction.atomic():
        facts = {
            "sha256": done.sha256,
            "bytes_done": done.size,
            "total_bytes": done.size,
            "filename": PurePosixPath(stored.item).name,
            "destination": stored.destination,
        }
        if not queue.completed(job.job_id, worker, **facts):
            return
        # In the bucket only a folder of one's own keeps a name from being that of another model
        # on ComfyUI's disk. Who has none may use all models anyway.
        is_theirs = job.destination_type == services.LOCAL or "/" in stored.item
        if is_theirs:
            granting.grant(
                job.target, [granting.item(stored.folder_type, stored.item)], actor=job.user
            )


def _not_done(job: DownloadJob, worker: str, lease: _Lease, error: DownloadError | BadWish) -> None:
    if lease.sign is Sign.CANCEL:
        queue.cancelled(job.job_id, worker)
    elif lease.sign is Sign.LOST:
        logger.warning("download %s is another worker's by now", job.job_id)
    elif _stopping.is_set():
        queue.put_back(job.job_id, worker)
    else:
        code = error.code if isinstance(error, DownloadError) else "BAD_REQUEST"
        logger.info("download %s failed: %s", job.job_id, error.sentence)
        queue.failed(job.job_id, worker, error=error.sentence, code=code)
