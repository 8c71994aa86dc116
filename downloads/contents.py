"""Whether a file on the disk has a content that is known by size and SHA-256."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from downloads.errors import Cancelled
from downloads.paths import numbered, same_key
from downloads.stream import CHUNK, never


def sha256_of(path: Path, cancelled: Callable[[], bool] = never) -> str:
    """Raises OSError, Cancelled."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(CHUNK):
            if cancelled():
                raise Cancelled
            digest.update(piece)
    return digest.hexdigest()


def same_content(
    path: Path, size: int, sha256: str, *, slack: int = 0, cancelled: Callable[[], bool] = never
) -> bool:
    """Whether a file has this content. Only a file of the right size is read."""
    try:
        if not path.is_file() or abs(path.stat().st_size - size) > slack:
            return False
        return sha256_of(path, cancelled) == sha256
    except OSError:
        return False


def find_same(
    target: Path,
    size: int,
    sha256: str,
    *,
    others: Sequence[Path] = (),
    slack: int = 0,
    cancelled: Callable[[], bool] = never,
) -> Path | None:
    """The target, a numbered name beside it, or a file called so in one of `others`, folders
    that share their names with the target's, if its content is this."""
    found = _by_name((target.parent, *others))
    number = 0
    while paths := found.get(same_key(numbered(target.name, number))):
        for path in paths:
            if same_content(path, size, sha256, slack=slack, cancelled=cancelled):
                return path
        number += 1
    return None


def _by_name(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """The files of folders, as far as they are there, by what `free_name` compares."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        with suppress(OSError):
            for path in folder.iterdir():
                found.setdefault(same_key(path.name), []).append(path)
    return found
