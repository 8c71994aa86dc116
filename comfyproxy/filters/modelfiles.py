"""Pictures of models: which model is meant, and whose pictures ComfyUI may show for it."""

import posixpath
import re
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from typing import Any, Final

# A picture as text: a data URI, or base64 that begins as PNG, JPEG, GIF, WebP or AVIF do.
_PICTURE: Final = re.compile(
    r"data:(?:image|video)/|(?:^|[^A-Za-z0-9+/])(?:iVBORw0KG|/9j/|R0lGOD|UklGR|AAAA[A-Za-z0-9+/]{2}Z0eX)"
    r"[A-Za-z0-9+/\s]{40}"
)


def pictured(asked: str, names: Collection[str], allowed: Callable[[str], bool]) -> str | None:
    """The model whose picture is asked for: of that very name, or of that name but for the
    extension (the page asks for `.webp`). None where it is not allowed, or there is none."""
    if asked in names:
        return asked if allowed(asked) else None
    stem = posixpath.splitext(asked)[0]
    meant = (name for name in names if posixpath.splitext(name)[0] == stem)
    return next(filter(allowed, meant), None)


def may_tell_of(name: str, names: Collection[str], allowed: Callable[[str], bool]) -> bool:
    """Whether a picture for that model can only be of models that are allowed.

    Of all files that match the pattern `<name without extension>.*`, ComfyUI takes the cover
    out of any `.safetensors` (0.3.64, model_manager.py, get_model_previews).
    """
    pattern = f"{posixpath.splitext(name)[0]}.*"
    return all(
        allowed(other)
        for other in names
        if other.lower().endswith(".safetensors") and _matches(other, pattern)
    )


def _matches(name: str, pattern: str) -> bool:
    # Whether case counts depends on ComfyUI's system.
    return fnmatchcase(name, pattern) or fnmatchcase(name.casefold(), pattern.casefold())


def without_pictures(metadata: Any) -> Any:
    """What a model's file says about itself without the values that hold pictures: covers and
    thumbnails, for users who are kept from explicit images."""
    if not isinstance(metadata, dict):
        return metadata
    return {
        key: value
        for key, value in metadata.items()
        if key != "ssmd_cover_images" and not (isinstance(value, str) and _PICTURE.search(value))
    }
