"""Which models somebody was given: folder and name, or a pattern of names. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

# Former names of model folders that ComfyUI still understands (0.3.64, folder_paths.py,
# map_legacy).
LEGACY_FOLDERS: Final = {"unet": "diffusion_models", "clip": "text_encoders"}
ANY: Final = "*"


def current_folder(folder: str) -> str:
    """A model folder by its present name."""
    return LEGACY_FOLDERS.get(folder, folder)


def plain_name(name: str) -> str:
    """A model's name with forward slashes, as it is stored. ComfyUI on Windows lists
    back-slashes."""
    return name.replace("\\", "/")


@dataclass(frozen=True)
class Grants:
    """A set of grants; equal for everybody who was given the same. Call it with (folder,
    name) as ComfyUI lists them: whether that model is among them.

    `items`: (folder, pattern); in a pattern `*` stands for any text, sub folders included; a
    folder `*` for every folder.
    """

    items: frozenset[tuple[str, str]] = frozenset()

    def __call__(self, folder: str, name: str) -> bool:
        name, folder = plain_name(name), current_folder(folder)
        return any(self._matches(place, name) for place in (folder, ANY))

    def _matches(self, folder: str, name: str) -> bool:
        found = self._by_folder.get(folder)
        if found is None:
            return False
        exact, pattern = found
        return name in exact or (pattern is not None and pattern.fullmatch(name) is not None)

    @cached_property
    def _by_folder(self) -> dict[str, tuple[frozenset[str], re.Pattern[str] | None]]:
        sorted_out: dict[str, list[str]] = {}
        for folder, pattern in self.items:
            sorted_out.setdefault(current_folder(folder), []).append(plain_name(pattern))
        return {
            folder: (
                frozenset(name for name in patterns if ANY not in name),
                _joined(name for name in patterns if ANY in name),
            )
            for folder, patterns in sorted_out.items()
        }


def _joined(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """One expression for all."""
    found = sorted(set(patterns))
    return re.compile("|".join(map(expression, found)), re.DOTALL) if found else None


def expression(pattern: str) -> str:
    """A pattern as a regular expression for a whole name. Between two stars the first place
    that fits is as good as any other, so none is tried twice: no pattern takes for ever."""
    first, *rest = pattern.split(ANY)
    if not rest:
        return re.escape(first)
    *middle, last = rest
    atoms = "".join(f"(?>.*?{re.escape(part)})" for part in middle if part)
    return f"{re.escape(first)}{atoms}.*{re.escape(last)}"


NONE: Final = Grants()


@lru_cache(maxsize=512)
def shared(items: frozenset[tuple[str, str]]) -> Grants:
    """One object for all who have the same, so that what is worked out of it is worked out
    once."""
    return Grants(items) if items else NONE
