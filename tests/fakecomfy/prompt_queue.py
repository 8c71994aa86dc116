"""The queue, the running items and the history, kept in memory only."""

from __future__ import annotations

import copy
import heapq
import threading
import time
from collections.abc import Callable
from typing import Any

MAX_HISTORY = 10000
SENSITIVE = ("auth_token_comfy_org", "api_key_comfy_org")

# (number, prompt id, prompt, extra_data, outputs to execute)
Item = tuple[Any, str, Any, Any, list[str]]


class PromptQueue:
    """A heap of prompts. Thread-safe: HTTP handlers put, the worker gets."""

    def __init__(self, updated: Callable[[], None]) -> None:
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        self._updated = updated
        self._task = 0
        self.pending: list[Item] = []
        self.running: dict[int, Item] = {}
        self.history: dict[str, dict[str, Any]] = {}
        self._flags: dict[str, Any] = {}
        self.created: dict[str, int] = {}
        self.held = False
        self.stopping = False

    def put(self, item: Item) -> None:
        with self._lock:
            # Items with equal number and id are compared by their prompts, which raises: the
            # answer is 500, but the item is in the heap already. Upstream has it so.
            heapq.heappush(self.pending, item)
            self.created[item[1]] = int(time.time() * 1000)
            while len(self.created) > 2 * MAX_HISTORY:
                self.created.pop(next(iter(self.created)))
            self._updated()
            self.changed.notify_all()

    def get(self) -> tuple[Item, int] | None:
        """Waits for the next item; None when there is a flag to look at or the server stops."""
        with self.changed:
            while self.held or not self.pending:
                if self.stopping or self._flags:
                    return None
                self.changed.wait()
            if self.stopping:
                return None
            item = heapq.heappop(self.pending)
            task = self._task
            self.running[task] = copy.deepcopy(item)
            self._task += 1
            self._updated()
            return item, task

    def task_done(self, task: int, result: dict[str, Any], status: dict[str, Any]) -> None:
        with self._lock:
            item = self.running.pop(task)
            if len(self.history) > MAX_HISTORY:
                self.history.pop(next(iter(self.history)))
            for key in SENSITIVE:
                if key in item[3]:
                    item[3].pop(key)
            self.history[item[1]] = {
                "prompt": item,
                "outputs": {},
                "status": copy.deepcopy(status),
                **result,
            }
            self._updated()

    def snapshot(self) -> tuple[list[Item], list[Item]]:
        with self._lock:
            return list(self.running.values()), list(self.pending)

    def remaining(self) -> int:
        with self._lock:
            return len(self.pending) + len(self.running)

    def wipe(self) -> None:
        with self._lock:
            self.pending = []
            self._updated()

    def delete(self, prompt_id: Any) -> None:
        """Removes the first pending item with this id, if any."""
        with self._lock:
            for index, item in enumerate(self.pending):
                if item[1] != prompt_id:
                    continue
                if len(self.pending) == 1:
                    self.wipe()
                else:
                    self.pending.pop(index)
                    heapq.heapify(self.pending)
                self._updated()
                return

    def get_history(self, max_items: int | None = None, offset: int = -1) -> dict[str, Any]:
        with self._lock:
            if offset < 0 and max_items is not None:
                offset = len(self.history) - max_items
            found: dict[str, Any] = {}
            for index, (prompt_id, entry) in enumerate(self.history.items()):
                if index < offset:
                    continue
                found[prompt_id] = entry
                if max_items is not None and len(found) >= max_items:
                    break
            return found

    def history_of(self, prompt_id: str) -> dict[str, Any]:
        with self._lock:
            if prompt_id in self.history:
                return {prompt_id: copy.deepcopy(self.history[prompt_id])}
            return {}

    def wipe_history(self) -> None:
        with self._lock:
            self.history = {}

    def delete_history(self, prompt_id: Any) -> None:
        with self._lock:
            self.history.pop(prompt_id, None)

    def set_flag(self, name: str, value: Any) -> None:
        with self._lock:
            self._flags[name] = value
            self.changed.notify_all()

    def take_flags(self) -> dict[str, Any]:
        with self._lock:
            flags, self._flags = self._flags, {}
            return flags

    def hold(self, held: bool) -> None:
        """Keeps the worker from taking the next item, or lets it go on."""
        with self._lock:
            self.held = held
            self.changed.notify_all()

    def stop(self) -> None:
        with self._lock:
            self.stopping = True
            self.changed.notify_all()
