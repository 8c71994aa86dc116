"""What scores a picture. Importing this imports no picture library; making a classifier does."""

from typing import TYPE_CHECKING

from comfyproxy.nsfw.config import ClassifierConfig, why_not
from comfyproxy.nsfw.errors import ClassifierBroken

if TYPE_CHECKING:
    from comfyproxy.nsfw.classifiers.base import Classifier


def make(config: ClassifierConfig) -> "Classifier":
    """The classifier that is configured, loaded and ready.

    Raises:
        ClassifierBroken: something is missing or does not fit; says what
    """
    if missing := why_not(config.kind):
        raise ClassifierBroken(missing)
    if config.kind == "opennsfw":
        from comfyproxy.nsfw.classifiers.opennsfw import OpenNsfw

        return OpenNsfw()
    if config.kind == "onnx":
        from comfyproxy.nsfw.classifiers.onnx import OnnxClassifier

        if not config.path:
            raise ClassifierBroken("The classifier “onnx” needs the path of its .onnx file.")
        return OnnxClassifier(config.path)
    from comfyproxy.nsfw.classifiers.http import HttpClassifier

    if not config.url:
        raise ClassifierBroken("The classifier “http” needs the address of its service.")
    return HttpClassifier(config.url)
