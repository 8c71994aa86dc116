"""Where the simulated ComfyUI keeps its files: base folders, model folders, save paths."""

from __future__ import annotations

import mimetypes
import os
import shutil
import time
from collections.abc import Collection, Iterable

PT_EXTENSIONS = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})

LEGACY_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}

# (folder name, its directories below the base, extensions; an empty set means "any file").
_MODEL_FOLDERS: list[tuple[str, tuple[str, ...], Collection[str]]] = [
    ("checkpoints", ("models/checkpoints", "output/checkpoints"), PT_EXTENSIONS),
    ("configs", ("models/configs",), (".yaml",)),
    ("loras", ("models/loras", "output/loras"), PT_EXTENSIONS),
    ("vae", ("models/vae", "output/vae"), PT_EXTENSIONS),
    ("text_encoders", ("models/text_encoders", "models/clip", "output/clip"), PT_EXTENSIONS),
    (
        "diffusion_models",
        ("models/unet", "models/diffusion_models", "output/diffusion_models"),
        PT_EXTENSIONS,
    ),
    ("clip_vision", ("models/clip_vision",), PT_EXTENSIONS),
    ("style_models", ("models/style_models",), PT_EXTENSIONS),
    ("embeddings", ("models/embeddings",), PT_EXTENSIONS),
    ("diffusers", ("models/diffusers",), ("folder",)),
    ("vae_approx", ("models/vae_approx",), PT_EXTENSIONS),
    ("controlnet", ("models/controlnet", "models/t2i_adapter"), PT_EXTENSIONS),
    ("gligen", ("models/gligen",), PT_EXTENSIONS),
    ("upscale_models", ("models/upscale_models",), PT_EXTENSIONS),
    ("custom_nodes", ("custom_nodes",), ()),
    ("hypernetworks", ("models/hypernetworks",), PT_EXTENSIONS),
    ("photomaker", ("models/photomaker",), PT_EXTENSIONS),
    ("classifiers", ("models/classifiers",), ("",)),
    ("model_patches", ("models/model_patches",), PT_EXTENSIONS),
    ("audio_encoders", ("models/audio_encoders",), PT_EXTENSIONS),
]

# ComfyUI recognises an annotation by its end only and cuts one character more (the space),
# whatever that character is.
_ANNOTATIONS = (("[output]", "output", 9), ("[input]", "input", 8), ("[temp]", "temp", 7))


