"""What every classifier is."""

from typing import Protocol

from PIL import Image

from comfyproxy.nsfw.score import Score


class Classifier(Protocol):
    """Scores pictures. Name and version tell whether an older score still counts."""

    name: str
    version: str

    def classify(self, image: Image.Image) -> Score:
        """How explicit an RGB picture is.

        Raises:
            ClassifierFailed: no usable answer
        """
        ...
