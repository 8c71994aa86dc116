"""CivitAI's files: which of a version's files a wish means, and what the site says of them. Pure.

Source: developer.civitai.com, "Model versions": each file has id, name, type, sizeKB, primary,
`hashes.SHA256` and `metadata` with format, size and fp.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from accounts.sentences import english
from downloads.errors import NoSuchFile

NAME: Final = "civitai"
# A model's type, and a file's own where it differs from the model's, to ComfyUI's folder.
MODEL_FOLDERS: Final[Mapping[str, str]] = {
    "checkpoint": "checkpoints",
    "textualinversion": "embeddings",
    "hypernetwork": "hypernetworks",
    "lora": "loras",
    "locon": "loras",
    "dora": "loras",
    "controlnet": "controlnet",
    "upscaler": "upscale_models",
    "vae": "vae",
    "motionmodule": "animatediff_models",
}
FILE_FOLDERS: Final[Mapping[str, str]] = {
    "vae": "vae",
    "text encoder": "text_encoders",
    "unet": "diffusion_models",
    "diffusion model": "diffusion_models",
    "clipvision": "clip_vision",
    "controlnet": "controlnet",
    "config": "configs",
}
# No models: taken only where they are asked for by type or id.
_BESIDE: Final = frozenset({"training data", "archive", "config", "workflow"})
CHOICES: Final = ("type", "format", "size", "fp")


@dataclass(frozen=True, slots=True)
class CivitaiWish:
    """A version of a model (or the newest of `model_id`), and which of its files."""

    version_id: int | None
    model_id: int | None = None
    file_id: int | None = None
    type: str | None = None
    format: str | None = None
    size: str | None = None
    fp: str | None = None

    def as_dict(self) -> dict[str, Any]:
        values = {
            "model_version_id": self.version_id,
            "model_id": self.model_id,
            "file_id": self.file_id,
        }
        values |= {name: getattr(self, name) for name in CHOICES}
        return {"source": NAME} | {k: v for k, v in values.items() if v is not None}


def choose(files: Sequence[Mapping[str, Any]], wish: CivitaiWish) -> Mapping[str, Any]:
    """The one file that fits a wish: all that it names must agree; of several, the primary.

    Raises:
        NoSuchFile: none fits, or several do and none is primary; the sentence names them
    """
    asked = {name: value.lower() for name in CHOICES if (value := getattr(wish, name))}
    fitting = [
        file
        for file in files
        if (wish.file_id is None or file.get("id") == wish.file_id)
        and all(metadata_of(file, True).get(name, "").lower() == v for name, v in asked.items())
    ]
    if wish.file_id is None and "type" not in asked:
        fitting = [f for f in fitting if str(f.get("type") or "").lower() not in _BESIDE]
    primary = [file for file in fitting if file.get("primary") is True]
    if len(primary or fitting) == 1:
        return (primary or fitting)[0]
    listed = "; ".join(_describe(file) for file in (fitting or files)[:8]) or "none"
    if not fitting:
        raise NoSuchFile(english("No file of this version fits. It has: %(files)s.", files=listed))
    raise NoSuchFile(
        english("Several files fit: name type, format, size or fp. %(files)s.", files=listed)
    )


def _describe(file: Mapping[str, Any]) -> str:
    parts = [str(file.get("name") or "?")[:80], *metadata_of(file, True).values()]
    return ", ".join(parts)


def metadata_of(file: Mapping[str, Any], with_type: bool = False) -> dict[str, str]:
    """format, size and fp of a file (and its type), where they are texts."""
    values = {**mapping(file.get("metadata"))}
    if with_type:
        values["type"] = file.get("type")
    return {name: values[name] for name in CHOICES if isinstance(values.get(name), str)}


def size_of(file: Mapping[str, Any]) -> int | None:
    size = file.get("sizeKB")
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < 2**40:
        return None
    return round(size * 1024)


def folder_of(model_type: str, file: Mapping[str, Any]) -> str | None:
    own = FILE_FOLDERS.get(str(file.get("type") or "").lower())
    return own or MODEL_FOLDERS.get(model_type.lower())


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
