"""Which frames stand for a video: first, last, some between; nothing but what players play."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from comfyproxy.nsfw import frames as frames_module
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
    color_of,
    encoded,
    video,
)

COLORS = [RED, GREEN, BLUE, WHITE, BLACK]


def seen(path: Path, **limits: int) -> list[str]:
    return [color_of(picture) for picture in frames(path, FrameLimits(**limits))]


def refusal(path: Path, **limits: float) -> Reason:
    with pytest.raises(Unscorable) as refused:
        list(frames(path, FrameLimits(**limits)))  # type: ignore[arg-type]
    return refused.value.reason


def tone(path: Path, codec: str = "aac") -> Path:
    """Sound without a picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), "s16", "mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "mpeg4"), ("a.mp4", "libx264"), ("a.mov", "mpeg4"), ("a.webm", "libvpx"),
        ("a.webm", "libvpx-vp9"), ("a.mkv", "ffv1"), ("a.avi", "mjpeg"), ("a.ts", "mpeg2video"),
        ("a.flv", "flv"),
    ],
)  # fmt: skip
def test_video_shows_five_colours_each_is_seen_in_its_turn(
    tmp_path: Path, name: str, codec: str
) -> None:
    assert seen(video(tmp_path / name, COLORS, codec=codec, each=20)) == COLORS


@pytest.mark.parametrize("gop", [10, 1000])
def test_video_is_long_its_last_frame_is_seen(tmp_path: Path, gop: int) -> None:
    path = video(tmp_path / "a.mp4", [*[GREEN] * 49, RED], each=10, gop=gop)
    assert seen(path)[-1] == RED


def test_only_one_frame_is_wanted_it_is_the_first(tmp_path: Path) -> None:
    assert seen(video(tmp_path / "a.mp4", COLORS, each=5), frames=1) == [RED]


def test_video_has_one_key_frame_and_a_sample_is_too_far_from_it_it_is_too_large(
    tmp_path: Path,
) -> None:
    path = video(tmp_path / "a.mp4", COLORS, each=100, gop=1000)
    assert refusal(path, video_steps=20) is Reason.TOO_LARGE
    assert refusal(path, video_seconds=0.0) is Reason.TIMEOUT


def test_header_tells_of_a_much_longer_video_what_there_is_is_seen(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mkv", COLORS, codec="ffv1", each=20)
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Duration, an 8-byte float
    path.write_bytes(content[:at] + b"\x42\x00\0\0\0\0\0\0" + content[at + 8 :])
    assert set(seen(path)) == set(COLORS)


def test_header_tells_of_a_much_shorter_video_what_there_is_is_seen(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mkv", COLORS, codec="ffv1", each=20)
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3
    path.write_bytes(content[:at] + b"\x40\x00\0\0\0\0\0\0" + content[at + 8 :])
    assert set(seen(path)) == set(COLORS)


def test_video_breaks_off_the_part_that_is_there_is_seen(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mkv", COLORS, codec="ffv1", each=20, size=(320, 240))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    found = seen(path)
    assert found[0] == RED and GREEN in found


def test_file_has_sound_only_it_is_not_visual(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mkv"):
        assert refusal(tone(tmp_path / name)) is Reason.NOT_VISUAL


def test_frames_are_larger_than_allowed_they_are_not_decoded(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", [RED], each=3)
    assert refusal(path, pixels=64 * 64 - 1) is Reason.TOO_MANY_PIXELS


def test_video_is_large_what_is_seen_is_small(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", [RED], each=2, size=(640, 320))
    assert [each.size for each in frames(path, FrameLimits(side=64))] == [(64, 32)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n"),
        ("b.mp4", b"ffconcat version 1.0\nfile '/etc/hostname'\n"),
        ("c.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + bytes(100)),
        ("d.webm", b"\x1a\x45\xdf\xa3" + bytes(100)),
        ("e.avi", b"RIFF\xff\xff\xff\xffAVI LIST" + bytes(100)),
        ("f.ts", (b"G" + bytes(187)) * 10),
    ],
)
def test_file_is_no_video_or_names_others_it_is_undecodable(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path) is Reason.UNDECODABLE


def test_name_looks_like_an_address_or_a_pattern_the_file_is_opened(tmp_path: Path) -> None:
    for name in ("concat:a|b.mp4", "http:x%03d.mp4", "ü '\"\\ \n.mp4"):
        path = video(tmp_path / "a.mp4", [RED], each=2).rename(tmp_path / name)
        assert seen(path) == [RED]


def test_icon_is_a_video_as_well_both_are_seen(tmp_path: Path) -> None:
    # Its first 256 bytes are a box that players skip, and the entry of an icon.
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    movie = video(tmp_path / "a.mp4", [RED], each=3, options=fragments).read_bytes()
    picture = encoded(Image.new("RGB", (16, 16), BLUE), "PNG")
    entry = b"\x10\x10\0\0\1\0\x20\0" + len(picture).to_bytes(4, "little")
    icon = b"\0\0\1\0\1\0" + entry + (256 + len(movie)).to_bytes(4, "little")
    path = tmp_path / "b.ico"
    path.write_bytes(icon.ljust(256, b"\0") + movie + picture)
    assert seen(path) == [BLUE, RED]


def test_pyav_is_not_installed_the_reason_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = video(tmp_path / "a.mp4", [RED])
    monkeypatch.setattr(frames_module, "has_video", lambda: False)
    assert refusal(path) is Reason.NO_VIDEO_SUPPORT
