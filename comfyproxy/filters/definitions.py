"""A node's inputs as `GET /object_info` defines them: what the values in each one name.

The definitions come in two styles: `["a", "b"]` or `["COMBO", {"options": […]}]` for
lists, and `["STRING", {…}]` for the rest. Newer ones hold further inputs (see `_nested`).
Nothing here depends on node names: unknown custom nodes are judged by what they declare.
"""

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from comfyproxy.files import namespace_of
from comfyproxy.filters.models import EMBEDDINGS, KnownModels, choice_name

INPUT: Final = "input"
IMAGE_UPLOAD: Final = "image_upload"
VIDEO_UPLOAD: Final = "video_upload"
AUDIO_UPLOAD: Final = "audio_upload"
FILE_UPLOAD: Final = "file_upload"
UPLOAD_FLAGS: Final = (IMAGE_UPLOAD, VIDEO_UPLOAD, AUDIO_UPLOAD, FILE_UPLOAD)
_PLACE: Final = re.compile(
    r"(?:^|_)(?:folder|subfolder|dir|directory|path|file|filename|files)(?:$|_)", re.IGNORECASE
)
_FILES_ROUTE: Final = re.compile(r"(?:/api)?/internal/files/(.*)")
_MODELS_ROUTE: Final = re.compile(r"(?:/api)?(?:/experiment)?/models/([^/?#]+)")
_EMBEDDINGS_ROUTE: Final = re.compile(r"(?:/api)?/embeddings")
_FOLDERS: Final = (INPUT, "output", "temp")
# Types whose widget uploads what it recorded or drew and holds the names of the files
# (ComfyUI 0.3.64: nodes_webcam.py, nodes_audio.py, nodes_load_3d.py).
RECORDED_TYPES: Final = ("WEBCAM", "AUDIO_RECORD", "LOAD_3D")
# ComfyUI's own limit for repeated inputs (comfy_api/latest/_io.py, Autogrow._MaxNames).
_MAX_REPEATED: Final = 100


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
        # Several types are joined by commas.
        types = self.type.split(",") if isinstance(self.type, str) else ()
        return self.values is not None or "COMBO" in types

    @property
    def route(self) -> str:
        """Where the page itself fetches the list from; empty: nowhere."""
        remote = self.options.get("remote") if self.options else None
        return str(remote.get("route", "")) if isinstance(remote, dict) else ""

    @property
    def upload_flags(self) -> tuple[str, ...]:
        """The kinds of upload that the page offers here."""
        return tuple(flag for flag in UPLOAD_FLAGS if self.options.get(flag))

    def texts(self) -> list[str]:
        """The texts in the list."""
        return [value for value in self.values or () if isinstance(value, str)]

    def names(self) -> list[str]:
        """What the members of the list are called."""
        found = map(choice_name, self.values or ())
        return [name for name in found if name is not None]


@dataclass(frozen=True, slots=True)
class Option:
    """A step of a path: from a list of options to the one with that key."""

    key: Any


