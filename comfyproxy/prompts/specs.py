"""What `GET /object_info` says about a node's inputs: which name files, prefixes, models."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final

import orjson

from comfyproxy.filters.definitions import (
    Input,
    definitions,
    file_folder,
    model_folders,
    names_places,
)
from comfyproxy.filters.models import KnownModels, likelier

PREFIX_NAME: Final = "filename_prefix"
_NUMBER_TYPES: Final = ("FLOAT", "INT")
# Hidden inputs that ComfyUI fills with the prompt and its extra_pnginfo.
_PROMPT_TYPES: Final = frozenset({"PROMPT", "EXTRA_PNGINFO", "DYNPROMPT"})


class Kind(Enum):
    """How an input's text is to be read; of two readings the later one here is the safer."""

    TEXT = auto()  # free text, or anything else
    NUMBER = auto()  # ComfyUI turns a text into a number here
    LIST = auto()  # one of a list of values
    MODEL = auto()  # a file of a model folder
    FILE = auto()  # a file of ComfyUI's input, output or temp folder
    PREFIX = auto()  # where a result is written


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input. `file_type` is the folder that an unannotated file name means; `folders`
    those whose models a list holds, as far as that can be told; `is_place`: a list whose
    values may be files or folders all the same."""

    kind: Kind
    optional: bool = False
    file_type: str = "input"
    default: Any = None
    folders: frozenset[str] = frozenset()
    is_place: bool = False


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node class: its inputs, and whether what it makes is its user's alone: it is an
    output node, or it is told the prompt and the workflow, which it may write into a file."""

    inputs: dict[str, InputSpec] = field(default_factory=dict)
    is_personal: bool = False


UNKNOWN_NODE: Final = NodeSpec()


class NodeSpecs(Mapping[str, NodeSpec]):
    """All node classes. Each is read when somebody first asks for it: of hundreds, prompts
    use a few dozen."""

    def __init__(
        self, pieces: Mapping[str, bytes], models: KnownModels, input_files: frozenset[str]
    ) -> None:
        """`pieces`: each node's definition as JSON; `input_files`: names at the top of the
        input folder."""
        self._pieces = pieces
        self._models = models
        self._input_files = input_files
        self._read: dict[str, NodeSpec] = {}

    def __getitem__(self, name: str) -> NodeSpec:
        found = self._read.get(name)
        if found is None:
            found = self._read[name] = node_spec(
                self.definition(name), self._models, self._input_files
            )
        return found

    def definition(self, name: str) -> Any:
        """The class's definition itself; KeyError for none."""
        return orjson.loads(self._pieces[name])

    def __contains__(self, name: object) -> bool:
        return name in self._pieces

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)

    def unread(self, names: Iterable[str]) -> list[str]:
        """Those of the classes that nobody has asked for yet: megabytes, if they list models."""
        return [name for name in names if name in self and name not in self._read]


def node_spec(info: Any, models: KnownModels, input_files: frozenset[str]) -> NodeSpec:
    """Read one node's definition. `input_files` are names at the top of the input folder: a
    list holding some of them is a list of input files, flagged or not."""
    if not isinstance(info, dict):
        return UNKNOWN_NODE
    is_output = info.get("output_node") is True
    inputs: dict[str, InputSpec] = {}
    for found in definitions(info):
        spec = _input_spec(found, is_output, models, input_files)
        for name in found.names:
            inputs[name] = _either(inputs[name], spec) if name in inputs else spec
    return NodeSpec(inputs, is_output or _is_told_the_prompt(info))


def _is_told_the_prompt(info: dict[str, Any]) -> bool:
    groups = info.get("input")
    hidden = groups.get("hidden") if isinstance(groups, dict) else None
    values = hidden.values() if isinstance(hidden, dict) else ()
    types = [value[0] if isinstance(value, list) and value else value for value in values]
    return any(isinstance(kind, str) and kind in _PROMPT_TYPES for kind in types)


def _either(one: InputSpec, other: InputSpec) -> InputSpec:
    """Of inputs of one name, of which the prompt's other values decide which is meant: the
    one that asks for more care."""
    safer = max(one, other, key=lambda spec: spec.kind.value)
    return safer if one.folders == other.folders else replace(safer, folders=frozenset())


def _input_spec(
    found: Input, is_output: bool, models: KnownModels, input_files: frozenset[str]
) -> InputSpec:
    definition, optional, name = found.definition, found.optional, found.own_name
    kind, default = definition.type, definition.options.get("default")
    if name == PREFIX_NAME or (name == "prefix" and is_output and kind == "STRING"):
        return InputSpec(Kind.PREFIX, optional, default=default)
    folder = file_folder(definition, models, input_files)
    if folder is not None:
        return InputSpec(Kind.FILE, optional, folder, default)
    if definition.is_list or definition.route:
        folders = model_folders(definition, models)
        if folders is None:
            is_place = any(names_places(name, definition) for name in found.names)
            return InputSpec(Kind.LIST, optional, default=default, is_place=is_place)
        folders = likelier(folders, name)
        return InputSpec(Kind.MODEL, optional, default=default, folders=folders)
    number = isinstance(kind, str) and kind in _NUMBER_TYPES
    return InputSpec(Kind.NUMBER if number else Kind.TEXT, optional, default=default)
