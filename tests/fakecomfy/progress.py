"""Progress of a run as its client is told, and the flag that interrupts whatever runs."""

from __future__ import annotations

import threading
from typing import Any

from . import events
from .events import EventHub, Preview


class Interrupted(Exception):
    """Raised inside a node when its prompt is to stop."""


class Interrupt:
    """The one global flag that stops whatever runs."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    def check(self) -> None:
        if self._event.is_set():
            self._event.clear()
            raise Interrupted

    def wait(self, seconds: float) -> None:
        self._event.wait(seconds)
        self.check()


class Progress:
    """States of the nodes of one run, told to the client after each change."""

    def __init__(self, hub: EventHub, prompt_id: str, client_id: Any) -> None:
        self._hub = hub
        self._prompt_id = prompt_id
        self._client_id = client_id
        self._nodes: dict[str, dict[str, Any]] = {}

    def _ids(self, node_id: str) -> dict[str, Any]:
        return {
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }

    def _set(self, node_id: str, value: float, largest: float, state: str) -> None:
        self._nodes[node_id] = {"value": value, "max": largest, "state": state}
        nodes = {n: {**s, **self._ids(n)} for n, s in self._nodes.items()}
        data = {"prompt_id": self._prompt_id, "nodes": nodes}
        self._hub.send_sync("progress_state", data, self._client_id)

    def start(self, node_id: str) -> None:
        self._set(node_id, 0.0, 1.0, "running")

    def finish(self, node_id: str) -> None:
        largest = self._nodes.get(node_id, {"max": 1})["max"]
        self._set(node_id, largest, largest, "finished")

    def update(self, node_id: str, value: float, total: float, preview: Preview | None) -> None:
        self._set(node_id, value, total, "running")
        modern = self._hub.supports(self._client_id, "supports_preview_metadata")
        if preview is not None and modern:
            ids = self._ids(node_id)
            message = (preview, ids)
            self._hub.send_sync(events.PREVIEW_IMAGE_WITH_METADATA, message, self._client_id)
        data = {"value": value, "max": total, "prompt_id": self._prompt_id, "node": node_id}
        self._hub.send_sync("progress", data, self._client_id)
        if preview is not None and not modern:
            self._hub.send_sync(events.UNENCODED_PREVIEW_IMAGE, preview, self._client_id)
