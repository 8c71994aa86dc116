"""What flows between simulated nodes in place of tensors and models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image


@dataclass
class ImageBatch:
    """An IMAGE: a list of RGB pictures of one size."""

    images: list[Image.Image]

    @property
    def width(self) -> int:
        return self.images[0].width

    @property
    def height(self) -> int:
        return self.images[0].height

    def __str__(self) -> str:
        # Errors show all input values of a node; a tensor prints its first numbers.
        red, green, blue = (round(c / 255, 4) for c in self.images[0].getpixel((0, 0))[:3])  # type: ignore[index]
        return f"tensor([[[[{red}, {green}, {blue}],\n          ...]]])"


@dataclass
class MaskBatch:
    """A MASK: a list of greyscale pictures."""

    images: list[Image.Image]

    def __str__(self) -> str:
        return "tensor([[[0., 0., 0.,  ..., 0., 0., 0.]]])"


@dataclass
class Model:
    """Placeholder of anything loaded from a model file (MODEL, CLIP, VAE, CONTROL_NET…)."""

    kind: str
    path: str
    loras: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"<comfy.{self.kind} object at 0x7f0000000000>"


@dataclass
class Latent:
    """A LATENT: size, number, and the seed that decides how the decoded picture looks."""

    width: int
    height: int
    batch: int
    seed: int | None = None


def format_value(value: Any) -> Any:
    """Input values as an execution_error lists them."""
    if value is None or isinstance(value, int | float | bool | str):
        return value
    return str(value)
