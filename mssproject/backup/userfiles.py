"""People's saved files, with their versions: out of their trees and back into trees."""

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from accounts.errors import Busy
from comfyproxy.userdata import trees
from mssproject.backup.archive import USERDATA, Member, Writer
from mssproject.backup.errors import BackupError, Damaged
from mssproject.backup.manifest import Files
from mssproject.backup.progress import Progress


def place() -> Path:
    """The folder of all trees; behind a link, if it is one."""
    return Path(settings.USERDATA_DIR).resolve()


def add(writer: Writer, work: Path, progress: Progress) -> Files:
    """Add every tree as it is at one moment. `work`: an empty folder on the same disk.

    Raises:
        BackupError: somebody's files are being changed for too long
    """
    number, size = 0, 0
    for tree in trees.all_trees():
        copy = work / tree.name
        try:
            tree.copy_to(copy)
        except Busy:
            raise BackupError(
                f"The files in {tree.name} are being changed for too long. Try again."
            ) from None
        for path in _files(copy):
            found = path.stat()
            with path.open("rb") as content:
                name = f"{USERDATA}/{path.relative_to(work)}"
                writer.add_file(name, content, found.st_size, found.st_mtime)
            path.unlink()
            number, size = number + 1, size + found.st_size
            progress.step("files", number)
    return Files(number=number, size=size)


def extract(member: Member, folder: Path) -> None:
    """Put a member of the archive below `folder`, which is new and nobody else's.

    Raises:
        Damaged: another of that name is there
    """
    target = folder / member.name.removeprefix(f"{USERDATA}/")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except (FileExistsError, NotADirectoryError):
        raise Damaged(f"The backup holds {member.name} twice.") from None
    with os.fdopen(descriptor, "wb") as file:
        while piece := member.content.read(1024 * 1024):
            file.write(piece)
    os.utime(target, (member.modified, member.modified))


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder; those that a folder is listed with may be removed meanwhile."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(place) / name
