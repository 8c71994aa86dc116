"""The embedded broker: kombu's folder of messages, written so that nobody reads half of one."""

import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """kombu 5.7 makes a message's file and then fills it. A worker that looks in between takes
    an empty message, cannot parse it and ends. Here a file has its name once it is whole."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        # `_get` takes the first by name. Thirteen digits of the clock, until the year 2286.
        name = f"{time.time_ns() // 1_000_000}_{uuid4()}.{queue}.msg"
        _write(Path(self.data_folder_out) / name, dumps(payload).encode())

    def _queue_bind(self, exchange: str, *args: Any) -> None:
        file = self._exchange_file(exchange)
        file.parent.mkdir(exist_ok=True)
        # Of those who are first, one begins it; from there on kombu changes it under its lock.
        with FileLock(file.with_suffix(".lock")):
            if not file.exists():
                _write(file, b"[]")
        super()._queue_bind(exchange, *args)


def _write(path: Path, content: bytes) -> None:
    """A file that is there with all of its content, or not at all."""
    part = path.with_name(f".{uuid4()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ChannelError(f"Cannot write {path}") from error


class Transport(filesystem.Transport):
    Channel = Channel


def use() -> None:
    """Make `filesystem://` mean this transport, in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
