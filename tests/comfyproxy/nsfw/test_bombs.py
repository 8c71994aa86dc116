"""Files made to harm: each is answered in bounded time and memory, and the next one scored."""

import struct
import time
import zlib
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from comfyproxy.nsfw.score import Reason, Scored
from comfyproxy.nsfw.scorer import Scorer
from tests.comfyproxy.nsfw.samples import (
    BLUE,
    RED,
    animation,
    chunk,
    encoded,
    gif,
    noise,
    png,
    video,
)

MB = 1024**2


def scored(scorer: Scorer, path: Path, seconds: float = 10) -> Scored:
    """The answer, once it is known to have been cheap, and another file to be scored after it."""
    scorer.identity()
    assert scorer.pid is not None
    process, started = psutil.Process(scorer.pid), time.monotonic()
    found = scorer.score(path, seconds=seconds)
    assert time.monotonic() - started < seconds + 1
    if scorer.pid is not None:
        assert process.pid == scorer.pid
        assert process.memory_info().rss < 400 * MB
    red = path.with_name("red-after.png")
    Image.new("RGB", (8, 8), RED).save(red)
    after = scorer.score(red).score
    assert after is not None and after.value > 0.9
    return found


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def tiff(width: int, height: int) -> bytes:
    """A header that claims a picture, behind it a strip of zeros."""
    entries = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1)]
    entries += [(278, height), (279, width * height % 2**32)]
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, number) for tag, number in entries)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    return (head + fields + bytes(4)).ljust(5000, b"\0")


@pytest.mark.parametrize(
    "content",
    [
        png((60_000, 60_000), b""),
        png((2**31 - 1, 2**31 - 1), b""),
        gif(1, (65_535, 65_535)),
        tiff(60_000, 60_000),
        tiff(2**32 - 1, 2**32 - 1),
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 60_000, 60_000, 1, 24, *[0] * 6),
    ],
    ids=["png", "png-most", "gif", "tiff", "tiff-most", "bmp"],
)
def test_header_claims_a_huge_picture_it_is_not_decoded(
    shared: Scorer, tmp_path: Path, content: bytes
) -> None:
    found = scored(shared, written(tmp_path / "a", content), seconds=3)
    assert found.reason is Reason.TOO_MANY_PIXELS and found.frames == 0


def test_picture_of_the_largest_size_is_scored_in_the_memory_there_is(
    shared: Scorer, tmp_path: Path
) -> None:
    rows = (b"\0" + b"\xff\0\0\x80" * 10_000) * 10_000
    found = scored(shared, written(tmp_path / "a.png", png((10_000, 10_000), rows, 6)), 20)
    assert found.score is not None and found.score.value > 0.9


def test_picture_is_a_decompression_bomb_only_its_pixels_are_decoded(
    shared: Scorer, tmp_path: Path
) -> None:
    packer = zlib.compressobj(9)
    rows = b"".join([packer.compress(bytes(16 * MB)) for _ in range(64)]) + packer.flush()
    content = png((100, 100), b"").replace(chunk(b"IDAT", zlib.compress(b"", 1)), b"", 1)
    at = content.index(b"IEND") - 4
    content = content[:at] + chunk(b"IDAT", rows) + content[at:]
    found = scored(shared, written(tmp_path / "a.png", content), seconds=5)
    assert found.score is not None and found.score.value == 0


def test_texts_and_profile_are_bombs_nothing_comes_of_them(shared: Scorer, tmp_path: Path) -> None:
    packed = zlib.compress(bytes(200 * MB), 9)
    for extra in (
        chunk(b"zTXt", b"a\0\0" + packed),
        chunk(b"iCCP", b"a\0\0" + packed),
        chunk(b"iTXt", b"a\0\1\0\0\0" + packed),
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(MB - 100))) * 300,
    ):
        content = png((40, 40), (b"\0" + b"\xff\0\0" * 40) * 40, 2, extra)
        found = scored(shared, written(tmp_path / "a.png", content), seconds=5)
        assert found.score is None or found.score.value > 0.9


def test_gif_has_too_many_frames_it_is_not_decoded(shared: Scorer, tmp_path: Path) -> None:
    found = scored(shared, written(tmp_path / "a.gif", gif(100_000)), seconds=5)
    assert found.reason is Reason.TOO_LARGE


def test_gif_has_many_large_frames_it_is_not_decoded(shared: Scorer, tmp_path: Path) -> None:
    found = scored(shared, written(tmp_path / "a.gif", gif(1000, (9000, 9000))), seconds=5)
    assert found.reason is Reason.TOO_MANY_PIXELS


