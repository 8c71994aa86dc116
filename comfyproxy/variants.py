"""What ComfyUI converts for `/view` (`preview=`, `channel=`), kept on the disk.

It takes 150 ms a picture, in the loop that serves everyone, and a gallery asks for hundreds again
and again. What is kept belongs to one version of one file: another file of the name is another.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from django.conf import settings

from accounts import metrics
from comfyproxy.files import FileRef, namespace_of
from comfyproxy.userdata.disk import written_aside

logger = logging.getLogger(__name__)

MAX_VARIANT_BYTES: Final = 16 * 1024 * 1024
# Of what belongs to nobody, in place of a user's namespace.
_NOBODYS: Final = "_"
# So much is written between two looks at how much there is in all.
_SWEEP_EVERY_BYTES: Final = 16 * 1024 * 1024
# What a sweep leaves.
_KEPT_PART: Final = 0.8
_CONVERTED: Final = frozenset({"rgb", "a"})

_written = _SWEEP_EVERY_BYTES


@dataclass(frozen=True, slots=True)
class Variant:
    """A converted picture as ComfyUI sent it; `tag` names it for clients."""

    tag: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


def is_converted(shown_as: Mapping[str, str]) -> bool:
    """Whether ComfyUI makes another picture for these parameters of `/view`."""
    return "preview" in shown_as or shown_as.get("channel") in _CONVERTED


def folder() -> Path:
    """Where they lie: a folder for each user."""
    return Path(settings.MSS_DATA_DIR) / "variants"


def name_of(ref: FileRef, version: str, shown_as: Mapping[str, str]) -> str:
    """What a variant is called, here and to clients."""
    what = [ref.type, ref.subfolder, ref.filename, version, sorted(shown_as.items())]
    return hashlib.sha256(orjson.dumps(what)).hexdigest()[:40]


async def kept(ref: FileRef, version: str, shown_as: Mapping[str, str]) -> Variant | None:
    """The variant of that version of the file, if it is kept."""
    found = await asyncio.to_thread(_read, ref, name_of(ref, version, shown_as))
    metrics.looked_up("variant", was_there=found is not None)
    return found


async def keep(
    ref: FileRef,
    version: str,
    shown_as: Mapping[str, str],
    headers: Sequence[tuple[bytes, bytes]],
    body: bytes,
) -> None:
    """Keep what ComfyUI answered. A disk that takes nothing is no reason to fail."""
    await asyncio.to_thread(_write, ref, name_of(ref, version, shown_as), headers, body)


def _path(ref: FileRef, name: str) -> Path:
    return folder() / (namespace_of(ref.path) or _NOBODYS) / name


def _read(ref: FileRef, name: str) -> Variant | None:
    path = _path(ref, name)
    try:
        data = path.read_bytes()
        # The oldest go first: this one is in use.
        os.utime(path)
    except OSError:
        return None
    head, _, body = data.partition(b"\n")
    try:
        pairs = orjson.loads(head)
        headers = [(key.encode("latin-1"), text.encode("latin-1")) for key, text in pairs]
    except (orjson.JSONDecodeError, ValueError):
        return None
    return Variant(name, headers, body)


def _write(ref: FileRef, name: str, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
    global _written
    path = _path(ref, name)
    head = orjson.dumps([(key.decode("latin-1"), text.decode("latin-1")) for key, text in headers])
    try:
        with written_aside(path.parent, head + b"\n" + body) as aside:
            aside.replace(path)
        _written += len(body)
        if _written >= _SWEEP_EVERY_BYTES:
            _written = 0
            sweep(settings.MSS_VARIANTS_MB * 1024 * 1024)
    except Exception as error:
        logger.warning("a converted picture could not be kept: %s", error)


def sweep(max_bytes: int) -> None:
    """Remove those that were not asked for the longest, if all together are too large."""
    found = sorted(_entries())
    total = sum(size for _, size, _ in found)
    if total <= max_bytes:
        return
    for _, size, path in found:
        with suppress(OSError):
            path.unlink()
        total -= size
        if total <= max_bytes * _KEPT_PART:
            return


def _entries() -> Iterator[tuple[float, int, Path]]:
    """(when last asked for, bytes, path) of each."""
    for path in folder().glob("*/*"):
        with suppress(OSError):
            found = path.stat()
            yield found.st_mtime, found.st_size, path
