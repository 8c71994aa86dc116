"""Names and folders of models: safe file names, formats, ComfyUI's folders. Pure.

Sources: ComfyUI 0.3.64, `folder_paths.py` and `utils/extra_config.py`; Microsoft's "Naming
Files, Paths, and Namespaces".
"""

import os.path
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

MAX_NAME_BYTES: Final = 200
SAFE_SUFFIXES: Final = frozenset({".safetensors", ".sft", ".gguf", ".onnx", ".json", ".yaml"})
# Loading one runs what is written in it.
PICKLE_SUFFIXES: Final = frozenset({".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl", ".pickle"})

# Folder type → its folders below the models folder; a download goes into the first. ComfyUI has
# `unet` before `diffusion_models`; it reads both, and the one named as the type is what people
# look for. No `custom_nodes`: what lies there is run.
DEFAULT_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "checkpoints": ("checkpoints",),
    "configs": ("configs",),
    "loras": ("loras",),
    "vae": ("vae",),
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("diffusion_models", "unet"),
    "clip_vision": ("clip_vision",),
    "style_models": ("style_models",),
    "embeddings": ("embeddings",),
    "diffusers": ("diffusers",),
    "vae_approx": ("vae_approx",),
    "controlnet": ("controlnet", "t2i_adapter"),
    "gligen": ("gligen",),
    "upscale_models": ("upscale_models",),
    "hypernetworks": ("hypernetworks",),
    "photomaker": ("photomaker",),
    "classifiers": ("classifiers",),
    "model_patches": ("model_patches",),
    "audio_encoders": ("audio_encoders",),
}
LEGACY_FOLDERS: Final[Mapping[str, str]] = {"unet": "diffusion_models", "clip": "text_encoders"}
_NO_MODELS: Final = frozenset({"custom_nodes"})

# What Windows keeps for devices, with any extension, in any case.
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])", re.I)
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,16}")
# What an unfinished download is called, and its note: no file may look like one.
_LIKE_PART: Final = re.compile(r"\.(part(?:\.json)?)$", re.I)
_MARK_CHARS: Final = 6
_FOLDER_TYPE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,63}")


def suffix_of(name: str) -> str:
    """`.safetensors` of `Model.SafeTensors`; empty where there is none."""
    return PurePosixPath(name).suffix.lower()


def is_pickle(name: str) -> bool:
    """Whether a file of this name can run programs when it is loaded."""
    return suffix_of(name) in PICKLE_SUFFIXES


def is_model(name: str) -> bool:
    """Whether a file of this name is something to download at all."""
    return suffix_of(name) in SAFE_SUFFIXES | PICKLE_SUFFIXES


def _cut(text: str, size: int) -> str:
    """The longest beginning of at most `size` bytes that ends with a whole character."""
    return text.encode()[: max(size, 0)].decode(errors="ignore")


def _with_stem(stem: str, tail: str) -> str:
    return _cut(stem, MAX_NAME_BYTES - len(tail.encode())).rstrip(". ") + tail


def safe_name(name: str) -> str:
    """A name from a server as one file name, good on Linux, macOS and Windows.

    Only the part behind the last slash or back-slash counts. Letters of all scripts stay; so
    does the extension. Never empty, no more than `MAX_NAME_BYTES`, and unchanged by a second go.
    """
    last = re.split(r"[/\\]", name)[-1]
    # Control, invisible and direction-changing characters, halves of pairs, unassigned ones.
    kept = "".join(c for c in last if not unicodedata.category(c).startswith("C"))
    kept = "".join(" " if unicodedata.category(c).startswith("Z") else c for c in kept)
    kept = unicodedata.normalize("NFC", _FORBIDDEN.sub("_", kept)).strip(" ").rstrip(". ")
    suffix = PurePosixPath("x" + kept).suffix
    if not _SUFFIX.fullmatch(suffix):
        suffix = ""
    stem = kept.removesuffix(suffix) if suffix else kept
    # Leading dots hide a file, and ComfyUI passes over hidden ones.
    stem = stem.strip(". ") or "model"
    if _DEVICE.fullmatch(stem.split(".", 1)[0].rstrip()):
        stem = "_" + stem
    safe = _with_stem(stem, suffix)
    like_part = _LIKE_PART.search(safe)
    return f"{safe[: like_part.start()]}_{like_part[1]}" if like_part else safe


