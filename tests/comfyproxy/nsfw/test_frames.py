"""Which pictures stand for a file: all that a browser may show of it, and nothing undecoded."""

import struct
from pathlib import Path

import pytest
from PIL import Image

from comfyproxy.nsfw.config import FrameLimits
from comfyproxy.nsfw.errors import Unscorable
from comfyproxy.nsfw.frames import frames
from comfyproxy.nsfw.score import Reason
from tests.comfyproxy.nsfw.samples import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    WHITE,
    animation,
    chunk,
    color_of,
    encoded,
    noise,
    png,
)


def seen(path: Path, content: bytes, **limits: int) -> list[str]:
    """The colours of what stands for a file."""
    path.write_bytes(content)
    pictures = list(frames(path, FrameLimits(**limits)))
    assert all(picture.mode == "RGB" for picture in pictures)
    return [color_of(picture) for picture in pictures]


def refusal(path: Path, content: bytes, **limits: int) -> Reason:
    with pytest.raises(Unscorable) as refused:
        seen(path, content, **limits)
    return refused.value.reason


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "picture"


@pytest.mark.parametrize(
    "format", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "ICO", "TIFF", "JPEG2000"]
)
def test_picture_is_red_one_red_picture_stands_for_it(path: Path, format: str) -> None:
    found = seen(path, encoded(Image.new("RGB", (80, 60), RED), format))
    # An icon is saved in several sizes.
    assert set(found) == {RED} and (len(found) == 1 or format == "ICO")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "I;16", "I", "F"])
def test_picture_has_any_mode_it_is_seen(path: Path, mode: str) -> None:
    white = Image.new("RGB", (40, 40), WHITE)
    white.paste(BLACK, (0, 0, 2, 2))
    if mode == "I;16":
        image = Image.new("I;16", (40, 40), 65535)
    elif mode in ("I", "F"):
        image = white.convert("L").convert(mode)
    else:
        image = white.convert(mode)
    format = "TIFF" if mode in ("CMYK", "I", "F") else "PNG"
    assert seen(path, encoded(image, format)) == [WHITE]


def test_grey_has_16_bits_it_is_not_clipped(path: Path) -> None:
    path.write_bytes(encoded(Image.new("I;16", (40, 40), 0x4000), "PNG"))
    (picture,) = frames(path)
    assert picture.getpixel((0, 0)) == (0x40, 0x40, 0x40)


@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8, 9, 65535])
def test_picture_is_turned_by_exif_it_is_seen_as_browsers_turn_it(
    path: Path, orientation: int
) -> None:
    image = Image.new("RGB", (60, 40), RED)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.write_bytes(encoded(image, "JPEG", exif=exif))
    (picture,) = frames(path)
    assert picture.size == ((40, 60) if orientation in (6, 8) else (60, 40))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_exif_is_nonsense_the_picture_is_seen(path: Path) -> None:
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20)
    assert seen(path, encoded(Image.new("RGB", (60, 40), RED), "JPEG", exif=exif)) == [RED]


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "AVIF", "TIFF"])
def test_animation_has_few_frames_each_stands_for_it(path: Path, format: str) -> None:
    colors = [RED, GREEN, BLUE, WHITE]
    # AVIF's animations are videos as well, so both their ways of being seen are.
    assert seen(path, animation(format, colors)) in (colors, colors * 2)


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "AVIF"])
def test_animation_has_many_frames_first_and_last_and_some_between_stand_for_it(
    path: Path, format: str
) -> None:
    colors = [RED, *[GREEN, BLUE] * 20, WHITE]
    found = seen(path, animation(format, colors), frames=5)
    assert (found[0], found[-1]) == (RED, WHITE)
    assert len(found) <= (10 if format == "AVIF" else 5) and {GREEN, BLUE} & set(found)


def test_animated_png_tells_of_more_frames_than_it_has_those_are_seen(path: Path) -> None:
    pictures = [noise((32, 32), seed=seed) for seed in range(6)]
    content = encoded(pictures[0], "PNG", save_all=True, append_images=pictures[1:])
    at = content.index(b"acTL")
    told = chunk(b"acTL", struct.pack(">II", 10_000, 0))
    path.write_bytes(content[: at - 4] + told + content[at + 16 :])
    assert len(list(frames(path))) == 6


def test_colours_lie_below_the_transparency_what_view_shows_of_them_is_seen(path: Path) -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    # Colours alone, on a white page, on a black one, the transparency alone (the same as black).
    assert seen(path, encoded(image, "PNG")) == [RED, WHITE, BLACK]


def test_picture_lies_in_the_transparency_it_is_seen(path: Path) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 255, 255))
    alpha = Image.new("L", (64, 64), 255)
    alpha.paste(0, (0, 0, 64, 16))
    image.putalpha(alpha)
    path.write_bytes(encoded(image, "PNG"))
    plain, on_white, on_black, grey = frames(path)
    assert color_of(plain) == BLUE
    assert on_white.getpixel((5, 5)) == (255, 255, 255)
    assert on_black.getpixel((5, 5)) == (0, 0, 0)
    assert grey.getpixel((5, 5)) == (0, 0, 0) and grey.getpixel((5, 60)) == (255, 255, 255)


def test_transparency_is_whole_one_picture_is_seen(path: Path) -> None:
    assert seen(path, encoded(Image.new("RGBA", (40, 40), (255, 0, 0, 255)), "PNG")) == [RED]


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_one_colour_is_transparent_it_is_seen_as_such(path: Path, mode: str) -> None:
    image = Image.new("RGB", (40, 40), BLACK).convert(mode)
    transparent = (0, 0, 0) if mode == "RGB" else 0
    assert WHITE in seen(path, encoded(image, "PNG", transparency=transparent))


