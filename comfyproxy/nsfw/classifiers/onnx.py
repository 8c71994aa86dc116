"""Any classifier of pictures in ONNX, by the JSON file beside it (recipe.py)."""

import hashlib
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from comfyproxy.nsfw.classifiers.recipe import Recipe, read_recipe
from comfyproxy.nsfw.classifiers.session import Floats, Session
from comfyproxy.nsfw.errors import ClassifierBroken, ClassifierFailed
from comfyproxy.nsfw.score import Score

# Sums of probabilities in 32-bit floats.
_ROUNDING: Final = 0.001


class OnnxClassifier:
    """`path`: of the .onnx file; its recipe is `<path without .onnx>.json`.

    Raises:
        ClassifierBroken
    """

    def __init__(self, path: str) -> None:
        model = Path(path)
        beside = model.with_suffix(".json")
        try:
            text = beside.read_text(encoding="utf-8")
            self._recipe = read_recipe(text)
        except OSError as error:
            raise ClassifierBroken(f"{beside} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise ClassifierBroken(f"{beside} is no UTF-8 text.") from error
        except ClassifierBroken as error:
            raise ClassifierBroken(f"{beside}: {error.sentence}") from error
        self._session = Session(model)
        self.name = f"onnx:{model.stem}"
        recipe = hashlib.sha256(text.encode()).hexdigest()
        self.version = f"{self._session.digest[:12]}+{recipe[:8]}"
        try:
            # Tells now, rather than at the first picture, what does not fit together.
            self.classify(Image.new("RGB", (64, 64), "grey"))
        except ClassifierFailed as error:
            raise ClassifierBroken(f"{model} does not fit {beside}: {error}") from error

    def classify(self, image: Image.Image) -> Score:
        """See `Classifier`."""
        row = self._session.run(prepared(image, self._recipe))
        labels = self._recipe.labels
        if len(row) != len(labels):
            raise ClassifierFailed(f"The model has {len(row)} labels, not {len(labels)}.")
        if self._recipe.softmax:
            powers = np.exp(row - row.max())
            row = powers / powers.sum()
        value = float(sum(row[at] for at in self._recipe.nsfw))
        if not -_ROUNDING <= value <= 1 + _ROUNDING:
            raise ClassifierFailed(f"The model answered with {value}, which is no probability.")
        return Score(min(1.0, max(0.0, value)), labels[int(row.argmax())])


def prepared(image: Image.Image, recipe: Recipe) -> Floats:
    """A picture as the model wants it."""
    image = image.convert("RGB")
    if recipe.resize == "crop":
        image = ImageOps.fit(image, recipe.size, Image.Resampling.BILINEAR)
    elif recipe.resize == "pad":
        image = ImageOps.pad(image, recipe.size, Image.Resampling.BILINEAR)
    else:
        image = image.resize(recipe.size, Image.Resampling.BILINEAR)
    values = np.asarray(image, dtype=np.float32)
    if recipe.channels == "BGR":
        values = values[:, :, ::-1]
    mean, std = (np.array(three, dtype=np.float32) for three in (recipe.mean, recipe.std))
    values = (values * np.float32(recipe.scale) - mean) / std
    if recipe.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[np.newaxis], dtype=np.float32)
