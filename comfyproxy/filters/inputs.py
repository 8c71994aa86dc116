"""Lists of input files in a node's definition, with the caller's own files in them.

ComfyUI lists what lies at the top of its input folder; a user's uploads lie in the folder
that is their namespace, which no such list shows.
"""

import mimetypes
import posixpath
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from comfyproxy.filters.definitions import (
    AUDIO_UPLOAD,
    FILE_UPLOAD,
    IMAGE_UPLOAD,
    INPUT,
    RECORDED_TYPES,
    VIDEO_UPLOAD,
    Input,
    Option,
    Path,
    definitions,
    file_folder,
)
from comfyproxy.filters.models import KnownModels

# What is offered beside an upload button: LoadImage, LoadVideo and LoadAudio filter their
# lists so (ComfyUI 0.3.64, nodes.py, nodes_video.py, nodes_audio.py).
_CONTENT_TYPES: Final = {
    IMAGE_UPLOAD: ("image",),
    VIDEO_UPLOAD: ("video",),
    AUDIO_UPLOAD: ("audio", "video"),
}
# What Load3D lists (nodes_load_3d.py); no other node of ComfyUI's has that flag.
_SUFFIXES: Final = {FILE_UPLOAD: (".gltf", ".glb", ".obj", ".fbx", ".stl")}
# What Python's own table lacks: it would depend on the system whether these are known.
_MORE_TYPES: Final = {
    ".jfif": "image",
    ".flac": "audio",
    ".m4a": "audio",
    ".oga": "audio",
    ".ogg": "audio",
    ".weba": "audio",
    ".m4v": "video",
    ".mkv": "video",
}


@dataclass(frozen=True, slots=True)
class FileList:
    """An input of a node whose list holds files of the input folder, and which ones. `path`:
    where its definition stands below the node's `input`."""

    path: Path
    content_types: frozenset[str]
    suffixes: frozenset[str]

    def takes(self, file: str) -> bool:
        """Whether such a file belongs in the list."""
        suffix = _suffix(file)
        return suffix in self.suffixes or _content_type(suffix) in self.content_types


def may_list_files(piece: bytes) -> bool:
    """Whether a node's definition, as JSON, may have lists of input files by what it declares,
    apart from what they hold. Cheap; True may be wrong."""
    return b"_upload" in piece or any(kind.encode() in piece for kind in RECORDED_TYPES)


def file_lists(info: Any, models: KnownModels, input_files: Set[str]) -> tuple[FileList, ...]:
    """The lists of input files in a node's definition. `input_files` are the names at the top
    of the input folder. Lists that the page fetches itself are not among them."""
    lists = (
        _file_list(found, input_files)
        for found in definitions(info)
        if found.definition.values is not None
        and not found.definition.route
        and file_folder(found.definition, models, input_files) == INPUT
    )
    # An empty list does not tell what belongs in it.
    return tuple(entry for entry in lists if entry.content_types or entry.suffixes)


def _file_list(found: Input, input_files: Set[str]) -> FileList:
    flags = found.definition.upload_flags
    types = {kind for flag in flags for kind in _CONTENT_TYPES.get(flag, ())}
    suffixes = {suffix for flag in flags for suffix in _SUFFIXES.get(flag, ())}
    if not flags:
        # By its content: a name without an extension does not tell what else may be chosen.
        texts = found.definition.texts()
        suffixes = {_suffix(text) for text in texts if text in input_files} - {""}
    return FileList(found.path, frozenset(types), frozenset(suffixes))


def with_own(info: Any, lists: Iterable[FileList], own: Iterable[str]) -> Any:
    """A node's definition with `own`, the caller's own input files, newest first, in each of
    its `lists` that takes them. What needs no change is passed on as it is."""
    names = list(own)
    groups = info["input"]
    for entry in lists:
        taken = [name for name in names if entry.takes(name)]
        groups = _changed(groups, entry.path, partial(_offering, taken))
    return info | {"input": groups}


def _changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """A copy of JSON with what stands at that path changed, if it is there: an option may be
    hidden."""
    if not path:
        return change(value)
    step, rest = path[0], path[1:]
    if isinstance(step, Option):
        return [
            _changed(item, rest, change)
            if isinstance(item, dict) and item.get("key") == step.key
            else item
            for item in value
        ]
    if isinstance(step, int):
        found = [_changed(item, rest, change) for item in value[step : step + 1]]
        return [*value[:step], *found, *value[step + 1 :]]
    return value | {step: _changed(value[step], rest, change)} if step in value else value


def _offering(own: list[str], raw: list[Any]) -> list[Any]:
    first, *rest = raw
    if isinstance(first, list):
        return [_joined(own, first), *rest]
    options = rest[0] | {"options": _joined(own, rest[0]["options"])}
    return [first, options, *rest[1:]]


def _joined(own: list[str], values: list[Any]) -> list[Any]:
    """Own files come before others', but after what stands first and names no file (`None`):
    the page chooses the first value by itself."""
    known = set(own)
    others = [value for value in values if not (isinstance(value, str) and value in known)]
    start = next((at for at, value in enumerate(others) if _is_file(value)), len(others))
    return [*others[:start], *own, *others[start:]]


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and _suffix(value) != ""


def _suffix(file: str) -> str:
    return posixpath.splitext(file)[1].lower()


@lru_cache(1024)
def _content_type(suffix: str) -> str | None:
    """The first half of the MIME type that an extension stands for. ComfyUI tells files apart
    like that (folder_paths.py, filter_files_content_types)."""
    known = _MORE_TYPES.get(suffix)
    if known is not None:
        return known
    guessed = mimetypes.guess_type(f"x{suffix}", strict=False)[0]
    return guessed.partition("/")[0] if guessed else None
