"""Graphs of nodes: links, cache keys made from inputs, and the order of execution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .folders import Folders
from .registry import Registry

Prompt = dict[str, Any]


def is_link(value: Any) -> bool:
    """A link is a list of two: a node id (text) and a slot number."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and type(value[1]) in (int, float)
    )


def _freeze(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((key, _freeze(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(_freeze(item) for item in value)
    return value


class Signatures:
    """Cache keys of a prompt's nodes: class and inputs of the node and of all its ancestors.

    Every node of the prompt gets one, reached by an output or not. Nodes nothing uses are not
    validated, so a broken one raises here, outside any guard: that ends the worker, as upstream.
    """

    def __init__(self, prompt: Prompt, registry: Registry, folders: Folders) -> None:
        self._prompt = prompt
        self._registry = registry
        self._folders = folders
        self._changed: dict[str, Any] = {}
        self.keys = {node_id: self._signature(node_id) for node_id in prompt}

    def _signature(self, node_id: str) -> Any:
        order: dict[str, int] = {}
        self._collect(node_id, order)
        own = [self._part(node_id, order)]
        return tuple(own + [self._part(ancestor, order) for ancestor in order])

    def _collect(self, node_id: str, order: dict[str, int]) -> None:
        # Recursive on purpose: a very long chain exceeds Python's limit upstream as well.
        if node_id not in self._prompt:
            return
        inputs = self._prompt[node_id]["inputs"]
        for name in sorted(inputs.keys()):
            if is_link(inputs[name]):
                source = inputs[name][0]
                if source not in order:
                    order[source] = len(order)
                    self._collect(source, order)

    def _part(self, node_id: str, order: dict[str, int]) -> Any:
        if node_id not in self._prompt:
            return (float("nan"),)
        node = self._prompt[node_id]
        cls = self._registry.classes[node["class_type"]]
        part: list[Any] = [cls.name, self._fingerprint(node_id)]
        if cls.uses_unique_id:
            part.append(node_id)
        for name in sorted(node["inputs"].keys()):
            value = node["inputs"][name]
            if is_link(value):
                part.append((name, ("ANCESTOR", order[value[0]], value[1])))
            else:
                part.append((name, _freeze(value)))
        return tuple(part)

    def _fingerprint(self, node_id: str) -> Any:
        if node_id in self._changed:
            return self._changed[node_id]
        node = self._prompt[node_id]
        cls = self._registry.classes[node["class_type"]]
        result: Any = False
        if cls.behaviour.is_changed is not None:
            if "is_changed" not in node:
                # Stored in the node itself, so it shows in the metadata of saved pictures.
                node["is_changed"] = self._compute(cls, node)
            result = _freeze(node["is_changed"])
        self._changed[node_id] = result
        return result

    def _compute(self, cls: Any, node: dict[str, Any]) -> Any:
        constants = {k: None if is_link(v) else v for k, v in node["inputs"].items()}
        try:
            return [cls.behaviour.is_changed(self._folders, constants)]
        except Exception:
            return float("nan")


class Cache:
    """Results by signature; keeps only what the latest prompt's nodes use."""

    def __init__(self) -> None:
        self._results: dict[Any, Any] = {}
        self._keys: dict[str, Any] = {}

    def set_prompt(self, keys: dict[str, Any]) -> None:
        self._keys = keys
        used = set(keys.values())
        self._results = {k: v for k, v in self._results.items() if k in used}

    def get(self, node_id: str) -> Any:
        return self._results.get(self._keys.get(node_id))

    def set(self, node_id: str, value: Any) -> None:
        self._results[self._keys[node_id]] = value


class ExecutionOrder:
    """Which node comes next: inputs first, and among the ready ones outputs first."""

    def __init__(
        self,
        prompt: Prompt,
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
    ) -> None:
        self._prompt = prompt
        self._is_cached = is_cached
        self._is_output = is_output
        self._waits: dict[str, set[str]] = {}
        self._feeds: dict[str, dict[str, bool]] = {}

    def add(self, node_id: str) -> None:
        stack, edges = [node_id], []
        while stack:
            current = stack.pop()
            if current in self._waits:
                continue
            self._waits[current] = set()
            self._feeds[current] = {}
            for value in self._prompt[current]["inputs"].values():
                if is_link(value) and not self._is_cached(value[0]):
                    stack.append(value[0])
                    edges.append((value[0], current))
        for source, target in edges:
            self._waits[target].add(source)
            self._feeds[source][target] = True

    @property
    def empty(self) -> bool:
        return not self._waits

    def next(self) -> str:
        ready = [node_id for node_id, waits in self._waits.items() if not waits]
        if not ready:
            # Circles are refused by validation; this keeps a bug here from looping for ever.
            raise RuntimeError("Dependency cycle detected")
        for node_id in ready:
            if self._is_output(node_id):
                return node_id
        for node_id in ready:
            if any(self._is_output(target) for target in self._feeds[node_id]):
                return node_id
        for node_id in ready:
            for target in self._feeds[node_id]:
                if any(self._is_output(second) for second in self._feeds[target]):
                    return node_id
        return ready[0]

    def done(self, node_id: str) -> None:
        del self._waits[node_id]
        for target in self._feeds.pop(node_id):
            self._waits[target].discard(node_id)
