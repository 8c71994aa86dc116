"""What a file is by its beginning and its name: never a picture taken for something else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comfyproxy.nsfw.kinds import (
    HEAD_BYTES,
    Kind,
    kind_of,
    kind_of_name,
    may_be_visual,
)
from tests.comfyproxy.nsfw.samples import animation, encoded, video

BOX = b"\0\0\0\x10"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@given(st.binary(max_size=700))
def test_anybody_gives_any_bytes_they_are_of_some_kind(head: bytes) -> None:
    assert kind_of(head) in Kind


@given(st.text(max_size=60))
def test_anybody_gives_any_name_it_may_be_visual_or_not(name: str) -> None:
    assert kind_of_name(name) is Kind.OTHER or may_be_visual(name)


@pytest.mark.parametrize(
    "format",
    ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "ICO", "TIFF", "JPEG2000", "MPO"],
)
def test_pillow_writes_a_picture_it_is_known(format: str) -> None:
    content = encoded(Image.new("RGB", (32, 32)), format)
    assert kind_of(content[:HEAD_BYTES]) is Kind.IMAGE


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "AVIF"])
def test_pillow_writes_an_animation_it_is_known(format: str) -> None:
    assert kind_of(animation(format, ["red", "lime"])[:HEAD_BYTES]) is Kind.IMAGE


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "mpeg4"), ("a.mov", "mpeg4"), ("a.m4v", "mpeg4"), ("a.3gp", "mpeg4"),
        ("a.webm", "libvpx"), ("a.mkv", "ffv1"), ("a.avi", "mjpeg"), ("a.ts", "mpeg2video"),
        ("a.m2ts", "mpeg2video"), ("a.mpg", "mpeg2video"), ("a.flv", "flv"),
    ],
)  # fmt: skip
def test_ffmpeg_writes_a_video_it_is_known(tmp_path: Path, name: str, codec: str) -> None:
    size = (176, 144)
    content = video(tmp_path / name, ["red"], codec=codec, each=5, rate=25, size=size)
    assert kind_of(content.read_bytes()[:HEAD_BYTES]) is Kind.VIDEO
    assert kind_of_name(name) is Kind.VIDEO


@pytest.mark.parametrize(
    "head",
    [
        SVG,
        b"\xef\xbb\xbf" + SVG,
        b" \r\n\t<?xml version='1.0'?>\n<!-- <p> -->\n" + SVG,
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x">' + SVG,
        b'<!DOCTYPE svg [<!ENTITY a "b">]><!-- x -->' + SVG,
        b'<x:svg xmlns:x="http://www.w3.org/2000/svg"/>',
        "\ufeff<svg />".encode("utf-16-le"),
        "\ufeff<svg>".encode("utf-16-be"),
        b"<!--" + b"x" * HEAD_BYTES,
        b"<?xml version='1.0'?>",
    ],
)
def test_svg_begins_with_what_xml_may_begin_with_it_is_a_picture(head: bytes) -> None:
    assert kind_of(head[:HEAD_BYTES]) is Kind.IMAGE


@pytest.mark.parametrize(
    "head",
    [
        b"\xff\x0a\0\0",
        b"\0\0\0\x0cJXL \r\n\x87\n",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x18ftypisom\0\0\0\0isomavif",
        b"\0\0\2\0\1\0",
        b"II+\0\x08\0\0\0",
        b"junk before\n%PDF-1.7\n",
    ],
)
def test_browsers_know_more_pictures_than_pillow_writes_they_are_known(head: bytes) -> None:
    assert kind_of(head) is Kind.IMAGE


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\x18ftypM4V \0\0\0\0isommp42",
        b"\0\0\0\x08wide\0\0\0\x08mdat",
        BOX + b"abcd" + bytes(8) + b"\0\0\0\x10ftypisom\0\0\0\0",
        BOX + b"free",
        b"OggS\0\2",
        b"\0\0\1\xb3\x10\x10",
    ],
)
def test_player_would_play_it_it_is_a_video(head: bytes) -> None:
    assert kind_of(head) is Kind.VIDEO


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"ID3\x04\0\0",
        b"fLaC\0\0\0\x22",
        b"PK\x03\x04",
        b"glTF\2\0\0\0",
        b'{"a": 1}',
        b"<!doctype html><html><p>",
        b"<?xml version='1.0'?><note/>",
        b"\x08\0\0\0\0\0\0\0{}",
    ],
)
def test_file_is_no_picture_it_is_told(head: bytes) -> None:
    assert kind_of(head) is Kind.OTHER


@pytest.mark.parametrize(
    "name",
    ["a.mp3", "A.TXT", "b.safetensors", "c.png.json", "x/y.glb", "z.tar.gz"],
)
def test_name_is_of_sound_text_or_models_it_is_not_visual(name: str) -> None:
    assert not may_be_visual(name)


@pytest.mark.parametrize(
    "name",
    ["a.png", "a", "", ".txt", "a.", "a.txt.", "a.mp3 ", "a.xyz", "a.html", "a.mp3/b", "a.pdf"],
)
def test_name_is_of_pictures_or_unknown_it_may_be_visual(name: str) -> None:
    assert may_be_visual(name)
