"""A node's inputs as `GET /object_info` defines them: what the values in each one name.

The definitions come in two styles: `["a", "b"]` or `["COMBO", {"options": […]}]` for
lists, and `["STRING", {…}]` for the rest. Nothing here depends on node names: unknown
custom nodes are judged by what they declare.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from comfyproxy.files import namespace_of
from comfyproxy.filters.models import KnownModels

INPUT: Final = "input"
IMAGE_UPLOAD: Final = "image_upload"
VIDEO_UPLOAD: Final = "video_upload"
AUDIO_UPLOAD: Final = "audio_upload"
FILE_UPLOAD: Final = "file_upload"
UPLOAD_FLAGS: Final = (IMAGE_UPLOAD, VIDEO_UPLOAD, AUDIO_UPLOAD, FILE_UPLOAD)
_PLACE: Final = re.compile(
    r"(?:^|_)(?:folder|subfolder|dir|directory|path|file|filename|files)(?:$|_)", re.IGNORECASE
)
_FILES_ROUTE: Final = "/internal/files/"
_FOLDERS: Final = (INPUT, "output", "temp")
# Types whose widget uploads what it recorded or drew and holds the names of the files
# (ComfyUI 0.3.64: nodes_webcam.py, nodes_audio.py, nodes_load_3d.py).
_RECORDED_TYPES: Final = ("WEBCAM", "AUDIO_RECORD", "LOAD_3D")


@dataclass(frozen=True, slots=True)
class Definition:
    """One input: what stands first (a list of values or the name of a type), and the rest."""

    type: Any
    options: dict[str, Any]

    @property
    def values(self) -> list[Any] | None:
        """The list to choose from, in either style."""
        found = self.type if isinstance(self.type, list) else self.options.get("options")
        return found if isinstance(found, list) else None

    @property
    def is_list(self) -> bool:
        """Whether a value is chosen from a list, be it known here or not."""
        return self.values is not None or self.type == "COMBO"

    @property
    def route(self) -> str:
        """Where the page itself fetches the list from; empty: nowhere."""
        remote = self.options.get("remote")
        return str(remote.get("route", "")) if isinstance(remote, dict) else ""

    @property
    def upload_flags(self) -> tuple[str, ...]:
        """The kinds of upload that the page offers here."""
        return tuple(flag for flag in UPLOAD_FLAGS if self.options.get(flag))

    def texts(self) -> Iterator[str]:
        """The texts in the list."""
        return (value for value in self.values or () if isinstance(value, str))


def definitions(info: Any) -> Iterator[tuple[str, str, Definition]]:
    """(group, name, definition) of each input of a node; none for what is shaped like none."""
    groups = info.get("input") if isinstance(info, dict) else None
    if not isinstance(groups, dict):
        return
    for group in ("required", "optional"):
        members = groups.get(group)
        if isinstance(members, dict):
            for name, raw in members.items():
                yield group, name, _definition(raw)


def _definition(raw: Any) -> Definition:
    parts = raw if isinstance(raw, (list, tuple)) else [raw]
    options = parts[1] if len(parts) > 1 and isinstance(parts[1], dict) else {}
    return Definition(parts[0] if parts else None, options)


def lists_models(definition: Definition, models: KnownModels) -> bool:
    """Whether it is a list of models: known by its content."""
    return any(models.find(text) for text in definition.texts())


def file_folder(
    definition: Definition, models: KnownModels, input_files: Collection[str]
) -> str | None:
    """The folder of ComfyUI's (`input`, `output`, `temp`) whose files the values name; None
    where they name none.

    `input_files` are names at the top of the input folder: a list that holds some of them,
    and no model, is a list of input files, flagged or not.
    """
    route = definition.route
    is_recorded = isinstance(definition.type, str) and definition.type.startswith(_RECORDED_TYPES)
    if is_recorded or definition.upload_flags or route.startswith(_FILES_ROUTE):
        folder = definition.options.get("image_folder") or route.removeprefix(_FILES_ROUTE)
        return folder if folder in _FOLDERS else INPUT
    if definition.values == []:
        # LoadLatent's, as long as there is none: ComfyUI takes whatever file is named all the
        # same. Where models belong, a name that is no file of the caller's stays as it is.
        return INPUT
    if any(text in input_files for text in definition.texts()):
        return None if lists_models(definition, models) else INPUT
    return None


def names_places(name: str, definition: Definition) -> bool:
    """Whether a list's values may be folders or files that no flag tells of: a value that is
    known only while the prompt runs must not get there (core's nodes open what they are told,
    LoadImageSetFromFolderNode and OpenAIInputFiles in 0.3.64)."""
    return _PLACE.search(name) is not None or any(
        namespace_of(text.replace("\\", "/")) is not None for text in definition.texts()
    )
