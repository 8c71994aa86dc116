"""The pictures that stand for a file which nobody has looked into: of an untrusted file.

Run it in a process of its own (child.py): what it calls is C code that decodes whatever comes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from PIL import Image

from comfyproxy.nsfw.config import FrameLimits, has_video
from comfyproxy.nsfw.errors import Unscorable
from comfyproxy.nsfw.kinds import HEAD_BYTES, Kind, kind_of, kind_of_name
from comfyproxy.nsfw.score import Reason
from comfyproxy.nsfw.stills import still_views

__all__ = ["FrameLimits", "frames"]

_MAX_BOXES: Final = 256
_MOVIES: Final = (b"moov", b"moof")


def frames(path: Path, limits: FrameLimits | None = None) -> Iterator[Image.Image]:
    """RGB pictures, at most `limits.side` long, that stand for a picture, animation or video.

    A file that may be several things is looked at as each of them: who plays it decides.

    Raises:
        Unscorable: there is none; or not all may be looked at, so that what was yielded before
            says nothing about the file
        MemoryError, OSError: also of a file that is not there
    """
    limits = limits or FrameLimits()
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no file.")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    kind, told = kind_of(head), kind_of_name(path.name)
    if kind is Kind.OTHER:
        # Nothing that browsers know; but this one would be told that it is a picture.
        kind = told
    if kind is Kind.OTHER:
        raise Unscorable(Reason.NOT_VISUAL)
    size = path.stat().st_size
    if size > (limits.image_bytes if kind is Kind.IMAGE else limits.video_bytes):
        raise Unscorable(Reason.TOO_LARGE)
    yield from _once(_views(path, kind, limits))
    if kind is Kind.IMAGE and (told is Kind.VIDEO or _holds_movie(path)):
        yield from _once(_perhaps(path, limits))


def _views(path: Path, kind: Kind, limits: FrameLimits) -> Iterator[Image.Image]:
    if kind is Kind.IMAGE:
        yield from still_views(path, limits)
    elif has_video():
        from comfyproxy.nsfw.videos import video_views

        yield from video_views(path, limits)
    else:
        raise Unscorable(Reason.NO_VIDEO_SUPPORT)


def _holds_movie(path: Path) -> bool:
    """Whether a player would find a video in a picture: AVIF's boxes may hold both, and the first
    bytes of an icon can be the head of a box that players skip (ISO/IEC 14496-12, 4.2)."""
    at, length = 0, path.stat().st_size
    with path.open("rb") as file:
        for _ in range(_MAX_BOXES):
            file.seek(at)
            head = file.read(16)
            if head[4:8] in _MOVIES:
                return True
            size = int.from_bytes(head[:4])
            if size == 1:
                size = int.from_bytes(head[8:])
            at += size
            if size < 8 or len(head) < 8 or at >= length:
                return False
    # So many that it is made to be odd.
    return True


def _perhaps(path: Path, limits: FrameLimits) -> Iterator[Image.Image]:
    """A picture as a video, if it is one as well."""
    try:
        yield from _views(path, Kind.VIDEO, limits)
    except Unscorable as error:
        if error.reason not in (Reason.UNDECODABLE, Reason.NOT_VISUAL, Reason.NO_VIDEO_SUPPORT):
            raise


def _once(pictures: Iterator[Image.Image]) -> Iterator[Image.Image]:
    """Without those that look like the one before: animations often stand still."""
    before = b""
    for picture in pictures:
        content = picture.tobytes()
        if content != before:
            yield picture
        before = content