def marked(name: str, namespace: str) -> str:
    """`model.safetensors` in the folder `u-k3x9w2…` → `model.k3x9w2.safetensors`.

    ComfyUI and others also find models by their names without folder or extension
    (`embedding:name`, `<lora:name>`): a name in one user's folder must not be another's. A safe
    name stays one; a marked one stays as it is.
    """
    suffix = PurePosixPath(name).suffix
    stem = name.removesuffix(suffix) if suffix else name
    mark = "." + namespace.removeprefix("u-")[:_MARK_CHARS]
    return name if mark in (stem[-len(mark) :], suffix) else _with_stem(stem, mark + suffix)


def same_key(name: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def numbered(name: str, number: int) -> str:
    """`model.safetensors`, 1 → `model (1).safetensors`; 0 is the name itself."""
    suffix = PurePosixPath(name).suffix
    stem = name.removesuffix(suffix) if suffix else name
    return _with_stem(stem, f" ({number}){suffix}") if number else name


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or its first numbered form, that equals none of `taken` on any file system."""
    keys = {same_key(other) for other in taken}
    number = 0
    while same_key(numbered(name, number)) in keys:
        number += 1
    return numbered(name, number)


def map_legacy(folder_type: str) -> str:
    return LEGACY_FOLDERS.get(folder_type, folder_type)


def read_model_folders(
    models_dir: str,
    listing: Iterable[str] = (),
    extra_model_paths: object = None,
    *,
    yaml_dir: str = "/",
) -> dict[str, list[str]]:
    """Folder type → its folders, the one to download into first.

    Args:
        models_dir: ComfyUI's `models` folder
        listing: names of the folders in it; those ComfyUI does not know belong to extensions
        extra_model_paths: the parsed `extra_model_paths.yaml`; what is malformed is passed over
        yaml_dir: where that file lies: relative paths in it start there
    """
    folders = {
        kind: [os.path.join(models_dir, name) for name in names]  # noqa: PTH118 - text only
        for kind, names in DEFAULT_FOLDERS.items()
    }
    known = {name for names in DEFAULT_FOLDERS.values() for name in names}
    for name in sorted(listing):
        if name not in known | _NO_MODELS and _FOLDER_TYPE.fullmatch(name):
            folders[name] = [os.path.join(models_dir, name)]  # noqa: PTH118
    if isinstance(extra_model_paths, Mapping):
        for section in extra_model_paths.values():
            if isinstance(section, Mapping):
                _add_section(folders, section, yaml_dir)
    return folders


def _add_section(folders: dict[str, list[str]], section: Mapping[Any, Any], yaml_dir: str) -> None:
    """One section of the file, as ComfyUI's `load_extra_path_config` reads it."""
    base = section.get("base_path")
    start = yaml_dir
    if isinstance(base, str) and base and "\0" not in base:
        start = os.path.join(yaml_dir, os.path.expandvars(os.path.expanduser(base)))  # noqa: PTH111, PTH118
    first = bool(section.get("is_default"))
    for kind, lines in section.items():
        if kind in ("base_path", "is_default") or not isinstance(lines, str):
            continue
        folder_type = map_legacy(str(kind))
        if folder_type in _NO_MODELS or not _FOLDER_TYPE.fullmatch(folder_type):
            continue
        for line in lines.split("\n"):
            if not line.strip() or "\0" in line:
                continue
            paths = folders.setdefault(folder_type, [])
            path = os.path.normpath(os.path.join(start, line.rstrip("\r")))  # noqa: PTH118
            if first and path in paths:
                paths.remove(path)
            if path not in paths:
                paths.insert(0 if first else len(paths), path)
