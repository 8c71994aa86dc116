"""Whether a gateway runs on these data: its processes hold a lock for as long as they live.

The lock is a file of the data directory, so it holds for all machines that share this folder
(Linux passes it to an NFS server: flock(2)), and the system drops it when a process dies.
"""

import fcntl
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from django.conf import settings

logger = logging.getLogger(__name__)

LOCK: Final = "running.lock"
# There from the moment that a restore begins to change what is in force until it is through.
MARKER: Final = "restore.json"

_held: int | None = None


class InUse(Exception):
    """The data are used, or being replaced. `str()` is a sentence for the operator."""


def marker() -> Path:
    return Path(settings.MSS_DATA_DIR) / MARKER


def hold() -> None:
    """Say, until this process ends, that it uses the data. Once is enough.

    Raises:
        InUse: a backup is being restored, or was left half way
    """
    global _held
    if _held is not None:
        return
    descriptor = _opened()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUse("A backup is being restored. Start again when that is done.") from None
    except OSError as error:
        # Working without is better than not at all; `alone` refuses there.
        logger.warning("%s cannot be locked: %s", LOCK, error.strerror)
    if marker().exists():
        os.close(descriptor)
        raise InUse("A restore was interrupted. ./run, or ./run manage prepare, finishes it.")
    _held = descriptor


def hold_or_exit() -> None:
    """As `hold`; the process ends with a sentence where that fails."""
    try:
        hold()
    except InUse as refusal:
        sys.exit(str(refusal))


@contextmanager
def alone() -> Iterator[None]:
    """Until the end nobody else uses the data, nor can begin to.

    Raises:
        InUse: somebody does, or it cannot be known
    """
    descriptor = _opened()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUse(
            "A gateway runs on these data, here or on another machine, or a backup of them is "
            "being made or restored. Stop it first."
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise InUse(
            f"{settings.MSS_DATA_DIR} cannot be locked ({error.strerror}), so nobody can tell "
            "whether a gateway runs on it."
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _opened() -> int:
    folder = Path(settings.MSS_DATA_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
