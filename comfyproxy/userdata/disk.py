"""Writing to the disk so that a crash loses nothing: new bytes first, then one rename."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from accounts.errors import BadRequest, StorageFull

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.ENOSYS)


@contextmanager
def translated() -> Iterator[None]:
    """The system's refusals as ours.

    Raises:
        StorageFull: no room is left; BadRequest: a name that this disk does not take
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull from error
        if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ):
            raise BadRequest("This name is too long for the server's disk.") from error
        raise


@contextmanager
def written_aside(folder: Path, data: bytes) -> Iterator[Path]:
    """A new file in `folder` with these bytes, safely on the disk; what is not moved away
    before the end is removed."""
    make_folders(folder)
    path = folder / uuid.uuid4().hex
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each safely on the disk."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        sync(each.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file. Where the disk has no such thing (exFAT, some network
    shares), a copy."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        aside = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
        try:
            shutil.copy2(source, aside)
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


def remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder that nothing is left in, and those above it, up to `root`."""
    with suppress(OSError):  # not empty: the end of it
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def sync(folder: Path) -> None:
    """See to it that the names in a folder are on the disk. Windows has no need of it and
    does not open folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
