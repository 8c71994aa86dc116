"""What the file system does for downloads: locks, a rename that overwrites nothing, its errors."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from downloads.errors import DiskFull, DownloadError, InUse, NotWritable

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def disk_error(error: OSError) -> DownloadError:
    """What an error of the file system means for a person."""
    return DiskFull() if error.errno in _FULL else NotWritable()


def lock(fd: int) -> None:
    """Locks an open file for this process. Raises InUse where another holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse from None
    except OSError as error:
        # Some network file systems have no locks; the job's lease must do there.
        if error.errno not in _NO_LOCKS:
            raise


def rename_to_new(old: Path, new: Path) -> None:
    """A rename that fails with FileExistsError where the name is taken (`rename` overwrites)."""
    try:
        os.link(old, new, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links (exFAT, some network drives): take the name with an empty file first.
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        old.replace(new)
        return
    old.unlink()


def fsync_folder(folder: Path) -> None:
    """Has a rename survive a loss of power."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError:
        pass  # Some file systems have nothing to sync for a folder.
    finally:
        os.close(fd)
