"""Runs one prompt: caches, order, events, errors, as ComfyUI's executor does."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from . import events
from .events import EventHub, Preview
from .folders import Folders
from .graph import Cache, ExecutionOrder, Prompt, Signatures, is_link
from .logs import LogBuffer
from .progress import Interrupt, Interrupted, Progress
from .registry import NodeClass, NodeOutput, Registry
from .validation import type_name
from .values import format_value


class NodeContext:
    """What a running node may use of its server."""

    def __init__(
        self, executor: Executor, node_id: str, progress: Progress, state: dict[str, Any]
    ) -> None:
        self._executor = executor
        self._progress = progress
        self.node_id = node_id
        self.state = state  # of the node object, kept as long as its id and class stay in use
        self.folders = executor.folders
        self.client_id = executor.client_id

    def progress(self, value: int, total: int, preview: Preview | None = None) -> None:
        self._executor.interrupt.check()
        self._progress.update(self.node_id, value, total, preview)

    def sleep(self, seconds: float) -> None:
        self._executor.interrupt.wait(seconds)

    def send(self, event: str, data: Any, sid: Any) -> None:
        self._executor.hub.send_sync(event, data, sid)

    def send_text(self, text: str, sid: Any) -> None:
        hub = self._executor.hub
        hub.send_sync(events.TEXT, hub.text_frame(self.node_id, text), sid)

    def log(self, message: str) -> None:
        self._executor.logs.write(message)


class Executor:
    """Holds the shared caches and runs one prompt after the other."""

    def __init__(
        self, registry: Registry, folders: Folders, hub: EventHub, logs: LogBuffer
    ) -> None:
        self.registry = registry
        self.folders = folders
        self.hub = hub
        self.logs = logs
        self.interrupt = Interrupt()
        self.client_id: Any = None
        self.last_node_id: str | None = None
        self.messages: list[list[Any]] = []
        self.success = True
        self.reset()

    def reset(self) -> None:
        """Empties all caches, as /free with free_memory."""
        self._outputs = Cache()
        self._ui = Cache()
        self._states: dict[tuple[str, str], dict[str, Any]] = {}

    def _message(self, event: str, data: dict[str, Any], broadcast: bool = False) -> None:
        data = {**data, "timestamp": int(time.time() * 1000)}
        self.messages.append([event, data])
        if self.client_id is not None or broadcast:
            self.hub.send_sync(event, data, self.client_id)

    def execute(
        self, prompt: Prompt, prompt_id: str, extra_data: Any, outputs: list[str]
    ) -> dict[str, Any]:
        """Runs a prompt; the history's `outputs` and `meta` of it. Errors here are fatal."""
        self.interrupt.clear()
        # No .get: extra_data that is no object has to fail, or pass, exactly as upstream.
        has_client = "client_id" in extra_data
        self.client_id = extra_data["client_id"] if has_client else None
        self.messages = []
        self._message("execution_start", {"prompt_id": prompt_id})
        progress = Progress(self.hub, prompt_id, self.client_id)
        keys = Signatures(prompt, self.registry, self.folders).keys
        self._outputs.set_prompt(keys)
        self._ui.set_prompt(keys)
        used = {(node_id, node["class_type"]) for node_id, node in prompt.items()}
        self._states = {key: state for key, state in self._states.items() if key in used}
        cached = [node_id for node_id in prompt if self._outputs.get(node_id) is not None]
        self._message("execution_cached", {"nodes": cached, "prompt_id": prompt_id})
        self._run_all(prompt, prompt_id, extra_data, outputs, progress)
        self.last_node_id = None
        reported = {n: self._ui.get(n) for n in prompt if self._ui.get(n) is not None}
        return {
            "outputs": {n: ui["output"] for n, ui in reported.items()},
            "meta": {n: ui["meta"] for n, ui in reported.items()},
        }

    def _run_all(
        self,
        prompt: Prompt,
        prompt_id: str,
        extra_data: Any,
        outputs: list[str],
        progress: Progress,
    ) -> None:
        order = ExecutionOrder(
            prompt,
            lambda node_id: self._outputs.get(node_id) is not None,
            lambda node_id: self.registry.classes[prompt[node_id]["class_type"]].is_output,
        )
        for node_id in outputs:
            order.add(node_id)
        executed: dict[str, bool] = {}
        while not order.empty:
            node_id = order.next()
            failure = self._run_one(prompt, prompt_id, extra_data, node_id, progress, executed)
            self.success = failure is None
            if failure is not None:
                self._failed(prompt, prompt_id, node_id, list(executed), failure)
                return
            order.done(node_id)
        self._message("execution_success", {"prompt_id": prompt_id})

    def _executed(self, node_id: str, prompt_id: str, output: Any) -> None:
        data = {"node": node_id, "display_node": node_id, "output": output, "prompt_id": prompt_id}
        self.hub.send_sync("executed", data, self.client_id)

    def _run_one(
        self,
        prompt: Prompt,
        prompt_id: str,
        extra_data: Any,
        node_id: str,
        progress: Progress,
        executed: dict[str, bool],
    ) -> dict[str, Any] | None:
        """Runs a node; None, or the details of its failure (empty if interrupted)."""
        inputs = prompt[node_id]["inputs"]
        cls = self.registry.classes[prompt[node_id]["class_type"]]
        if self._outputs.get(node_id) is not None:
            if self.client_id is not None:
                ui = self._ui.get(node_id) or {}
                self._executed(node_id, prompt_id, ui.get("output"))
            progress.finish(node_id)
            return None
        values: dict[str, Any] = {}
        try:
            progress.start(node_id)
            values = self._inputs(cls, inputs, node_id, prompt, extra_data)
            if self.client_id is not None:
                self.last_node_id = node_id
                data = {"node": node_id, "display_node": node_id, "prompt_id": prompt_id}
                self.hub.send_sync("executing", data, self.client_id)
            state = self._states.setdefault((node_id, cls.name), {})
            self.interrupt.check()
            result = cls.run(NodeContext(self, node_id, progress, state), values)
            self._store(node_id, prompt_id, result)
        except Interrupted:
            self.logs.write("Processing interrupted")
            return {}
        except Exception as ex:
            self.logs.write(f"!!! Exception during processing !!! {ex}")
            self.logs.write(traceback.format_exc())
            return {
                "exception_message": f"{ex}\n",
                "exception_type": type_name(ex),
                "traceback": traceback.format_tb(sys.exc_info()[2]),
                "current_inputs": {name: [format_value(v)] for name, v in values.items()},
            }
        progress.finish(node_id)
        executed[node_id] = True
        return None

    def _store(self, node_id: str, prompt_id: str, result: NodeOutput) -> None:
        if result.ui:
            meta = {
                "node_id": node_id,
                "display_node": node_id,
                "parent_node": None,
                "real_node_id": node_id,
            }
            self._ui.set(node_id, {"meta": meta, "output": result.ui})
            if self.client_id is not None:
                self._executed(node_id, prompt_id, result.ui)
        self._outputs.set(node_id, result.outputs)

    def _inputs(
        self,
        cls: NodeClass,
        inputs: dict[str, Any],
        node_id: str,
        prompt: Prompt,
        extra_data: Any,
    ) -> dict[str, Any]:
        declared = cls.definition["input"]
        known = {*declared.get("required", {}), *declared.get("optional", {})}
        values: dict[str, Any] = {}
        for name, value in inputs.items():
            if is_link(value):
                results = self._outputs.get(value[0])
                values[name] = results[int(value[1])] if results is not None else None
            elif name in known:
                values[name] = value
        hidden: dict[str, Callable[[], Any]] = {
            "PROMPT": lambda: prompt,
            "EXTRA_PNGINFO": lambda: extra_data.get("extra_pnginfo", None),
            "UNIQUE_ID": lambda: node_id,
        }
        for name, kind in cls.hidden.items():
            values[name] = hidden[kind]()
        return values

    def _failed(
        self,
        prompt: Prompt,
        prompt_id: str,
        node_id: str,
        executed: list[str],
        failure: dict[str, Any],
    ) -> None:
        message = {
            "prompt_id": prompt_id,
            "node_id": node_id,
            "node_type": prompt[node_id]["class_type"],
            "executed": executed,
        }
        if not failure:
            self._message("execution_interrupted", message, broadcast=True)
        else:
            data = {**message, **failure, "current_outputs": list(prompt)}
            self._message("execution_error", data)