def test_animated_png_claims_billions_of_frames_it_is_not_decoded(
    shared: Scorer, tmp_path: Path
) -> None:
    content = animation("PNG", [RED, BLUE])
    at = content.index(b"acTL")
    told = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    path = written(tmp_path / "a.png", content[: at - 4] + told + content[at + 16 :])
    assert scored(shared, path, seconds=3).reason is Reason.TOO_LARGE


def test_tiff_pages_name_each_other_in_a_circle_it_is_answered(
    shared: Scorer, tmp_path: Path
) -> None:
    content = bytearray(tiff(4, 4))
    content[10 + 9 * 12 : 14 + 9 * 12] = struct.pack("<I", 8)
    scored(shared, written(tmp_path / "a.tif", bytes(content)), seconds=3)


def test_video_claims_absurd_dimensions_it_is_answered(shared: Scorer, tmp_path: Path) -> None:
    content = video(tmp_path / "a.mkv", [RED], codec="ffv1", each=3).read_bytes()
    # PixelWidth and PixelHeight, EBML's b0 and ba, each of one byte.
    huge = content.replace(b"\xb0\x81\x40", b"\xb0\x81\xff").replace(
        b"\xba\x81\x40", b"\xba\x81\xff"
    )
    assert huge != content
    scored(shared, written(tmp_path / "b.mkv", huge), seconds=5)
    movie = video(tmp_path / "a.mp4", [RED], each=3).read_bytes()
    sizes = struct.pack(">HH", 64, 64)
    for size in ((65_535, 65_535), (0, 0), (1, 65_535)):
        changed = movie.replace(sizes, struct.pack(">HH", *size))
        assert changed != movie
        scored(shared, written(tmp_path / "c.mp4", changed), seconds=5)


def test_video_claims_to_last_for_ages_it_is_answered(shared: Scorer, tmp_path: Path) -> None:
    content = video(tmp_path / "a.mp4", [RED, BLUE], each=10).read_bytes()
    for box in (b"mvhd", b"tkhd", b"mdhd", b"stts"):
        at = content.index(box) + 4
        changed = content[: at + 12] + b"\xff" * 8 + content[at + 20 :]
        scored(shared, written(tmp_path / "b.mp4", changed), seconds=5)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.mp4", "a.webm"])
def test_file_is_empty_it_is_not_called_harmless(shared: Scorer, tmp_path: Path, name: str) -> None:
    assert scored(shared, written(tmp_path / name, b"")).reason is Reason.UNDECODABLE


STARTS = [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"\0\0\1\0\1\0",
    b"II*\0\x08\0\0\0", b"RIFF\xff\0\0\0WEBPVP8 ", b"RIFF\xff\0\0\0WEBPVP8X",
    b"RIFF\xff\0\0\0AVI LIST",
    b"\0\0\0\x18ftypavif\0\0\0\0", b"\0\0\0\x18ftypisom\0\0\0\0", b"\x1a\x45\xdf\xa3", b"OggS\0\2",
    b"FLV\1\5\0\0\0\x09", b"\0\0\1\xba", b"\xff\x4f\xff\x51", b"",
]  # fmt: skip


@given(st.sampled_from(STARTS), st.binary(max_size=2000))
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_content_is_random_it_is_answered_and_nothing_crashes(
    shared: Scorer, tmp_path: Path, start: bytes, content: bytes
) -> None:
    found = shared.score(written(tmp_path / "a", start + content), seconds=5)
    assert found.reason not in (Reason.CRASHED, Reason.CLASSIFIER_FAILED)


SAMPLES = [
    *(
        encoded(noise((24, 24)), format)
        for format in ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF")
    ),
    *(animation(format, [RED, BLUE, RED]) for format in ("PNG", "GIF", "WEBP", "AVIF")),
]


@given(st.sampled_from(SAMPLES), st.data())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_picture_is_damaged_somewhere_and_the_next_one_is_scored_all_the_same(
    shared: Scorer, tmp_path: Path, sample: bytes, data: st.DataObject
) -> None:
    content = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:cut])):
        found = shared.score(written(tmp_path / "a.png", damaged), seconds=5)
        # A decoder may ask for more memory than the process has: it is another process then.
        assert found.reason is not Reason.CLASSIFIER_FAILED
        if found.reason is Reason.CRASHED:
            assert shared.score(written(tmp_path / "b.png", SAMPLES[0])).score is not None
