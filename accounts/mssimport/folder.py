"""The folder of a former installation: only read, each file bounded, and nothing outside of it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

MAX_JSON_BYTES: Final = 16 * 1024 * 1024
# Folders and files in one user's folder.
MAX_ENTRIES: Final = 20_000
_CHUNK: Final = 1024 * 1024
_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe in a file's place
    | getattr(os, "O_BINARY", 0)
)


class Unreadable(Exception):
    """What somebody at the console can do something about, as a sentence."""


class Folder:
    """Files by their names below the folder, with forward slashes. A link is followed as long as
    it stays inside."""

    def __init__(self, path: Path) -> None:
        """Raises Unreadable if there is no such folder."""
        try:
            self.root = path.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            raise Unreadable(f"There is no folder {path}.") from None
        if not self.root.is_dir():
            raise Unreadable(f"{path} is no folder.")

    def has(self, name: str) -> bool:
        """Whether there is anything of that name."""
        return os.path.lexists(self.root / name)

    def find(self, *names: str) -> str | None:
        """The first of these names that is there."""
        return next(filter(self.has, names), None)

    def read(self, name: str, limit: int) -> bytes:
        """What is in a file of at most so many bytes.

        Raises:
            Unreadable
        """
        return b"".join(self._chunks(name, limit))

    def copy(self, name: str, target: Path, limit: int) -> None:
        """Write what is in a file to another, outside. Raises as `read`."""
        with target.open("xb") as file:
            for chunk in self._chunks(name, limit):
                file.write(chunk)

    def json(self, name: str) -> Any:
        """What a JSON file holds.

        Raises:
            Unreadable: also for what is no JSON; orjson takes none that is nested too deep
        """
        try:
            return orjson.loads(self.read(name, MAX_JSON_BYTES))
        except orjson.JSONDecodeError:
            raise Unreadable(f"{name} is not valid JSON.") from None

    def files(self, name: str) -> list[str]:
        """What lies in a folder and further down, that is no folder: paths below it. Links to
        folders are among them and not followed.

        Raises:
            Unreadable: there is too much
        """
        found: list[str] = []
        waiting = [""]
        seen = 0
        while waiting:
            below = waiting.pop()
            try:
                entries = sorted(os.scandir(self._inside(f"{name}/{below}")), key=lambda e: e.name)
            except OSError:
                raise Unreadable(f"{name}/{below} cannot be read.") from None
            seen += len(entries)
            if seen > MAX_ENTRIES:
                raise Unreadable(f"{name} holds more than {MAX_ENTRIES} files.")
            for entry in entries:
                path = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{path}/")
                else:
                    found.append(path)
        return sorted(found)

    def _inside(self, name: str) -> Path:
        try:
            path = (self.root / name).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            raise Unreadable(f"{name} cannot be read.") from None
        if not path.is_relative_to(self.root):
            raise Unreadable(f"{name} is a link that leads out of the folder.")
        return path

    def _chunks(self, name: str, limit: int) -> Iterator[bytes]:
        path = self._inside(name)
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError as error:
            raise Unreadable(f"{name} cannot be read: {error.strerror}.") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Unreadable(f"{name} is no file.")
        with os.fdopen(descriptor, "rb") as file:
            left = limit
            try:
                while chunk := file.read(min(_CHUNK, left + 1)):
                    left -= len(chunk)
                    if left < 0:
                        raise Unreadable(f"{name} is larger than {_size(limit)}.")
                    yield chunk
            except OSError as error:
                raise Unreadable(f"{name} cannot be read: {error.strerror}.") from None


def _size(number: int) -> str:
    return f"{number // 1024**2} MB" if number >= 1024**2 else f"{number // 1024} kB"
