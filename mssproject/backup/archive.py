"""The file: a tar, whole or not there, readable by its owner only, its members hashed.

    database/<table>.<number>.jsonl   userdata/<tree>/…   keys/secret_key   manifest.json
    SHA256SUMS      as sha256sum(1) writes it, of all others; the last member, so that a file that
                    was cut off has none

Written and read from front to back, in bounded memory however many members there are.
"""

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, NamedTuple, Self, cast

from mssproject.backup import manifest as manifests
from mssproject.backup.errors import BackupError, Damaged
from mssproject.backup.manifest import Manifest
from mssproject.backup.progress import Progress

DATABASE: Final = "database"
USERDATA: Final = "userdata"
SECRET_KEY: Final = "keys/secret_key"  # noqa: S105 - where it is, not what it is
MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"
PACKED: Final = (".tar.gz", ".tgz")
SUFFIXES: Final = (".tar", *PACKED)
_PIECE: Final = 64 * 1024
_GZIP: Final = b"\x1f\x8b"
_MOST_BYTES: Final = {MANIFEST: 16 * 1024 * 1024, SECRET_KEY: 64 * 1024}
_BROKEN: Final = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
# Of tar files in general; Python's own readers raise these for what no tar can be.
_NONSENSE: Final = (ValueError, OverflowError, UnicodeError)


class Member(NamedTuple):
    name: str
    size: int
    modified: float
    content: IO[bytes]


class Writer:
    """Writes beside `target` under another name. Only `finish` makes it `target`; without it the
    end of the `with` removes what was written."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        descriptor, name = tempfile.mkstemp(  # mode 600
            prefix=f".{self._target.name}.", suffix=".part", dir=self._target.parent
        )
        self._part = Path(name)
        self._stack.callback(self._part.unlink, missing_ok=True)
        self._file = self._stack.enter_context(os.fdopen(descriptor, "wb"))
        self._sums = self._stack.enter_context(tempfile.TemporaryFile(dir=self._target.parent))
        out: IO[bytes] = self._file
        if self._target.name.endswith(PACKED):
            out = cast("IO[bytes]", gzip.GzipFile("", "wb", 6, self._file))
            self._stack.callback(out.close)
        self._out = out
        self._tar = tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def add(self, name: str, data: bytes) -> None:
        self.add_file(name, io.BytesIO(data), len(data))

    def add_file(self, name: str, content: IO[bytes], size: int, modified: float = 0) -> None:
        """Add so many bytes of `content`.

        Raises:
            BackupError: there are fewer
        """
        digest = self._put(name, content, size, modified)
        self._sums.write(_sum_line(digest, name))

    def finish(self, manifest: Manifest) -> None:
        """Give the file its name: all of it is on the disk by then."""
        self.add(MANIFEST, manifest.encoded())
        size = self._sums.tell()
        self._sums.seek(0)
        self._put(SUMS, self._sums, size, 0)
        self._tar.close()
        if self._out is not self._file:
            self._out.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self._target)
        sync(self._target.parent)

    def _put(self, name: str, content: IO[bytes], size: int, modified: float) -> str:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, modified, 0o600
        hashing = _Hashing(content)
        try:
            self._tar.addfile(info, hashing)
        except OSError as error:
            if error.errno is not None:
                raise
            raise BackupError(f"{name} changed while it was read.") from None
        _forget(self._tar)
        return hashing.digest


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._content.read(size)
        self._hash.update(piece)
        return piece

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def members(path: Path) -> Iterator[Member]:
    """What is in the file, from front to back; each is to be read before the next is asked for.

    Raises:
        Damaged: here or in reading a member: it is no tar, is cut off, or holds what no backup
            does (links, a name that leads elsewhere)
        OSError: it cannot be read
    """
    with readable(), ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if packed:
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        tar = stack.enter_context(tarfile.open(fileobj=file, mode="r:"))
        while (info := tar.next()) is not None:
            _forget(tar)
            content = tar.extractfile(info) if info.isreg() else None
            if content is None or not _is_safe(info.name):
                raise Damaged(f"The backup holds {info.name!r}, which no backup does.")
            if info.size > _MOST_BYTES.get(info.name, info.size):
                raise Damaged(f"The backup's {info.name} is too large.")
            yield Member(info.name, info.size, float(info.mtime), content)
        while file.read(_PIECE):  # what compressed it has a sum of its own at the end
            pass


def _forget(tar: tarfile.TarFile) -> None:
    """tarfile remembers every member that it met."""
    tar.members = []  # type: ignore[attr-defined]


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """What the tar's readers make of damage, as `Damaged`."""
    try:
        yield
    except _BROKEN + _NONSENSE as error:
        raise Damaged(
            f"This is no backup of this gateway, or it was damaged or cut off ({error})."
        ) from error


def verify(path: Path, progress: Progress) -> Manifest:
    """Read all of it and compare every hash; what it says about itself.

    Raises:
        Damaged; BackupError: a newer gateway made it
    """
    manifest: Manifest | None = None
    sums_seen = False
    with readable(), tempfile.TemporaryFile() as sums:
        for number, member in enumerate(members(path)):
            if sums_seen:
                raise Damaged(f"The backup goes on behind {SUMS}.")
            if member.name == SUMS:
                sums_seen = True
                sums.seek(0)
                _compare(member.content, sums)
                continue
            data = member.content.read() if member.name == MANIFEST else None
            content = member.content if data is None else io.BytesIO(data)
            digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
            sums.write(_sum_line(digest, member.name))
            if data is not None:
                manifest = manifests.read(data)
            progress.step("checked", number + 1)
    if manifest is None or not sums_seen:
        raise Damaged("This is no backup of this gateway, or it was cut off.")
    return manifest


def _compare(stated: IO[bytes], found: IO[bytes]) -> None:
    """Raises:
    Damaged: the first line that differs names its file
    """
    while True:
        expected, actual = stated.readline(), found.readline()
        if expected != actual:
            name = (actual or expected)[66:].decode("utf-8", "replace").strip()
            raise Damaged(f"{name} in the backup is not what was written. It is damaged.")
        if not expected:
            return


def _sum_line(digest: str, name: str) -> bytes:
    """As sha256sum(1) writes it: a name with a line break or a backslash is escaped."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == name else "\\"
    return f"{mark}{digest}  {escaped}\n".encode("utf-8", "surrogateescape")


def _is_safe(name: str) -> bool:
    """Whether it names one of a backup's members, and can lead to no other place."""
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        return False
    if parts[0] == DATABASE:
        return len(parts) == 2
    return (parts[0] == USERDATA and len(parts) > 2) or name in (SECRET_KEY, MANIFEST, SUMS)


def sync(folder: Path) -> None:
    """See to it that the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
