"""What a model in ONNX wants to be shown and what its answer means: a JSON file beside it. Pure.

    {"size": [224, 224],            width and height
     "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
     "scale": 0.00392156862745098,  what bytes are multiplied by first; this, 1/255, if left out
     "layout": "NCHW",              or "NHWC"
     "channels": "RGB",             or "BGR"
     "resize": "stretch",           or "crop" (the middle), or "pad" (black edges)
     "softmax": true,               whether the model leaves it out
     "labels": ["normal", "nsfw"],  in the order of its output
     "nsfw": ["nsfw"]}              whose probabilities together are the score

These are the values for Falconsai/nsfw_image_detection. `mean`, `std` in the order of `channels`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from comfyproxy.nsfw.errors import ClassifierBroken

_MAX_SIDE: Final = 4096
_CHOICES: Final = {
    "layout": ("NCHW", "NHWC"),
    "channels": ("RGB", "BGR"),
    "resize": ("stretch", "crop", "pad"),
}
_NEEDED: Final = ("size", "labels", "nsfw")
_KNOWN: Final = frozenset({*_NEEDED, *_CHOICES, "mean", "std", "scale", "softmax"})

Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Recipe:
    """See above."""

    size: tuple[int, int]
    labels: tuple[str, ...]
    nsfw: frozenset[int]
    mean: Three
    std: Three
    scale: float
    layout: str
    channels: str
    resize: str
    softmax: bool


def read_recipe(text: str) -> Recipe:
    """The recipe of a JSON file.

    Raises:
        ClassifierBroken: says what is wrong with it
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ClassifierBroken(f"It is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise ClassifierBroken("It must be an object.")
    if missing := [name for name in _NEEDED if name not in data]:
        raise ClassifierBroken(f"It lacks {', '.join(missing)}.")
    if unknown := sorted(data.keys() - _KNOWN):
        raise ClassifierBroken(f"It has unknown parts: {', '.join(unknown)}.")
    labels = _texts(data, "labels")
    nsfw = _texts(data, "nsfw")
    if strange := [label for label in nsfw if label not in labels]:
        raise ClassifierBroken(f"“nsfw” names no labels: {', '.join(strange)}.")
    softmax = data.get("softmax", False)
    if not isinstance(softmax, bool):
        raise ClassifierBroken("“softmax” must be true or false.")
    std = _numbers(data, "std", (1.0, 1.0, 1.0))
    if 0 in std:
        raise ClassifierBroken("“std” must not be 0.")
    return Recipe(
        size=_size(data["size"]),
        labels=labels,
        nsfw=frozenset(at for at, label in enumerate(labels) if label in nsfw),
        mean=_numbers(data, "mean", (0.0, 0.0, 0.0)),
        std=std,
        scale=_number(data.get("scale", 1 / 255), "scale"),
        layout=_choice(data, "layout"),
        channels=_choice(data, "channels"),
        resize=_choice(data, "resize"),
        softmax=softmax,
    )


def _size(value: Any) -> tuple[int, int]:
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= _MAX_SIDE for side in sides):
        raise ClassifierBroken("“size” must be a width and a height in pixels.")
    return (sides[0], sides[1])


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = data[name]
    is_texts = isinstance(value, list) and all(isinstance(text, str) for text in value)
    if not is_texts or not value or len(set(value)) != len(value):
        raise ClassifierBroken(f"“{name}” must be a list of different texts.")
    return tuple(value)


def _choice(data: Mapping[str, Any], name: str) -> str:
    choices = _CHOICES[name]
    value = data.get(name, choices[0])
    if value not in choices:
        raise ClassifierBroken(f"“{name}” must be one of {', '.join(choices)}.")
    return cast(str, value)


def _numbers(data: Mapping[str, Any], name: str, default: Three) -> Three:
    value = data.get(name, list(default))
    if not isinstance(value, list) or len(value) != 3:
        raise ClassifierBroken(f"“{name}” must be three numbers.")
    first, second, third = (_number(each, name) for each in value)
    return (first, second, third)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ClassifierBroken(f"“{name}” must be numbers.")
    return float(value)
