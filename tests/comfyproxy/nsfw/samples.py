"""Pictures, animations and videos for the tests, all made here: plain colours and noise."""

import io
import random
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
from PIL import Image

RED, GREEN, BLUE, WHITE, BLACK = "red", "lime", "blue", "white", "black"


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """A picture as a file of a format."""
    with io.BytesIO() as buffer:
        image.save(buffer, format=format, **options)
        return buffer.getvalue()


def noise(size: tuple[int, int], mode: str = "RGB", seed: int = 1) -> Image.Image:
    """What no format can make small."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    content = random.Random(seed).randbytes(size[0] * size[1] * bands)
    return Image.frombytes(mode, size, content)


def animation(format: str, colors: Sequence[str], size: tuple[int, int] = (64, 64)) -> bytes:
    """A frame of each colour."""
    first, *others = (Image.new("RGB", size, color) for color in colors)
    return encoded(first, format, save_all=True, append_images=others, duration=100)


def video(
    path: Path,
    colors: Sequence[str],
    *,
    codec: str = "mpeg4",
    each: int = 1,
    rate: int = 10,
    size: tuple[int, int] = (64, 64),
    gop: int = 250,
    options: dict[str, str] | None = None,
) -> Path:
    """A video that shows each colour for so many frames."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.gop_size = *size, gop
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for color in colors:
            picture = Image.new("RGB", size, color)
            for _ in range(each):
                container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(size: tuple[int, int], rows: bytes, color_type: int = 2, *extra: bytes) -> bytes:
    """A PNG by its own parts, so that header and content need not agree."""
    head = struct.pack(">IIBBBBB", *size, 8, color_type, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            *extra,
            chunk(b"IDAT", zlib.compress(rows, 1)),
            chunk(b"IEND", b""),
        )
    )


def gif(count: int, size: tuple[int, int] = (1, 1)) -> bytes:
    """A GIF with so many frames of one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", *size, 0x80, 0, 0) + b"\xff\0\0\0\0\0"
    control = b"\x21\xf9\x04\x00\x05\x00\x00\x00"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00"
    return head + (control + frame) * count + b"\x3b"


def color_of(picture: Image.Image) -> str:
    """The name of the plain colour that a picture has, about."""
    small = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert isinstance(small, tuple)
    names = {RED: (255, 0, 0), GREEN: (0, 255, 0), BLUE: (0, 0, 255)}
    names |= {WHITE: (255, 255, 255), BLACK: (0, 0, 0)}

    def distance(name: str) -> int:
        return sum(abs(one - other) for one, other in zip(small, names[name], strict=True))

    nearest = min(names, key=distance)
    assert distance(nearest) < 60, small
    return nearest
