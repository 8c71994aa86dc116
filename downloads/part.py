"""The unfinished file of a download: its bytes, their SHA-256, and what they are a part of.

`<target>.<hash of the job>.part` lies in the target's folder, so that finishing is a rename;
beside it `….part.json` says whose beginning it is. The part is locked while somebody writes it:
the lock ends with the process, however that ends.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from downloads.contents import find_same
from downloads.disk import fsync_folder, lock, rename_to_new
from downloads.errors import Cancelled, DownloadError, InUse
from downloads.hashing import Hasher
from downloads.paths import free_name
from downloads.stream import CHUNK, never

_PART: Final = re.compile(r".+\.[0-9a-f]{32}\.part", re.S)


def _names(folder: Path, others: Iterable[Path]) -> set[str]:
    """What there is in a folder, and in others, which need not be there."""
    found = set(os.listdir(folder))  # noqa: PTH208
    for other in others:
        with suppress(OSError):
            found.update(os.listdir(other))  # noqa: PTH208
    return found


def part_path(target: Path, job: str) -> Path:
    """Where the part of a job lies. `job` may be any text."""
    hashed = hashlib.sha256(job.encode()).hexdigest()[:32]
    return target.with_name(f"{target.name}.{hashed}.part")


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def discard_part(target: Path, job: str) -> None:
    """Removes what a job left, if it left anything."""
    path = part_path(target, job)
    path.unlink(missing_ok=True)
    _note_path(path).unlink(missing_ok=True)


def sweep(folder: Path, older_than: float) -> int:
    """Removes parts in a folder that nobody wrote for so many seconds; how many they were.

    Other programs' parts are theirs: only what is called as ours are, with our note, is removed.
    """
    removed = 0
    for path in folder.glob("*.part"):
        if not _PART.fullmatch(path.name) or _noted(path) is None:
            continue
        try:
            if time.time() - path.stat().st_mtime < older_than:
                continue
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            lock(fd)
            path.unlink(missing_ok=True)
            _note_path(path).unlink(missing_ok=True)
            removed += 1
        except (InUse, OSError):
            continue
        finally:
            os.close(fd)
    for note in folder.glob("*.part.json"):
        with suppress(OSError):
            path = note.with_suffix("")
            ours = _PART.fullmatch(path.name) and _noted(path) is not None
            if ours and not path.exists() and time.time() - note.stat().st_mtime >= older_than:
                note.unlink()
    return removed


@dataclass(slots=True)
class Note:
    """What the part is the beginning of."""

    identity: str
    etag: str | None = None
    size: int | None = None


def _noted(path: Path) -> Note | None:
    """What the note of a part says; None: there is none, or it is not ours."""
    try:
        note = Note(**json.loads(_note_path(path).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    etag_ok = note.etag is None or isinstance(note.etag, str)
    size_ok = note.size is None or type(note.size) is int
    return note if isinstance(note.identity, str) and etag_ok and size_ok else None


class Part:
    """An open part: written at its end only, hashed as it is written.

    Args:
        target, job: see `part_path`
        identity: of the content (`RemoteFile.identity`); a part of another content starts anew
        cancelled: asked while what is there already is hashed

    Raises:
        InUse, OSError, Cancelled
    """

    def __init__(
        self, target: Path, job: str, identity: str, cancelled: Callable[[], bool] = never
    ) -> None:
        self.path = part_path(target, job)
        self._target = target
        target.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._open()
        self.size = 0
        self._hash = Hasher()
        self.note = _noted(self.path) or Note("")
        try:
            if self.note.identity == identity:
                self._take_up(cancelled)
            else:
                self.note = Note(identity)
                self.restart()
        except BaseException as error:
            if isinstance(error, DownloadError) and not error.keeps_part:
                self.discard()
            self.close()
            raise

    def _open(self) -> int:
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                lock(fd)
                # Whoever held the lock before may have renamed or removed the file meanwhile.
                found = os.fstat(fd)
                if os.path.samestat(found, self.path.stat()):
                    if found.st_nlink == 1:
                        return fd
                    # The process ended between giving the finished file its name and taking
                    # the part's away: these bytes are a model by now, and not to be touched.
                    self.path.unlink()
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _take_up(self, cancelled: Callable[[], bool]) -> None:
        while piece := os.read(self._fd, CHUNK):
            if cancelled():
                raise Cancelled
            self._hash.update(piece)
            self.size += len(piece)

    def describe(self, etag: str | None, size: int | None) -> None:
        """Writes down which version of the content the bytes to come belong to."""
        self.note = Note(self.note.identity, etag, size)
        _note_path(self.path).write_text(json.dumps(asdict(self.note)))

    def restart(self) -> None:
        """Forgets all bytes."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.size = 0
        self._hash.close()
        self._hash = Hasher()
        self.describe(None, None)

    def write(self, piece: bytes) -> None:
        """Raises OSError: the disk is full, for one; what was written of the piece counts."""
        view = memoryview(piece)
        while view:
            written = os.write(self._fd, view)
            self._hash.update(view[:written])
            self.size += written
            view = view[written:]

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def check(self, look: Callable[..., None]) -> None:
        """Calls `look(name, file, size)` on the bytes there are."""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            look(self._target.name, file, self.size)

    def settle(self, others: Sequence[Path] = ()) -> tuple[Path, bool]:
        """Gives the finished file its name, or a free one like it, and never another file's, nor
        one that a file in `others` has: folders whose names count like the target's.

        Returns:
            (where the content is, whether it had been there already: then the part is gone)
        """
        os.fsync(self._fd)
        folder = self._target.parent
        while True:
            if same := find_same(self._target, self.size, self.sha256, others=others):
                self.discard()
                return same, True
            path = folder / free_name(self._target.name, _names(folder, others))
            try:
                rename_to_new(self.path, path)
                break
            except FileExistsError:
                continue
        _note_path(self.path).unlink(missing_ok=True)
        fsync_folder(folder)
        return path, False

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        _note_path(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        self._hash.close()
        os.close(self._fd)