class Folders:
    """All paths of one simulated server, and the lists made from them."""

    def __init__(self, base_dir: str | os.PathLike[str]) -> None:
        self.base = os.path.abspath(os.fspath(base_dir))
        self.input = os.path.join(self.base, "input")
        self.output = os.path.join(self.base, "output")
        self.temp = os.path.join(self.base, "temp")
        self.user = os.path.join(self.base, "user")
        self.models: dict[str, tuple[list[str], Collection[str]]] = {
            name: ([os.path.join(self.base, *d.split("/")) for d in dirs], extensions)
            for name, dirs, extensions in _MODEL_FOLDERS
        }
        # Listing a folder costs a walk; ComfyUI remembers it until a directory's mtime changes.
        self._lists: dict[str, tuple[list[str], dict[str, float]]] = {}

    def create(self) -> None:
        for path in (self.input, self.output, self.user):
            os.makedirs(path, exist_ok=True)
        for paths, _ in self.models.values():
            # The ones below output/ are not made: ComfyUI creates them only when saving there.
            if not paths[0].startswith(self.output):
                os.makedirs(paths[0], exist_ok=True)
        self.clear_temp()
        os.makedirs(self.temp, exist_ok=True)

    def clear_temp(self) -> None:
        """ComfyUI empties its temp folder at start and stop."""
        shutil.rmtree(self.temp, ignore_errors=True)

    def by_type(self, kind: str) -> str | None:
        return {"output": self.output, "input": self.input, "temp": self.temp}.get(kind)

    def split_annotation(self, name: str) -> tuple[str, str | None]:
        for ending, kind, cut in _ANNOTATIONS:
            if name.endswith(ending):
                return name[:-cut], self.by_type(kind)
        return name, None

    def annotated_path(self, name: str) -> str:
        """Path of a loader's file name; nothing keeps it inside the folders, as upstream."""
        bare, base = self.split_annotation(name)
        return os.path.join(base or self.input, bare)

    def top_level_files(self, folder: str) -> list[str]:
        try:
            with os.scandir(folder) as entries:
                return sorted(e.name for e in entries if e.is_file())
        except FileNotFoundError:
            return []

    def input_subfolders(self) -> list[str]:
        found = []
        for root, _dirs, _files in os.walk(self.input):
            relative = os.path.relpath(root, self.input)
            if relative != ".":
                found.append(relative.replace(os.sep, "/"))
        return sorted(found)

    def model_files(self, folder: str) -> list[str]:
        folder = LEGACY_NAMES.get(folder, folder)
        paths, extensions = self.models[folder]
        known = self._lists.get(folder)
        if known is not None and _unchanged(known[1], paths):
            return list(known[0])
        names: set[str] = set()
        stamps: dict[str, float] = {}
        for path in paths:
            names.update(_walk(path, extensions, stamps))
        files = sorted(names)
        self._lists[folder] = (files, stamps)
        return list(files)

    def model_path(self, folder: str, name: str) -> str | None:
        """Full path of a model; other spellings (./x, ../x, a/../x) end at the same file."""
        folder = LEGACY_NAMES.get(folder, folder)
        if folder not in self.models:
            return None
        relative = os.path.relpath(os.path.join("/", name), "/")
        for path in self.models[folder][0]:
            full = os.path.join(path, relative)
            if os.path.isfile(full):
                return full
        return None

    def model_path_or_raise(self, folder: str, name: str) -> str:
        full = self.model_path(folder, name)
        if full is None:
            raise FileNotFoundError(f"Model in folder '{folder}' with filename '{name}' not found.")
        return full

    def save_path(
        self, prefix: str, root: str, width: int = 0, height: int = 0
    ) -> tuple[str, str, int, str]:
        """(folder, name, first free number, subfolder) for a filename_prefix."""
        prefix = _fill_tokens(prefix, width, height)
        normal = os.path.normpath(prefix)
        subfolder, name = os.path.dirname(normal), os.path.basename(normal)
        folder = os.path.join(root, subfolder)
        absolute = os.path.abspath(folder)
        common = os.path.commonpath((root, absolute))
        if common != root:
            raise Exception(
                "**** ERROR: Saving image outside the output folder is not allowed."
                f"\n full_output_folder: {absolute}"
                f"\n         output_dir: {root}"
                f"\n         commonpath: {common}"
            )
        try:
            counter = _highest_number(os.listdir(folder), name, len(os.path.basename(prefix))) + 1
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            counter = 1
        return folder, name, counter, subfolder


def _unchanged(stamps: dict[str, float], roots: Iterable[str]) -> bool:
    try:
        if any(os.path.getmtime(path) != stamp for path, stamp in stamps.items()):
            return False
    except OSError:
        return False
    return all(path in stamps for path in roots if os.path.isdir(path))


def _walk(root: str, extensions: Collection[str], stamps: dict[str, float]) -> list[str]:
    if not os.path.isdir(root):
        return []
    names = []
    for directory, subdirs, files in os.walk(root, followlinks=True):
        subdirs[:] = [d for d in subdirs if d != ".git"]
        stamps[directory] = os.path.getmtime(directory)
        for file in files:
            if not extensions or os.path.splitext(file)[1].lower() in extensions:
                names.append(os.path.relpath(os.path.join(directory, file), root))
    return names


def _fill_tokens(prefix: str, width: int, height: int) -> str:
    if "%" not in prefix:
        return prefix
    now = time.localtime()
    for token, value in (
        ("%width%", str(width)),
        ("%height%", str(height)),
        ("%year%", str(now.tm_year)),
        ("%month%", f"{now.tm_mon:02}"),
        ("%day%", f"{now.tm_mday:02}"),
        ("%hour%", f"{now.tm_hour:02}"),
        ("%minute%", f"{now.tm_min:02}"),
        ("%second%", f"{now.tm_sec:02}"),
    ):
        prefix = prefix.replace(token, value)
    return prefix


def _highest_number(names: Iterable[str], wanted: str, prefix_length: int) -> int:
    # The length comes from the prefix as given, the comparison uses the normalised name. That
    # is upstream's own inconsistency: after "tail/" the counter is always 1.
    best = 0
    for name in names:
        head, rest = name[: prefix_length + 1], name[prefix_length + 1 :]
        if head[:-1] != wanted or head[-1:] != "_":
            continue
        number = rest.split("_")[0]
        try:
            best = max(best, int(number))
        except ValueError:
            continue
    return best


def is_content_type(name: str, kinds: Collection[str]) -> bool:
    """Whether a file name's extension stands for one of image, video, audio, model."""
    if name.lower().endswith(".webp"):
        return "image" in kinds
    mime, _ = mimetypes.guess_type(name, strict=False)
    return mime is not None and mime.split("/")[0] in kinds