def test_colours_alternate_with_transparency_they_are_mixed_as_on_a_page(path: Path) -> None:
    # Black where it is transparent, red where it is not: made small the other way it is brown.
    image = Image.new("RGBA", (4096, 8), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 4096, 4))
    path.write_bytes(encoded(image.resize((4096, 4096), Image.Resampling.NEAREST), "PNG"))
    pictures = list(frames(path, FrameLimits(side=64)))
    assert max(picture.size[0] for picture in pictures) <= 64
    assert pictures[1].getpixel((0, 0)) == (255, 0, 0)


def test_strip_is_long_pieces_of_it_are_seen_as_well(path: Path) -> None:
    strip = Image.new("RGB", (100, 2000), WHITE)
    strip.paste(RED, (0, 1000, 100, 1200))
    assert RED in seen(path, encoded(strip, "PNG"))
    assert RED in seen(path, encoded(strip.transpose(Image.Transpose.ROTATE_90), "PNG"))


def test_icon_holds_several_pictures_all_are_seen(path: Path) -> None:
    red = Image.new("RGB", (64, 64), RED)
    blue = Image.new("RGB", (32, 32), BLUE)
    content = encoded(red, "ICO", sizes=[(64, 64), (32, 32)], append_images=[blue])
    assert seen(path, content) == [RED, BLUE]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("trailer", [b"PK\x03\x04" + bytes(500), b"<html><script>"])
def test_picture_has_something_else_behind_it_the_picture_is_seen(
    path: Path, format: str, trailer: bytes
) -> None:
    image = Image.new("RGB", (40, 40), RED)
    assert seen(path, encoded(image, format) + trailer) == [RED]


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_picture_breaks_off_what_there_is_of_it_is_seen(path: Path, format: str) -> None:
    image = noise((400, 400))
    image.paste(RED, (0, 0, 400, 100))
    content = encoded(image, format)
    path.write_bytes(content[: len(content) // 2])
    (picture,) = frames(path)
    assert color_of(picture.crop((0, 0, 400, 90))) == RED


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_picture_breaks_off_behind_its_header_it_is_undecodable(path: Path, format: str) -> None:
    content = encoded(noise((400, 400)), format)
    end = content.index(b"IDAT") + 8 if format == "PNG" else content.index(b"\xff\xda") + 14
    for cut in (end, end - 10):
        assert refusal(path, content[:cut]) is Reason.UNDECODABLE


def test_animation_breaks_off_the_frames_before_are_seen(path: Path) -> None:
    pictures = [noise((64, 64), seed=seed) for seed in range(6)]
    content = encoded(pictures[0], "GIF", save_all=True, append_images=pictures[1:])
    path.write_bytes(content[: len(content) // 2])
    assert 2 <= len(list(frames(path))) <= 4


def test_picture_is_twice_the_same_it_is_seen_once(path: Path) -> None:
    assert seen(path, animation("WEBP", [RED] * 6)) == [RED]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.NOT_VISUAL),
        (b"hello", Reason.NOT_VISUAL),
        (b"<svg/>", Reason.UNDECODABLE),
        (b"%PDF-1.4", Reason.UNDECODABLE),
        (b"\x89PNG\r\n\x1a\n", Reason.UNDECODABLE),
        (b"\xff\xd8\xff\xe0", Reason.UNDECODABLE),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Reason.UNDECODABLE),
    ],
)
def test_nothing_can_be_decoded_the_reason_says_so(
    path: Path, content: bytes, reason: Reason
) -> None:
    assert refusal(path, content) is reason


def test_name_is_a_pictures_but_the_content_is_none_it_is_not_called_harmless(
    tmp_path: Path,
) -> None:
    for name in ("a.png", "a.mp4", "a.svg"):
        assert refusal(tmp_path / name, b"hello") is Reason.UNDECODABLE


def test_picture_has_more_bytes_than_allowed_it_is_too_large(path: Path) -> None:
    content = encoded(Image.new("RGB", (40, 40)), "PNG")
    assert refusal(path, content, image_bytes=len(content) - 1) is Reason.TOO_LARGE


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_picture_has_more_pixels_than_allowed_it_is_not_decoded(path: Path) -> None:
    content = encoded(Image.new("RGB", (40, 41), RED), "PNG")
    assert refusal(path, content, pixels=1639) is Reason.TOO_MANY_PIXELS
    assert seen(path, content, pixels=1640) == [RED]


def test_animation_has_more_frames_or_pixels_than_allowed_it_is_not_decoded(path: Path) -> None:
    content = animation("GIF", [RED, BLUE] * 5)
    assert refusal(path, content, animation_frames=9) is Reason.TOO_LARGE
    pixels = 64 * 64 * 10
    assert refusal(path, content, animation_pixels=pixels - 1) is Reason.TOO_MANY_PIXELS
    assert set(seen(path, content, animation_pixels=pixels)) == {RED, BLUE}


def test_file_is_none_it_is_an_error_of_the_machine(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(OSError):
            list(frames(path))


def test_png_holds_sound_parts_besides_they_are_skipped(path: Path) -> None:
    text = chunk(b"tEXt", b"workflow\0" + b"x" * 3_000_000)
    assert seen(path, png((40, 40), (b"\0" + b"\xff\0\0" * 40) * 40, 2, text)) == [RED]
