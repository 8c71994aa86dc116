"""What one decoded picture can look like in a browser: small RGB pictures for a classifier."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from PIL import Image, ImageChops

# A strip longer than this, times its breadth, is also shown in pieces: squeezed into a
# classifier's square nothing would be seen of it.
_STRIP: Final = 3
_PIECE: Final = 2
_MAX_PIECES: Final = 12
_MIN_BREADTH: Final = 64
_ORIENTATION_TAG: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def views(
    image: Image.Image, side: int, turn: Image.Transpose | None = None
) -> Iterator[Image.Image]:
    """RGB pictures, at most `side` pixels long, that stand for a decoded one of any mode.

    With transparency in it: the colours without it and the transparency as greys, which are
    ComfyUI's `/view?channel=rgb` and `channel=a` (server.py, view_image), and the picture on a
    white and on a black page.
    """
    for piece in _pieces(image):
        for view in _views(piece, side):
            yield view if turn is None else view.transpose(turn)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How a browser turns it, by its EXIF. What is wrong with that is no reason to fail."""
    turn = None
    with suppress(Exception):
        turn = _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    return turn


def _pieces(image: Image.Image) -> Iterator[Image.Image]:
    yield image
    width, height = image.size
    breadth, length = min(image.size), max(image.size)
    if breadth < _MIN_BREADTH or length <= _STRIP * breadth:
        return
    long = _PIECE * breadth
    count = min(_MAX_PIECES, -(-length // long))
    for index in range(count):
        at = index * (length - long) // (count - 1)
        is_wide = width > height
        yield image.crop((at, 0, at + long, height) if is_wide else (0, at, width, at + long))


def _views(image: Image.Image, side: int) -> Iterator[Image.Image]:
    if not image.has_transparency_data:
        yield _small(_rgb(image), side)
        return
    rgba = image.convert("RGBA")
    plain = _small(rgba.convert("RGB"), side)
    yield plain
    if rgba.getchannel("A").getextrema() == (255, 255):
        return
    # Multiplied by the alpha before it becomes smaller: afterwards colours that nobody sees
    # would be mixed into those that are.
    multiplied = _small(rgba.convert("RGBa"), side)
    *colours, alpha = multiplied.split()
    on_black = Image.merge("RGB", colours)
    around = ImageChops.invert(alpha)
    on_white = ImageChops.add(on_black, Image.merge("RGB", (around, around, around)))
    for view in (on_white, on_black):
        if not _is_same(view, plain):
            yield view
    yield alpha.convert("RGB")


def _is_same(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is None


def _small(image: Image.Image, side: int) -> Image.Image:
    """Always a copy: the picture may be the one that the next frame is decoded into."""
    width, height = image.size
    scale = max(width, height) / side
    if scale <= 1:
        return image.copy()
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _rgb(image: Image.Image) -> Image.Image:
    """Modes that Pillow would clip to 255 are scaled, as browsers do."""
    if image.mode.startswith("I;16"):
        # Bits of a 16-bit grey.
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    elif image.mode in ("I", "F"):
        low, high = image.getextrema()
        assert isinstance(low, (int, float)) and isinstance(high, (int, float))
        scale = 255 / (high - low) if high > low else 0
        image = image.point(lambda value: value * scale - low * scale).convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")
