"""The simulated node classes: definitions from data/node_defs.json, behaviour from Python."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folders import Folders, is_content_type

if TYPE_CHECKING:
    from .executor import NodeContext

_DEFINITIONS = Path(__file__).parent / "data" / "node_defs.json"


@dataclass
class NodeOutput:
    """What running a node gave: its output slots and what it reports to the page."""

    outputs: tuple[Any, ...] = ()
    ui: dict[str, list[Any]] = field(default_factory=dict)


Run = Callable[..., NodeOutput]
Validate = Callable[[Folders, dict[str, Any]], bool | str]
Fingerprint = Callable[[Folders, dict[str, Any]], Any]


@dataclass
class Behaviour:
    """How a node class runs, and its own checks."""

    run: Callable[..., NodeOutput]
    # Names of inputs the class checks itself: the general checks leave those alone.
    validates: tuple[str, ...] = ()
    validate: Validate | None = None
    is_changed: Fingerprint | None = None


BEHAVIOURS: dict[str, Behaviour] = {}


def node(
    name: str,
    *,
    validates: tuple[str, ...] = (),
    validate: Validate | None = None,
    is_changed: Fingerprint | None = None,
) -> Callable[[Run], Run]:
    """Decorator: registers a function (context, **inputs) as the behaviour of a node class."""

    def register(run: Run) -> Run:
        BEHAVIOURS[name] = Behaviour(run, validates, validate, is_changed)
        return run

    return register


@dataclass
class NodeClass:
    """One node class: its raw definition and its behaviour."""

    name: str
    definition: dict[str, Any]
    behaviour: Behaviour

    @property
    def is_output(self) -> bool:
        return bool(self.definition["output_node"])

    @property
    def returns(self) -> tuple[Any, ...]:
        # A tuple as upstream: a bad slot number then reads "tuple index out of range".
        return tuple(self.definition["output"])

    @property
    def hidden(self) -> dict[str, str]:
        hidden = self.definition["input"].get("hidden", {})
        return {k: v[0] if isinstance(v, list) else v for k, v in hidden.items()}

    @property
    def uses_unique_id(self) -> bool:
        return "UNIQUE_ID" in self.hidden.values()

    def run(self, context: NodeContext, inputs: dict[str, Any]) -> NodeOutput:
        return self.behaviour.run(context, **inputs)


class Registry:
    """All node classes of one server, their lists filled from its folders."""

    def __init__(self, folders: Folders) -> None:
        # Imported here because the behaviours register themselves in this module's table.
        from . import nodes_custom, nodes_image, nodes_media, nodes_model  # noqa: F401

        self._folders = folders
        # What a node class takes besides, when all are asked for; ComfyUI calls each one's
        # Python. For load tests.
        self.seconds_per_node = 0.0
        definitions: dict[str, dict[str, Any]] = json.loads(_DEFINITIONS.read_text("utf-8"))
        self.classes = {n: NodeClass(n, d, BEHAVIOURS[n]) for n, d in definitions.items()}

    def get(self, name: Any) -> NodeClass | None:
        # A list as class_type is unhashable: the TypeError becomes a 500, as upstream.
        return self.classes.get(name)

    def input_types(self, cls: NodeClass) -> dict[str, dict[str, Any]]:
        """The inputs by category, lists of files filled in now."""
        result = {}
        for category, inputs in cls.definition["input"].items():
            if category == "hidden":
                result[category] = inputs
            else:
                result[category] = {n: self._fill(spec) for n, spec in inputs.items()}
        return result

    def info(self, name: str) -> dict[str, Any]:
        cls = self.classes[name]
        return {**cls.definition, "input": self.input_types(cls)}

    def all_info(self) -> dict[str, Any]:
        begin = time.perf_counter()
        found = {name: self.info(name) for name in self.classes}
        while time.perf_counter() - begin < self.seconds_per_node * len(found):
            pass
        return found

    def _fill(self, spec: list[Any]) -> list[Any]:
        kind = spec[0]
        if isinstance(kind, Mapping):
            return [self._names(kind), *spec[1:]]
        options = spec[1].get("options") if len(spec) > 1 else None
        if isinstance(options, Mapping):
            return [kind, {**spec[1], "options": self._names(options)}]
        return spec

    def _names(self, source: Mapping[str, Any]) -> list[str]:
        folders, what = self._folders, source["$list"]
        if what.startswith("models:"):
            return folders.model_files(what[7:]) + list(source.get("extra", ()))
        if what == "input_folders":
            return folders.input_subfolders()
        names = folders.top_level_files(folders.input)
        if what == "input_images":
            return [n for n in names if is_content_type(n, {"image"})]
        if what == "input_latents":
            return [n for n in names if n.endswith(".latent")]
        if what == "input_audio":
            return [n for n in names if is_content_type(n, {"audio", "video"})]
        if what == "input_videos":
            return [n for n in names if is_content_type(n, {"video"})]
        if what == "input_3d":
            # Load3D lists only its own subfolder, which the simulation never fills.
            return []
        return names


def input_info(
    types: Mapping[str, Mapping[str, Any]], name: str
) -> tuple[Any, str | None, dict[str, Any] | None]:
    """(type, category, options) of an input, or three Nones for an undeclared one."""
    for category in ("required", "optional", "hidden"):
        spec = types.get(category, {}).get(name)
        if spec is None:
            continue
        if isinstance(spec, str):
            return spec[0], category, {}
        return spec[0], category, spec[1] if len(spec) > 1 else {}
    return None, None, None
