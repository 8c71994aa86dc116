"""The parts of one simulated server, handed to all route modules."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .events import EventHub
from .executor import Executor
from .folders import Folders
from .logs import LogBuffer
from .options import Options
from .prompt_queue import PromptQueue
from .record import Recorder
from .registry import Registry
from .validation import Validator
from .worker import Worker


class Core:
    """Everything a running server has in memory; gone after a restart."""

    def __init__(
        self, options: Options, loop: asyncio.AbstractEventLoop, recorder: Recorder
    ) -> None:
        self.options = options
        self.loop = loop
        self.recorder = recorder
        self.number = 0
        self.folders = Folders(options.base_dir)
        self.hub = EventHub(loop)
        self.logs = LogBuffer(options.verbose)
        self.logs.deliver = self._deliver_log
        self.registry = Registry(self.folders)
        self.validator = Validator(self.registry, self.folders)
        self.queue = PromptQueue(self._queue_updated)
        self.executor = Executor(self.registry, self.folders, self.hub, self.logs)
        self.worker = Worker(self.queue, self.executor, self.hub, self.logs)
        self.hang_next = 0
        self.stopped = asyncio.Event()
        self.users: dict[str, str] = {} if options.multi_user else {"default": "default"}
        self.on_port: Callable[[], int] = lambda: options.port

    def queue_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": self.queue.remaining()}}

    def features(self) -> dict[str, Any]:
        return {
            "supports_preview_metadata": True,
            "max_upload_size": self.options.max_upload_size,
        }

    def _queue_updated(self) -> None:
        self.hub.send_sync("status", {"status": self.queue_info()})

    def _deliver_log(self, entry: dict[str, str]) -> None:
        for sid in list(self.logs.subscribed):
            if sid not in self.hub.sockets:
                self.logs.subscribed.discard(sid)
                continue
            self.hub.send_sync("logs", {"entries": [entry], "size": None}, sid)

    def user_of(self, headers: Any) -> str:
        user = "default"
        if self.options.multi_user:
            user = headers.get("comfy-user", user)
        if user not in self.users:
            raise KeyError(f"Unknown user: {user}")
        return user

    def add_user(self, name: str) -> str:
        name = name.strip()
        if not name:
            raise ValueError("username not provided")
        user_id = re.sub("[^a-zA-Z0-9-_]+", "-", name) + "_" + str(uuid.uuid4())
        self.users[user_id] = name
        return user_id

    def users_file(self) -> Path:
        return Path(self.folders.user) / "users.json"
