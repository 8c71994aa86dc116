"""Opens pictures and animations with Pillow, bounded by what their headers say they need.

Sets `Image.MAX_IMAGE_PIXELS` and `ImageFile.LOAD_TRUNCATED_IMAGES`, which are Pillow's for the
whole process: a process of its own is meant to do this.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from PIL import IcoImagePlugin, Image, ImageChops, ImageFile

from comfyproxy.nsfw.config import FrameLimits
from comfyproxy.nsfw.errors import Unscorable
from comfyproxy.nsfw.score import Reason
from comfyproxy.nsfw.views import turn_of, views

# What browsers show. Pillow reads more than that, in code that fewer people look at. Not CUR:
# of several pictures in such a file Pillow reads one only.
_BROWSERS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "ICO", "JPEG2000")
Image.init()
# Pillow may be built without some.
FORMATS: Final = tuple(format for format in _BROWSERS if format in Image.OPEN)
# Frames of these are only found, or decoded, one after the other.
_SEQUENTIAL: Final = ("GIF", "PNG")

# What is decoded of a damaged picture is looked for on a grid: on so many of its points, by so
# much of 255. Of a JPEG without any content libjpeg still makes a few wild pixels.
_GRID: Final = 32
_DECODED: Final = 16
_UNEQUAL: Final = 4


def still_views(path: Path, limits: FrameLimits) -> list[Image.Image]:
    """What stands for a picture or animation; of a damaged one the part that can be decoded.

    Raises:
        Unscorable: nothing can be decoded, or it is too large
        MemoryError
    """
    try:
        return list(_all_views(path, limits, is_damaged=False))
    except (Unscorable, MemoryError):
        raise
    except Exception:  # noqa: S110 - whatever Pillow stumbled over, the other way is tried
        pass
    try:
        found = list(_all_views(path, limits, is_damaged=True))
    except (Unscorable, MemoryError):
        raise
    except Exception as error:
        raise Unscorable(Reason.UNDECODABLE) from error
    # Pillow fills what it could not decode with one colour, perhaps all of it.
    found = [view for view in found if not _is_blank(view)]
    if not found:
        raise Unscorable(Reason.UNDECODABLE)
    return found


def spread(count: int, wanted: int) -> list[int]:
    """At most so many of 0 … count-1, the first and the last among them."""
    if count <= wanted:
        return list(range(count))
    return sorted({round(step * (count - 1) / max(1, wanted - 1)) for step in range(wanted)})


def require_pixels(size: tuple[int, int], limits: FrameLimits) -> None:
    """Raise Unscorable for a picture that would be too large in memory."""
    if size[0] * size[1] > limits.pixels:
        raise Unscorable(Reason.TOO_MANY_PIXELS)


def _is_blank(view: Image.Image) -> bool:
    """Whether next to nothing differs from the last corner, which is decoded last."""
    small = view.resize((_GRID, _GRID), Image.Resampling.BOX)
    corner = small.crop((_GRID - 1, _GRID - 1, _GRID, _GRID)).resize(small.size)
    differs = ImageChops.difference(small, corner).convert("L").histogram()
    return sum(differs[_UNEQUAL:]) < _DECODED


def _all_views(path: Path, limits: FrameLimits, *, is_damaged: bool) -> Iterator[Image.Image]:
    # Pillow refuses twice as many as this, also where it finds further pictures in a file.
    Image.MAX_IMAGE_PIXELS = (limits.pixels + 1) // 2
    ImageFile.LOAD_TRUNCATED_IMAGES = is_damaged
    try:
        with Image.open(path, formats=FORMATS) as image:
            require_pixels(image.size, limits)
            if isinstance(image, IcoImagePlugin.IcoImageFile):
                yield from _icons(image, limits)
                return
            turn = turn_of(image)
            for frame in _frames(image, limits, is_damaged):
                yield from views(frame, limits.side, turn)
    except Image.DecompressionBombError as error:
        raise Unscorable(Reason.TOO_MANY_PIXELS) from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _icons(image: IcoImagePlugin.IcoImageFile, limits: FrameLimits) -> Iterator[Image.Image]:
    """All pictures of an icon: which of them a browser shows depends on the room it has."""
    count = len(image.ico.entry)
    if count > limits.animation_frames:
        raise Unscorable(Reason.TOO_LARGE)
    for index in spread(count, max(16, limits.frames)):
        icon = image.ico.frame(index)
        require_pixels(icon.size, limits)
        icon.load()
        yield from views(icon, limits.side)


def _frames(
    image: ImageFile.ImageFile, limits: FrameLimits, is_damaged: bool
) -> Iterator[Image.Image]:
    count: int = getattr(image, "n_frames", 1)
    if count <= 1:
        # JPEG is decoded at half, a quarter, an eighth of its size; others are left as they are.
        image.draft(image.mode, (limits.side, limits.side))
        image.load()
        yield image
        return
    if count > limits.animation_frames:
        raise Unscorable(Reason.TOO_LARGE)
    width, height = image.size
    if count * width * height > limits.animation_pixels:
        raise Unscorable(Reason.TOO_MANY_PIXELS)
    if is_damaged:
        count = _reachable(image, count, limits)
    yield from _sampled(image, count, limits)


def _sampled(
    image: ImageFile.ImageFile, count: int, limits: FrameLimits
) -> Iterator[ImageFile.ImageFile]:
    samples = spread(count, limits.frames)
    for index in range(count) if image.format in _SEQUENTIAL else samples:
        image.seek(index)
        require_pixels(image.size, limits)
        if index in samples:
            image.load()
            yield image


def _reachable(image: ImageFile.ImageFile, count: int, limits: FrameLimits) -> int:
    """How many frames there are before the file ends, or tells of others that it lacks."""
    index = 0
    try:
        for index in range(count):
            image.seek(index)
            require_pixels(image.size, limits)
            if image.format not in _SEQUENTIAL:
                image.load()
    except (EOFError, OSError):
        count = index
    image.seek(0)
    return max(1, count)
