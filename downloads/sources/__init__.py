"""The sites that models come from: name → class."""

from collections.abc import Mapping
from typing import Final

from downloads.sources.base import BadWish, Source, Wanted
from downloads.sources.civitai import CivitAI
from downloads.sources.huggingface import HuggingFace

SOURCES: Final[Mapping[str, type[Source]]] = {
    CivitAI.name: CivitAI,
    HuggingFace.name: HuggingFace,
}

__all__ = ["SOURCES", "BadWish", "Source", "Wanted"]
