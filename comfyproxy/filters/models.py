"""Which texts name a model, and which models a caller may know of.

A name is compared as ComfyUI opens it: normalised like a path below the model folder's
root, so `./m`, `/m`, `x/../m` and `a\\m` are all `m` (NOTES: newer combos are not checked
upstream at all).
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

EMBEDDINGS: Final = "embeddings"
# Folders that `GET /models` lists but that hold no models: Python files and YAML of ComfyUI's.
NOT_MODELS: Final = frozenset({"custom_nodes", "configs"})
MODEL_SUFFIXES: Final = (
    ".safetensors",
    ".sft",
    ".ckpt",
    ".pt",
    ".pt2",
    ".pth",
    ".bin",
    ".gguf",
    ".onnx",
    ".pkl",
)
# `embedding:NAME` as ComfyUI's tokenizer takes it, spaces after the colon included; the
# name ends at white space. Read more widely than upstream does: any case, any place.
_EMBEDDING: Final = re.compile(r"embedding:\s*([^\s:<>()\[\]]+)", re.IGNORECASE)
# `<lora:NAME:1>`, which custom nodes parse.
_LORA_TAG: Final = re.compile(r"<\s*lora:\s*([^:<>]+)", re.IGNORECASE)

Allowed = Callable[[str, str], bool]
"""(folder, model name) → whether the caller may use it."""


def everything(folder: str, name: str) -> bool:
    """For holders of can_view_all_comfyui_items."""
    return True


def nothing(folder: str, name: str) -> bool:
    """For everyone else, as long as there are no grants."""
    return False


def normal_name(name: str) -> str:
    """One spelling per file: forward slashes, no dot segments, never above the root."""
    return posixpath.normpath("/" + name.replace("\\", "/")).lstrip("/")


@dataclass(frozen=True, slots=True)
class Model:
    """A file of a model folder."""

    folder: str
    name: str


@dataclass(frozen=True)
class KnownModels:
    """Every model the backend has, found by any spelling of its name or by its base name."""

    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _by_name: dict[str, tuple[Model, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[str, list[Model]] = {}
        for folder, names in self.folders.items():
            if folder in NOT_MODELS:
                continue
            for name in names:
                model = Model(folder, name)
                for key in _keys(folder, normal_name(name)):
                    index.setdefault(key, []).append(model)
        frozen = {key: tuple(models) for key, models in index.items()}
        object.__setattr__(self, "_by_name", frozen)

    def find(self, text: str) -> tuple[Model, ...]:
        """The models that a whole text may name; empty for any other text."""
        return self._by_name.get(normal_name(text).casefold(), ())

    def find_embeddings(self, text: str) -> Iterator[tuple[str, tuple[Model, ...]]]:
        """(name, models) for every `embedding:` or `<lora:` mention in a free text."""
        if "embedding" in text.casefold():
            for match in _EMBEDDING.finditer(text):
                yield match[1], self._bare(match[1].strip(","), EMBEDDINGS)
        for match in _LORA_TAG.finditer(text):
            yield match[1], self._bare(match[1].strip(), "loras")

    def _bare(self, name: str, folder: str) -> tuple[Model, ...]:
        """Models of one folder by a name that may lack its extension."""
        key = normal_name(name).casefold()
        candidates = (key, *(key + suffix for suffix in MODEL_SUFFIXES))
        return tuple(
            model
            for candidate in candidates
            for model in self._by_name.get(candidate, ())
            if model.folder == folder
        )


def _keys(folder: str, name: str) -> set[str]:
    """What a model is found by: its path and every tail of it. A bare name is what people
    write; for embeddings every sub folder is a root of its own."""
    folded = name.casefold()
    parts = folded.split("/")
    return {"/".join(parts[index:]) for index in range(len(parts))}


def allowed_names(folder: str, names: Iterable[str], allowed: Allowed) -> list[str]:
    """The names of one folder that the caller may know of."""
    return [name for name in names if folder in NOT_MODELS or allowed(folder, name)]


def looks_like_model(text: str) -> bool:
    """Whether a whole text has a model file's extension: if it is unknown, the list may be old."""
    return len(text) < 500 and text.lower().endswith(MODEL_SUFFIXES)


def without_models(value: Any, known: KnownModels, allowed: Allowed) -> Any:
    """Any JSON with every list in it freed of models the caller may not know of.

    A list counts as a list of models by its content. Other members (`None`, `Baked VAE`,
    `pixel_space`) stay. Containers that need no change are passed on as they are.
    """
    if isinstance(value, list):
        kept = [
            without_models(item, known, allowed)
            for item in value
            if not (isinstance(item, str) and is_hidden(item, known, allowed))
        ]
        return kept
    if isinstance(value, dict):
        return {key: _field(key, item, known, allowed) for key, item in value.items()}
    return value


def _field(key: str, value: Any, known: KnownModels, allowed: Allowed) -> Any:
    # A default that names a hidden model would tell of it just as well.
    if key == "default" and isinstance(value, str) and is_hidden(value, known, allowed):
        return ""
    return without_models(value, known, allowed)


def is_hidden(text: str, known: KnownModels, allowed: Allowed) -> bool:
    """Whether a text names a model, and every model it may name is hidden from the caller."""
    found = known.find(text)
    return bool(found) and not any(allowed(model.folder, model.name) for model in found)
