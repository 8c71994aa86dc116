"""What `GET /object_info` says about a node's inputs: which name files, prefixes, models.

The definitions come in two styles: `["a", "b"]` or `["COMBO", {"options": […]}]` for
lists, and `["STRING", {…}]` for the rest. Nothing here depends on node names: unknown
custom nodes are judged by what they declare.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from comfyproxy.filters.models import KnownModels

_UPLOAD_FLAGS: Final = ("image_upload", "video_upload", "audio_upload", "file_upload")
_FILES_ROUTE: Final = "/internal/files/"
# Types whose widget uploads what it recorded or drew and holds the names of the files
# (ComfyUI 0.3.64: nodes_webcam.py, nodes_audio.py, nodes_load_3d.py).
_RECORDED_TYPES: Final = ("WEBCAM", "AUDIO_RECORD", "LOAD_3D")
_NUMBER_TYPES: Final = ("FLOAT", "INT")


class Kind(Enum):
    """How an input's text is to be read."""

    TEXT = auto()  # free text, or anything else
    NUMBER = auto()  # ComfyUI turns a text into a number here
    LIST = auto()  # one of a list of values
    FILE = auto()  # a file of ComfyUI's input, output or temp folder
    MODEL = auto()  # a file of a model folder
    PREFIX = auto()  # where a result is written


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input. `file_type` is the folder that an unannotated file name means."""

    kind: Kind
    optional: bool = False
    file_type: str = "input"
    default: Any = None


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node class: its inputs, and whether it is an output node."""

    inputs: dict[str, InputSpec] = field(default_factory=dict)
    is_output: bool = False


UNKNOWN_NODE: Final = NodeSpec()


def node_spec(info: Any, models: KnownModels, input_files: frozenset[str]) -> NodeSpec:
    """Read one node's definition. `input_files` are names at the top of the input folder: a
    list holding some of them is a list of input files, flagged or not."""
    if not isinstance(info, dict):
        return UNKNOWN_NODE
    is_output = info.get("output_node") is True
    inputs = {
        name: _input_spec(name, definition, group == "optional", is_output, models, input_files)
        for group, name, definition in _definitions(info.get("input"))
    }
    return NodeSpec(inputs, is_output)


def _definitions(groups: Any) -> Iterator[tuple[str, str, Any]]:
    if not isinstance(groups, dict):
        return
    for group in ("required", "optional"):
        members = groups.get(group)
        if isinstance(members, dict):
            for name, definition in members.items():
                yield group, name, definition


def _input_spec(
    name: str,
    definition: Any,
    optional: bool,
    is_output: bool,
    models: KnownModels,
    input_files: frozenset[str],
) -> InputSpec:
    parts = definition if isinstance(definition, (list, tuple)) else [definition]
    kind = parts[0] if parts else None
    options = parts[1] if len(parts) > 1 and isinstance(parts[1], dict) else {}
    default = options.get("default")
    values = kind if isinstance(kind, list) else options.get("options")
    if name == "filename_prefix" or (name == "prefix" and is_output and kind == "STRING"):
        return InputSpec(Kind.PREFIX, optional, default=default)
    remote = options.get("remote")
    route = str(remote.get("route", "")) if isinstance(remote, dict) else ""
    is_recorded = isinstance(kind, str) and kind.startswith(_RECORDED_TYPES)
    is_upload = any(options.get(flag) for flag in _UPLOAD_FLAGS)
    if is_recorded or is_upload or route.startswith(_FILES_ROUTE):
        folder = options.get("image_folder") or route.removeprefix(_FILES_ROUTE) or "input"
        file_type = folder if folder in ("input", "output", "temp") else "input"
        return InputSpec(Kind.FILE, optional, file_type, default)
    if isinstance(values, list) or kind == "COMBO":
        texts = [value for value in values or () if isinstance(value, str)]
        if any(models.find(text) for text in texts):
            return InputSpec(Kind.MODEL, optional, default=default)
        if any(text in input_files for text in texts):
            return InputSpec(Kind.FILE, optional, "input", default)
        return InputSpec(Kind.LIST, optional, default=default)
    number = isinstance(kind, str) and kind in _NUMBER_TYPES
    return InputSpec(Kind.NUMBER if number else Kind.TEXT, optional, default=default)
