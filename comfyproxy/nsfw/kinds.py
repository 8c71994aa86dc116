"""What a file is by its first bytes and by its name: does a browser show it as a picture? Pure.

Where in doubt the answer is yes: what is taken for a picture wrongly is only looked at in vain.
After the MIME Sniffing Standard (https://mimesniff.spec.whatwg.org), ISO/IEC 14496-12 (boxes),
ISO/IEC 18181-2 (JPEG XL) and what ffmpeg's demuxers probe for (mov_probe in mov.c).
"""

import re
from enum import Enum
from pathlib import PurePath
from typing import Final

# How much of a file's beginning `kind_of` wants to see: SVG may begin with comments.
HEAD_BYTES: Final = 16_384


class Kind(Enum):
    """What a browser would show."""

    IMAGE = "image"
    VIDEO = "video"
    OTHER = "other"


_IMAGE_STARTS: Final = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"\0\0\1\0",  # ICO
    b"\0\0\2\0",  # CUR
    b"II*\0",  # TIFF, then BigTIFF
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\xff\x0a",  # JPEG XL, bare and boxed
    b"\0\0\0\x0cJXL \r\n\x87\n",
    b"\xff\x4f\xff\x51",  # JPEG 2000 (Safari), bare and boxed
    b"\0\0\0\x0cjP  \r\n\x87\n",
)
_VIDEO_STARTS: Final = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"OggS",  # perhaps sound only
    b"FLV",
    b"\0\0\1\xba",  # MPEG-PS, bare MPEG video
    b"\0\0\1\xb3",
)
_PICTURE_BRANDS: Final = frozenset(
    {
        b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs",
        b"mif1", b"mif2", b"msf1", b"miaf", b"jxl ", b"jp2 ", b"jpx ",
    }
)  # fmt: skip
_BOXES: Final = frozenset(
    {
        b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"sidx", b"ssix", b"emsg", b"wide", b"pnot",
        b"free", b"skip", b"udta", b"uuid", b"junk", b"pict", b"prft", b"mvhd", b"meta",
    }
)  # fmt: skip
_MAX_BOXES: Final = 32
_TS_PACKET: Final = 188
_BLANK: Final = b" \t\r\n\f"
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
# What may stand before the first element of XML; a part that the head cuts off ends it.
_PROLOG: Final = re.compile(
    rb"\s*(?:<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)"
    rb"|<!doctype[^\[>]*(?:\[.*?(?:\]\s*>|\Z)|>|\Z))",
    re.DOTALL | re.IGNORECASE,
)
_SVG: Final = re.compile(rb"<(?:[\w.-]+:)?svg[\s/>]", re.IGNORECASE)

_SUFFIXES: Final = {
    **dict.fromkeys(
        (
            ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".pjp", ".pjpeg", ".gif", ".webp",
            ".avif", ".avifs", ".heic", ".heif", ".bmp", ".dib", ".ico", ".cur", ".tif", ".tiff",
            ".jxl", ".jp2", ".svg", ".svgz", ".pdf",
        ),
        Kind.IMAGE,
    ),
    **dict.fromkeys(
        (
            ".mp4", ".m4v", ".mov", ".qt", ".webm", ".mkv", ".avi", ".ogv", ".ogm", ".mpg",
            ".mpeg", ".ts", ".m2ts", ".mts", ".flv", ".3gp", ".3g2",
        ),
        Kind.VIDEO,
    ),
}  # fmt: skip
_NEVER_VISUAL: Final = frozenset(
    {
        ".mp3", ".flac", ".wav", ".ogg", ".oga", ".opus", ".m4a", ".aac",
        ".txt", ".json", ".csv", ".md", ".yaml", ".yml", ".log", ".srt", ".vtt",
        ".safetensors", ".latent", ".gguf", ".pt", ".pth", ".ckpt", ".bin", ".onnx", ".npz",
        ".npy",
        ".glb", ".gltf", ".obj", ".mtl", ".stl", ".ply", ".fbx", ".usdz", ".splat", ".spz",
        ".ksplat",
        ".zip", ".7z", ".rar", ".tar", ".gz", ".bz2", ".xz", ".zst",
    }
)  # fmt: skip


def kind_of(head: bytes) -> Kind:
    """What a file is that begins so; give `HEAD_BYTES` of it, or all there is."""
    if head.startswith(_IMAGE_STARTS):
        return Kind.IMAGE
    if head.startswith(_VIDEO_STARTS) or _is_transport_stream(head):
        return Kind.VIDEO
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind.IMAGE
    if head[:4] in (b"RIFF", b"ON2 ") and head[8:11] == b"AVI":
        return Kind.VIDEO
    # Browsers show the pages of a PDF, and everything up to its mark is skipped by them.
    if b"%PDF-" in head[:1024] or _is_svg(head):
        return Kind.IMAGE
    return _kind_of_boxes(head)


def kind_of_name(filename: str) -> Kind:
    """What a browser is told that a file is: ComfyUI makes Content-Type from the name."""
    return _SUFFIXES.get(_suffix(filename), Kind.OTHER)


def may_be_visual(filename: str) -> bool:
    """Whether a browser might show a file of this name as a picture or video.

    False only for suffixes known to be something else; so not for unknown ones, nor for none.
    """
    return _suffix(filename) not in _NEVER_VISUAL


def _suffix(filename: str) -> str:
    return PurePath(filename.replace("\0", "")).suffix.lower()


def _is_transport_stream(head: bytes) -> bool:
    # Three packets in a row; those of Blu-ray discs (.m2ts) have a time code before each.
    return any(head[code :: code + _TS_PACKET][:3] == b"GGG" for code in (0, 4))


def _is_svg(head: bytes) -> bool:
    """XML that has an `svg` element near its start, or has not begun its first element yet."""
    for bom in _BOMS:
        if head.startswith(bom):
            head = head[len(bom) :]
            break
    # In UTF-16 every other byte is 0.
    text = head.replace(b"\0", b"").lstrip(_BLANK)
    if not text.startswith(b"<"):
        return False
    if _SVG.search(text):
        return True
    at = 0
    while found := _PROLOG.match(text, at):
        at = found.end()
    return not text[at:].strip(_BLANK)


def _kind_of_boxes(head: bytes) -> Kind:
    """MP4 and its relatives: a box is its size, a name and its content. Others may come first."""
    at = 0
    for _ in range(_MAX_BOXES):
        size, name = int.from_bytes(head[at : at + 4]), head[at + 4 : at + 8]
        if name in (b"ftyp", b"styp"):
            brands = head[at + 8 : at + max(size, 16)]
            every = {brands[:4], *(brands[i : i + 4] for i in range(8, len(brands), 4))}
            return Kind.IMAGE if every & _PICTURE_BRANDS else Kind.VIDEO
        if name in _BOXES:
            return Kind.VIDEO
        if size < 8:
            return Kind.OTHER
        at += size
    return Kind.OTHER
