"""What `GET /object_info` says about a node's inputs: which name files, prefixes, models."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from comfyproxy.filters.definitions import (
    Definition,
    definitions,
    file_folder,
    lists_models,
    names_places,
)
from comfyproxy.filters.models import KnownModels

_NUMBER_TYPES: Final = ("FLOAT", "INT")
# Hidden inputs that ComfyUI fills with the prompt and its extra_pnginfo.
_PROMPT_TYPES: Final = frozenset({"PROMPT", "EXTRA_PNGINFO", "DYNPROMPT"})


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
    """One input. `file_type` is the folder that an unannotated file name means; `is_place`:
    a list whose values may be files or folders all the same."""

    kind: Kind
    optional: bool = False
    file_type: str = "input"
    default: Any = None
    is_place: bool = False


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node class: its inputs, and whether what it makes is its user's alone: it is an
    output node, or it is told the prompt and the workflow, which it may write into a file."""

    inputs: dict[str, InputSpec] = field(default_factory=dict)
    is_personal: bool = False


UNKNOWN_NODE: Final = NodeSpec()


def node_spec(info: Any, models: KnownModels, input_files: frozenset[str]) -> NodeSpec:
    """Read one node's definition. `input_files` are names at the top of the input folder: a
    list holding some of them is a list of input files, flagged or not."""
    if not isinstance(info, dict):
        return UNKNOWN_NODE
    is_output = info.get("output_node") is True
    inputs = {
        name: _input_spec(name, definition, group == "optional", is_output, models, input_files)
        for group, name, definition in definitions(info)
    }
    return NodeSpec(inputs, is_output or _is_told_the_prompt(info))


def _is_told_the_prompt(info: dict[str, Any]) -> bool:
    groups = info.get("input")
    hidden = groups.get("hidden") if isinstance(groups, dict) else None
    values = hidden.values() if isinstance(hidden, dict) else ()
    types = [value[0] if isinstance(value, list) and value else value for value in values]
    return any(isinstance(kind, str) and kind in _PROMPT_TYPES for kind in types)


def _input_spec(
    name: str,
    definition: Definition,
    optional: bool,
    is_output: bool,
    models: KnownModels,
    input_files: frozenset[str],
) -> InputSpec:
    kind, default = definition.type, definition.options.get("default")
    if name == "filename_prefix" or (name == "prefix" and is_output and kind == "STRING"):
        return InputSpec(Kind.PREFIX, optional, default=default)
    folder = file_folder(definition, models, input_files)
    if folder is not None:
        return InputSpec(Kind.FILE, optional, folder, default)
    if definition.is_list:
        if lists_models(definition, models):
            return InputSpec(Kind.MODEL, optional, default=default)
        is_place = names_places(name, definition)
        return InputSpec(Kind.LIST, optional, default=default, is_place=is_place)
    number = isinstance(kind, str) and kind in _NUMBER_TYPES
    return InputSpec(Kind.NUMBER if number else Kind.TEXT, optional, default=default)
