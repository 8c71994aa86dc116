"""The worker thread: takes prompts from the queue one by one until something kills it."""

from __future__ import annotations

import threading
import time
import traceback

from .events import EventHub
from .executor import Executor
from .logs import LogBuffer
from .prompt_queue import PromptQueue


class Worker:
    """Runs prompts in a thread. An error outside the nodes' guard ends the thread for good."""

    def __init__(
        self, queue: PromptQueue, executor: Executor, hub: EventHub, logs: LogBuffer
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._hub = hub
        self._logs = logs
        self._killed = False
        self._thread = threading.Thread(target=self._main, name="fakecomfy-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def kill(self) -> None:
        """Ends the thread as a fatal prompt does, at the latest when the running one is done."""
        self._killed = True
        self._queue.set_flag("wake", True)

    def stop(self, timeout: float) -> None:
        self._queue.stop()
        # The flag is cleared when a prompt starts, so a single set could be lost.
        deadline = time.monotonic() + timeout
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._executor.interrupt.set()
            self._thread.join(0.01)

    def _main(self) -> None:
        try:
            self._loop()
        except Exception:
            # HTTP goes on as if nothing had happened; only the log tells.
            self._logs.write(f"Exception in thread prompt_worker:\n{traceback.format_exc()}")

    def _loop(self) -> None:
        while not self._queue.stopping and not self._killed:
            taken = self._queue.get()
            if taken is not None:
                if self._killed:
                    return
                item, task = taken
                started = time.perf_counter()
                executor = self._executor
                result = executor.execute(item[2], item[1], item[3], item[4])
                status = {
                    "status_str": "success" if executor.success else "error",
                    "completed": executor.success,
                    "messages": executor.messages,
                }
                self._queue.task_done(task, result, status)
                if executor.client_id is not None:
                    data = {"node": None, "prompt_id": item[1]}
                    self._hub.send_sync("executing", data, executor.client_id)
                elapsed = time.perf_counter() - started
                self._logs.write(f"Prompt executed in {elapsed:.2f} seconds")
            if self._queue.take_flags().get("free_memory", False):
                self._executor.reset()
