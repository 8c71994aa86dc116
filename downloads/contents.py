"""Whether a file on the disk has a content that is known by size and SHA-256."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from downloads.errors import Cancelled
from downloads.paths import numbered
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
    target: Path, size: int, sha256: str, *, slack: int = 0, cancelled: Callable[[], bool] = never
) -> Path | None:
    """The target, or a numbered name beside it, if its content is this."""
    number = 0
    while (path := target.with_name(numbered(target.name, number))).exists():
        if same_content(path, size, sha256, slack=slack, cancelled=cancelled):
            return path
        number += 1
    return None
