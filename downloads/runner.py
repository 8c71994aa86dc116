"""One download from claim to end: resolve, transfer, give. Runs in a worker's thread."""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.db import transaction

from accounts import granting
from accounts.capabilities import Capability
from accounts.models import User
from accounts.ranks import capabilities_of
from accounts.sentences import english
from downloads import bucket, folders, notices, paths, queue, rights, services
from downloads.errors import Cancelled, DownloadError, NotAllowed
from downloads.lease import Interrupted, Lease, is_stopping
from downloads.models import DownloadJob
from downloads.queue import Sign
from downloads.retry import Backoff, persist
from downloads.sites import new_web, source_of
from downloads.sources import BadWish
from downloads.texts import clean
from downloads.transfer import Done, transfer

logger = logging.getLogger(__name__)

Status = DownloadJob.Status


@dataclass(frozen=True, slots=True)
class Stored:
    """What a download came to: `item` is its name as ComfyUI lists it in the folder. `undo` takes
    it away again; None where it had been there before."""

    done: Done
    folder_type: str
    item: str
    destination: str
    undo: Callable[[], None] | None


def run_all() -> int:
    """Run jobs until there is none that may be begun; how many were run."""
    number = 0
    while not is_stopping():
        worker = uuid.uuid4().hex
        job = queue.claim(worker)
        if job is None:
            return number
        run(job, worker)
        number += 1
    return number


def run(job: DownloadJob, worker: str) -> None:
    """Run one claimed job to its end, whatever that is."""
    with Lease(job, worker) as lease:
        try:
            try:
                _completed(job, worker, _fetched(job, worker, lease))
            except (DownloadError, BadWish) as error:
                _not_done(job, worker, lease, error)
        except Exception:
            # Whatever it was: a job that keeps its lease would be begun again and again.
            logger.exception("download %s failed", job.job_id)
            queue.failed(
                job.job_id, worker, error=english("The server failed at this."), code="INTERNAL"
            )


def _fetched(job: DownloadJob, worker: str, lease: Lease) -> Stored:
    rights.judge(job)
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
            done, stored_as, is_new = bucket.store(
                remote,
                below,
                name,
                owner=job.target_id,
                fetch=fetch,
                progress=lease.tell,
                cancelled=lease.is_cancelled,
            )
            item = f"{own}{stored_as}"
            undo = partial(bucket.remove, f"{below}{stored_as}") if is_new else None
            return Stored(done, folder_type, item, bucket.address(f"{folder_type}/{item}"), undo)
        places = folders.places(folder_type)
        # Of equal names in these folders ComfyUI opens the first it finds. A folder of one's own
        # is in none of the others.
        done = fetch(places[0] / own / name, () if own else places[1:])
        root = next(place for place in places if done.path.is_relative_to(place))
        item = done.path.relative_to(root).as_posix()
        undo = None if done.already_there else partial(done.path.unlink, missing_ok=True)
        return Stored(done, folder_type, item, f"{folder_type}/{item}", undo)
    finally:
        web.close()


def _own_folder(target: User) -> str:
    """Where the files of a user lie who must not use the others': empty, or with a slash."""
    sees_all = Capability.VIEW_ALL_COMFYUI_ITEMS in capabilities_of(target)
    return "" if sees_all else f"{target.namespace}/"


def _completed(job: DownloadJob, worker: str, stored: Stored) -> None:
    """The end and the grant together: who is told that it is there can use it.

    Raises:
        NotAllowed, Cancelled, Interrupted: nobody was given it, nor is it left for anybody
    """
    done = stored.done
    facts = {
        "sha256": done.sha256,
        "bytes_done": done.size,
        "total_bytes": done.size,
        "filename": PurePosixPath(stored.item).name,
        "destination": stored.destination,
    }
    try:
        with transaction.atomic():
            rights.judge(job)
            if not queue.completed(job.job_id, worker, **facts):
                is_mine = queue.alive(job.job_id, worker, None) is Sign.CANCEL
                raise Cancelled if is_mine else Interrupted
            # In the bucket only a folder of one's own keeps a name from being that of another
            # model on ComfyUI's disk. Who has none may use all models anyway.
            is_theirs = job.destination_type == services.LOCAL or "/" in stored.item
            if is_theirs:
                item = granting.item(stored.folder_type, stored.item)
                granting.grant(job.target, [item], actor=job.user)
    except DownloadError as error:
        if stored.undo is not None and not _is_anothers(job, stored, error):
            stored.undo()
        raise
    notices.came()


def _is_anothers(job: DownloadJob, stored: Stored, error: DownloadError) -> bool:
    """Whether a file is of use to somebody although this worker may not hand it over."""
    rows = DownloadJob.objects
    # Asked for twice, and found by the second.
    if rows.filter(destination=stored.destination, status=Status.COMPLETED).exists():
        return True
    # The next worker finds it; but not for a job that ended, or went with its user.
    lost = isinstance(error, Interrupted)
    return lost and rows.filter(pk=job.pk, status__in=DownloadJob.ACTIVE).exists()


def _not_done(job: DownloadJob, worker: str, lease: Lease, error: DownloadError | BadWish) -> None:
    if lease.sign is Sign.CANCEL or isinstance(error, Cancelled):
        queue.cancelled(job.job_id, worker)
    elif lease.sign is Sign.LOST:
        logger.warning("download %s is another worker's by now", job.job_id)
    elif is_stopping() and not isinstance(error, NotAllowed):
        queue.put_back(job.job_id, worker)
    else:
        code = error.code if isinstance(error, DownloadError) else "BAD_REQUEST"
        logger.info("download %s failed: %s", job.job_id, clean(error.sentence))
        queue.failed(job.job_id, worker, error=error.sentence, code=code)
