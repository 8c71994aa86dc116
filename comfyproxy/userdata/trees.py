"""One tree of files on the disk: a user's, or the one that all share.

Reading takes no lock: a file is there whole, before and after each change. Changes hold the
tree's lock, in whichever process.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from django.conf import settings
from filelock import FileLock, Timeout

from accounts import errors
from comfyproxy.userdata import disk
from comfyproxy.userdata.entries import Entry
from comfyproxy.userdata.limits import Limits
from comfyproxy.userdata.names import collision_key, parse
from comfyproxy.userdata.versions import Version, Versions

# What no user's folder is called.
SHARED: Final = "shared"
LOCK: Final = "lock"
LOCK_SECONDS: Final = 10.0


def of_user(namespace: str) -> "Tree":
    """The tree of the user with that folder."""
    return Tree(Path(settings.USERDATA_DIR) / namespace, Limits.of_settings())


def shared() -> "Tree":
    """The tree whose workflows all see."""
    return Tree(Path(settings.USERDATA_DIR) / SHARED, Limits.of_settings())


def all_trees() -> Iterator["Tree"]:
    """Every tree that something was ever saved in."""
    root = Path(settings.USERDATA_DIR)
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir():
            yield Tree(folder, Limits.of_settings())


class Tree:
    """Files below one folder. Paths are as `names.parse` returns them.

    Every method that changes something raises, beside what it names, StorageFull where the
    disk is full and Busy where another change takes too long; then nothing has changed.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._files = folder / "files"
        self._limits = limits
        self.versions = Versions(folder / "versions", limits)

    @property
    def name(self) -> str:
        """The folder's: a user's namespace, or `shared`."""
        return self._folder.name

    # --- reading ----------------------------------------------------------------------

    def files(self, below: str = "") -> list[Entry]:
        """All files in a folder and further down; none of a folder that is not there."""
        top = self._files / below if below else self._files
        return list(_walk(top, f"{below}/" if below else ""))

    def file(self, path: str) -> Entry | None:
        """A file, if there is one of that name."""
        found = _stat(self._files / path)
        return _entry(path, found) if found and stat.S_ISREG(found.st_mode) else None

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder of that name."""
        found = _stat(self._files / path)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def has(self, path: str) -> bool:
        """Whether there is a file or a folder of that name."""
        return _stat(self._files / path) is not None

    def read(self, path: str) -> tuple[Entry, bytes]:
        """A file and what is in it.

        Raises:
            NotFound: there is no file of that name
        """
        if self.file(path) is None:
            raise errors.NotFound
        try:
            with (self._files / path).open("rb") as file:
                return _entry(path, os.fstat(file.fileno())), file.read()
        except FileNotFoundError:
            raise errors.NotFound from None

    def copy_to(self, folder: Path) -> None:
        """Everything in it, versions included, as it is at one moment: second names of the same
        files, which are replaced and never written to.

        Raises:
            Busy: a change takes too long
        """
        if not self._folder.is_dir():
            return
        asides = (self._folder / "aside", self._folder / "versions" / "aside")
        with self._changing():
            for place, folders, names in os.walk(self._folder):
                here = Path(place)
                folders[:] = [name for name in folders if here / name not in asides]
                to = folder / here.relative_to(self._folder)
                to.mkdir(mode=0o700, parents=True)
                for name in names:
                    found = _stat(here / name)
                    is_lock = here == self._folder and name == LOCK
                    if found is not None and stat.S_ISREG(found.st_mode) and not is_lock:
                        disk.link_or_copy(here / name, to / name)

    # --- changing ---------------------------------------------------------------------

    def write(self, path: str, data: bytes, *, overwrite: bool = True) -> Entry:
        """Save a file; what was there is kept as a version.

        Raises:
            Conflict: it is there and `overwrite` is false; or a name differs from one that is
                there in capitals or accents only
            BadRequest: a folder has that name, or a file that of a folder above it
            TooLarge: the file; QuotaExceeded: with it, all files
        """
        if len(data) > self._limits.file_bytes:
            raise too_large(self._limits)
        with self._changing():
            target = self._place(path)
            before = _stat(target)
            if before is not None:
                _require_file(before)
                if not overwrite:
                    raise file_exists(path)
            self._require_room(len(data) - (before.st_size if before else 0), is_new=not before)
            with disk.written_aside(self._folder / "aside", data) as written:
                if before is not None and target.read_bytes() != data:
                    self.versions.keep(target, path)
                disk.make_folders(target.parent)
                written.replace(target)
                disk.sync(target.parent)
            self.versions.trim()
            return _entry(path, target.stat())

    def delete(self, path: str) -> None:
        """Delete a file; it is kept as a version.

        Raises:
            NotFound; BadRequest: it is a folder
        """
        with self._changing():
            target = self._files / path
            found = _stat(target)
            if found is None:
                raise errors.NotFound
            _require_file(found)
            self._put_aside(target, path)
            self.versions.trim()

    def clear(self) -> int:
        """Delete all files, as `delete` does; how many there were."""
        with self._changing():
            entries = self.files()
            for entry in entries:
                self._put_aside(self._files / entry.path, entry.path)
            self.versions.trim()
            return len(entries)

    def move(self, source: str, target: str, *, overwrite: bool = True) -> Entry:
        """Give a file or a folder another name. A file that has it already is kept as a version.

        Raises:
            NotFound: there is nothing of that name
            Conflict, BadRequest: as `write`; a folder only gets a name that is free
        """
        with self._changing():
            start = self._files / source
            found = _stat(start)
            if found is None:
                raise errors.NotFound
            end = self._place(target, moves=source)
            if source == target:
                return _entry(target, found)
            before = None if end.exists() and end.samefile(start) else _stat(end)
            self._require_movable(found, source, target, before, overwrite)
            if before is not None:
                self.versions.keep(end, target)
            disk.make_folders(end.parent)
            start.replace(end)
            disk.sync(end.parent)
            disk.remove_empty(start.parent, self._files)
            self.versions.trim()
            return _entry(target, end.stat())

    def restore(self, version_id: str) -> Entry:
        """Make a version the file again; what is there now is kept in turn.

        Raises:
            NotFound: it is not there any more; and as `write`
        """
        found = self.versions.find(version_id)
        if found is None:
            raise errors.NotFound("This version is not there any more.")
        version, data = found
        return self.write(version.path, data)

    def trim(self) -> None:
        """Remove versions that are too old, and what a crash left."""
        if self._folder.is_dir():
            with self._changing():
                self.versions.trim()
                for folder in (self._folder / "aside", self._folder / "versions" / "aside"):
                    for left in folder.iterdir() if folder.is_dir() else ():
                        left.unlink(missing_ok=True)

    def versions_of_gone(self) -> list[Version]:
        """Of each file that is not there any more its last version, the latest first."""
        present = {entry.path for entry in self.files()}
        last: dict[str, Version] = {}
        for version in self.versions.all():
            if version.path not in present:
                last.setdefault(version.path, version)
        return list(last.values())

    # --- inside -----------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with disk.translated():
            disk.make_folders(self._folder)
            lock = FileLock(self._folder / LOCK, timeout=LOCK_SECONDS, mode=0o600)
            try:
                lock.acquire()
            except Timeout:
                raise errors.Busy from None
            try:
                yield
            finally:
                lock.release()

    def _put_aside(self, target: Path, path: str) -> None:
        self.versions.put_aside(target, path)
        disk.sync(target.parent)
        disk.remove_empty(target.parent, self._files)

    def _place(self, path: str, *, moves: str | None = None) -> Path:
        """Where a file of that name goes. `moves`: a path that is about to be free."""
        here = self._files
        done = ""
        for part in path.split("/"):
            found = _stat(here)
            if found is not None and not stat.S_ISDIR(found.st_mode):
                raise errors.BadRequest(f"{done} is a file, not a folder.")
            for other in _names(here):
                other_path = f"{done}/{other}" if done else other
                if other == part or other_path == moves:
                    continue
                if collision_key(other) == collision_key(part):
                    raise errors.Conflict(
                        f"{other_path} is there already. Names that differ in capitals or "
                        "accents only are the same on some systems: choose another.",
                        code="NAME_TAKEN",
                    )
            here /= part
            done = f"{done}/{part}" if done else part
        return here

    def _require_room(self, added: int, *, is_new: bool) -> None:
        if added <= 0 and not is_new:
            return
        entries = self.files()
        if is_new and len(entries) >= self._limits.files:
            raise errors.QuotaExceeded(
                f"You have {len(entries)} files, as many as are allowed. Delete some first."
            )
        if sum(entry.size for entry in entries) + added > self._limits.bytes:
            megabytes = self._limits.bytes // 1_048_576
            raise errors.QuotaExceeded(
                f"Your files may have {megabytes} MB together. Delete some first."
            )

    def _require_movable(
        self,
        found: os.stat_result,
        source: str,
        target: str,
        before: os.stat_result | None,
        overwrite: bool,
    ) -> None:
        is_folder = stat.S_ISDIR(found.st_mode)
        if before is not None:
            if is_folder or not overwrite:
                raise file_exists(target)
            _require_file(before)
        if is_folder:
            if target.startswith(f"{source}/"):
                raise errors.BadRequest("A folder cannot be moved into itself.")
            for entry in self.files(source):
                parse(target + entry.path[len(source) :])


def too_large(limits: Limits) -> errors.TooLarge:
    return errors.TooLarge(f"A file may have {limits.file_bytes // 1_048_576} MB.")


def file_exists(path: str) -> errors.Conflict:
    return errors.Conflict(f"{path} exists already.", code="FILE_EXISTS")


def _require_file(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise errors.BadRequest("This is a folder.")


def _stat(path: Path) -> os.stat_result | None:
    """What lies there, not followed; None: nothing, or nothing can have that name."""
    try:
        return path.lstat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return []


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if not _is_text(entry.name):
            continue  # put there by other means: no answer can name it
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            found = _stat(Path(entry.path))
            if found is not None:
                yield _entry(prefix + entry.name, found)


def _entry(path: str, found: os.stat_result) -> Entry:
    return Entry(path, found.st_size, found.st_mtime, found.st_ctime)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
