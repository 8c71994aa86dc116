"""Fetches one remote file to its place: resumed, verified, never half, never over another file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from downloads.contentcheck import check_format
from downloads.contents import find_same, same_content
from downloads.disk import disk_error
from downloads.errors import DownloadError
from downloads.fetch import Fetch, Limits
from downloads.part import Part
from downloads.remote import RemoteFile
from downloads.retry import Backoff, persist
from downloads.web import Web


@dataclass(frozen=True, slots=True)
class Done:
    """The finished file; `already_there` if nothing had to be added to the folder."""

    path: Path
    size: int
    sha256: str
    already_there: bool = False


def transfer(
    remote: RemoteFile,
    target: Path,
    *,
    others: Sequence[Path] = (),
    job: str,
    web: Web,
    key: str | None = None,
    progress: Callable[[int, int | None], None],
    cancelled: Callable[[], bool],
    allow_pickle: bool,
    limits: Limits | None = None,
) -> Done:
    """Downloads a file.

    Args:
        target: where to; a name made safe by the caller, in a folder that is made if missing
        others: folders whose files would hide the target's or be hidden by it: their names are
            taken, and their contents there already
        job: names the part; the same `job` and target with the same content resumes it
        key: used where `remote.headers` holds no Authorization
        progress: called with (bytes there, bytes in all), every `progress_seconds` at most
        cancelled: asked every `cancel_seconds` at most, and hardly less often while it is going
            on, so it may serve as a heartbeat

    Raises:
        DownloadError: if it `keeps_part`, the part stays, for the same call to resume
    """
    limits = limits or Limits()
    check_format(target.name, allow_pickle)
    check_format(remote.filename, allow_pickle)
    ask = _Rarely(cancelled, limits.cancel_seconds)
    try:
        # The part may still be held: by a worker that just lost the job and ends within a
        # second, or by another job for the same content, whose result is then found here.
        part = persist(
            lambda: Part(target, job, remote.identity, ask), backoff=limits.backoff, cancelled=ask
        )
    except OSError as error:
        raise disk_error(error) from error
    try:
        if there := _already_there(remote, target, others, ask):
            part.discard()
            size = there.stat().st_size
            progress(size, size)
            return Done(there, size, remote.sha256 or "", already_there=True)
        Fetch(remote, target.name, part, web, key, progress, ask, limits).all()
        path, already_there = part.settle(others)
        return Done(path, part.size, part.sha256, already_there)
    except DownloadError as error:
        if not error.keeps_part:
            part.discard()
        raise
    except OSError as error:
        found = disk_error(error)
        if not found.keeps_part:
            part.discard()
        raise found from error
    finally:
        if part.size == 0:
            part.discard()
        part.close()


def _already_there(
    remote: RemoteFile, target: Path, others: Sequence[Path], cancelled: Callable[[], bool]
) -> Path | None:
    """The file in the target's place or beside it that is the remote one, if its hash is known."""
    if remote.sha256 is None or remote.size is None:
        return None
    return find_same(
        target,
        remote.size,
        remote.sha256,
        others=others,
        slack=remote.size_slack,
        cancelled=cancelled,
    )


class _Rarely:
    """Asks `cancelled` (a database, perhaps) no more often than every so many seconds."""

    def __init__(self, cancelled: Callable[[], bool], seconds: float) -> None:
        self._cancelled = cancelled
        self._seconds = seconds
        self._next = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return self._cancelled()


__all__ = ["Backoff", "Done", "Limits", "same_content", "transfer"]