Path = tuple[str | int | Option, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a node. `names`: what prompts call it, several where it is repeated;
    `path`: where its definition stands below the node's `input`."""

    names: tuple[str, ...]
    optional: bool
    path: Path
    definition: Definition

    @property
    def own_name(self) -> str:
        """Its name without those of the inputs that it belongs to."""
        return str(self.path[-1])


def definitions(info: Any) -> Iterator[Input]:
    """Each input of a node, nested ones after the one they belong to; none for what is shaped
    like none."""
    return _inputs(info.get("input") if isinstance(info, dict) else None, ("",), ())


def _inputs(groups: Any, prefixes: Iterable[str], path: Path) -> Iterator[Input]:
    for group, name, raw in _members(groups):
        names = tuple([f"{prefix}{name}" for prefix in prefixes])
        found = Input(names, group == "optional", (*path, group, name), _definition(raw))
        yield found
        yield from _nested(found)


def _members(groups: Any) -> Iterator[tuple[str, str, Any]]:
    if not isinstance(groups, dict):
        return
    for group in ("required", "optional"):
        members = groups.get(group)
        if isinstance(members, dict):
            for name, raw in members.items():
                yield group, name, raw


def _nested(parent: Input) -> Iterator[Input]:
    """The inputs that an input holds; prompts call them `parent.child`.

    ComfyUI from 0.4 on (comfy_api/latest/_io.py, _expand_schema_for_dynamic): DynamicCombo has
    `options: [{key, inputs}]`, DynamicSlot `inputs`, Autogrow a `template` of one input that
    is repeated under numbered or listed names.
    """
    options, path = parent.definition.options, (*parent.path, 1)
    if not options:
        return
    prefixes = [f"{name}." for name in parent.names]
    choices = options.get("options")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            inside = (*path, "options", Option(choice.get("key")), "inputs")
            yield from _inputs(choice.get("inputs"), prefixes, inside)
    yield from _inputs(options.get("inputs"), prefixes, (*path, "inputs"))
    template = options.get("template")
    if not isinstance(template, dict):
        return
    repeated = list(_repeated(template))
    names = tuple(f"{prefix}{name}" for prefix in prefixes for name in repeated)
    for group, name, raw in _members(template.get("input")):
        inside = (*path, "template", "input", group, name)
        found = Input(names, True, inside, _definition(raw))
        yield found
        yield from _nested(found)


def _repeated(template: dict[str, Any]) -> Iterator[str]:
    names, prefix = template.get("names"), template.get("prefix")
    if isinstance(names, list):
        yield from (name for name in names[:_MAX_REPEATED] if isinstance(name, str))
    elif isinstance(prefix, str):
        most = template.get("max")
        count = most if isinstance(most, int) and most < _MAX_REPEATED else _MAX_REPEATED
        yield from (f"{prefix}{number}" for number in range(count))


def _definition(raw: Any) -> Definition:
    parts = raw if isinstance(raw, (list, tuple)) else [raw]
    options = parts[1] if len(parts) > 1 and isinstance(parts[1], dict) else {}
    return Definition(parts[0] if parts else None, options)


def model_folders(definition: Definition, models: KnownModels) -> frozenset[str] | None:
    """The folders whose models it lists: known by its content, or by where the page fetches
    it. Empty where they cannot be told; None for an input that lists no models."""
    names = set(definition.names())
    named = models.named(names, plain=len(definition.texts()) == len(definition.values or ()))
    sources = models.sources(named)
    if sources or models.named(names, plain=False):
        return sources
    found = _MODELS_ROUTE.fullmatch(definition.route)
    if found is not None:
        folder = models.folder(unquote(found[1]))
        return frozenset() if folder is None else frozenset({folder})
    is_embeddings = EMBEDDINGS in models.folders and _EMBEDDINGS_ROUTE.fullmatch(definition.route)
    return frozenset() if is_embeddings else None


def file_folder(definition: Definition, models: KnownModels, input_files: Set[str]) -> str | None:
    """The folder of ComfyUI's (`input`, `output`, `temp`) whose files the values name; None
    where they name none.

    `input_files` are names at the top of the input folder: a list that holds some of them,
    and no model, is a list of input files, flagged or not.
    """
    route = _FILES_ROUTE.fullmatch(definition.route)
    is_recorded = isinstance(definition.type, str) and definition.type.startswith(RECORDED_TYPES)
    if is_recorded or definition.upload_flags or route is not None:
        folder = definition.options.get("image_folder") or (route[1] if route else "")
        return folder if folder in _FOLDERS else INPUT
    if definition.values == []:
        # LoadLatent's, as long as there is none: ComfyUI takes whatever file is named all the
        # same. Where models belong, a name that is no file of the caller's stays as it is.
        return INPUT
    if input_files.isdisjoint(definition.texts()):
        return None
    return INPUT if model_folders(definition, models) is None else None


def names_places(name: str, definition: Definition) -> bool:
    """Whether a list's values may be folders or files that no flag tells of: a value that is
    known only while the prompt runs must not get there (core's nodes open what they are told,
    LoadImageSetFromFolderNode and OpenAIInputFiles in 0.3.64)."""
    return _PLACE.search(name) is not None or any(
        namespace_of(text.replace("\\", "/")) is not None for text in definition.texts()
    )
