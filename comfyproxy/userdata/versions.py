"""What was replaced or deleted in a tree of files: kept for a while, to be had back.

Beside the tree, one folder for each path that ever lost something: its name in `name`, and one
file for each version, called by the moment it was put aside. Every step is one rename, so after
a crash the file is in its old place, in its new one, or in both.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from comfyproxy.userdata import disk
from comfyproxy.userdata.limits import Limits

REPLACED: Final = "replaced"
DELETED: Final = "deleted"
_NAME: Final = "name"
_STAMP: Final = re.compile(r"(\d{20})-(replaced|deleted)")
_ID: Final = re.compile(r"([0-9a-f]{32})\.(\d{20}-(?:replaced|deleted))")
_DAY: Final = 86_400
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Version:
    """What a file was until then. Times in seconds since the epoch."""

    id: str
    path: str
    why: str
    kept_at: float
    saved_at: float
    size: int

    @property
    def kept(self) -> datetime:
        """Until when it was the file."""
        return datetime.fromtimestamp(self.kept_at, UTC)

    @property
    def saved(self) -> datetime:
        """When it was saved."""
        return datetime.fromtimestamp(self.saved_at, UTC)


class _Found(NamedTuple):
    place: Path
    kept_ns: int
    size: int


class Versions:
    """The versions of one tree. Whoever changes something holds the tree's lock."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits

    def keep(self, file: Path, path: str) -> None:
        """Keep what is about to be replaced; it stays in its place until then."""
        disk.link_or_copy(file, self._new_place(path, REPLACED))

    def put_aside(self, file: Path, path: str) -> None:
        """Take a file out of the tree."""
        place = self._new_place(path, DELETED)
        file.replace(place)
        disk.sync(place.parent)

    def _new_place(self, path: str, why: str) -> Path:
        folder = self._folder / _key(path)
        if not (folder / _NAME).exists():
            with disk.written_aside(self._folder / "aside", path.encode()) as named:
                disk.make_folders(folder)
                named.replace(folder / _NAME)
                disk.sync(folder)
        moment = time.time_ns()
        taken = {entry.name.partition("-")[0] for entry in folder.iterdir()}
        while f"{moment:020d}" in taken:
            moment += 1
        return folder / f"{moment:020d}-{why}"

    def all(self) -> list[Version]:
        """Every version, the latest first."""
        found = [version for folder in self._folders() for version in _in_folder(folder)]
        return sorted(found, key=lambda version: version.kept_at, reverse=True)

    def of(self, path: str) -> list[Version]:
        """The versions of one file, the latest first."""
        found = _in_folder(self._folder / _key(path))
        return sorted(found, key=lambda version: version.kept_at, reverse=True)

    def find(self, version_id: str) -> tuple[Version, bytes] | None:
        """One version and what is in it."""
        match = _ID.fullmatch(version_id)
        if match is None:
            return None
        folder = self._folder / match[1]
        found = next((each for each in _in_folder(folder) if each.id == version_id), None)
        if found is None:
            return None
        try:
            return found, (folder / match[2]).read_bytes()
        except FileNotFoundError:  # trimmed this moment
            return None

    def trim(self) -> None:
        """Remove what is too much or too old: the oldest first."""
        kept, size = 0, 0
        per_file: dict[Path, int] = {}
        oldest = time.time_ns() - self._limits.version_days * _DAY * _NS
        for found in sorted(self._stored(), key=lambda each: each.kept_ns, reverse=True):
            folder = found.place.parent
            number = per_file.get(folder, 0) + 1
            too_many = number > self._limits.versions_per_file or kept >= self._limits.versions
            too_large = size + found.size > self._limits.bytes
            if too_many or too_large or found.kept_ns < oldest:
                found.place.unlink(missing_ok=True)
                continue
            per_file[folder] = number
            kept, size = kept + 1, size + found.size
        self._drop_empty(per_file)

    def _drop_empty(self, used: Iterable[Path]) -> None:
        held = set(used)
        for folder in self._folders():
            if folder not in held and _ID.fullmatch(f"{folder.name}.{0:020d}-{DELETED}"):
                (folder / _NAME).unlink(missing_ok=True)
                disk.remove_empty(folder, self._folder)

    def _stored(self) -> Iterator[_Found]:
        for folder in self._folders():
            for place, kept_ns, _ in _stamped(folder):
                try:
                    yield _Found(place, kept_ns, place.stat().st_size)
                except FileNotFoundError:
                    continue

    def _folders(self) -> list[Path]:
        try:
            return [entry for entry in self._folder.iterdir() if entry.is_dir()]
        except FileNotFoundError:
            return []


def _key(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:32]


def _stamped(folder: Path) -> Iterator[tuple[Path, int, str]]:
    """The versions in a folder: place, moment in ns, why."""
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:
        return
    for entry in entries:
        match = _STAMP.fullmatch(entry.name)
        if match is not None:
            yield entry, int(match[1]), match[2]


def _in_folder(folder: Path) -> Iterator[Version]:
    try:
        path = (folder / _NAME).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return
    for place, kept_ns, why in _stamped(folder):
        try:
            stat = place.stat()
        except FileNotFoundError:
            continue
        yield Version(
            f"{folder.name}.{place.name}", path, why, kept_ns / _NS, stat.st_mtime, stat.st_size
        )
