"""FakeComfyThread: the simulated server with an event loop of its own, for synchronous tests."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from .record import Recorder, RequestRecord
from .server import FakeComfy


class FakeComfyThread:
    """Runs a FakeComfy in a thread. Same options; also a context manager."""

    def __init__(self, base_dir: str | os.PathLike[str], port: int = 0, **options: Any) -> None:
        self._base_dir = str(Path(base_dir).resolve())
        self._port = port
        self._options = options
        self._recorder: Recorder = options.pop("recorder", None) or Recorder()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: FakeComfy | None = None

    @property
    def base_dir(self) -> str:
        return self._base_dir

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://{self._options.get('host', '127.0.0.1')}:{self._port}"

    @property
    def ws_url(self) -> str:
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    @property
    def requests(self) -> list[RequestRecord]:
        """A copy of what was received, oldest first; it outlives restarts."""
        return self._recorder.all()

    def clear_requests(self) -> None:
        self._recorder.clear()

    @property
    def server(self) -> FakeComfy:
        if self._server is None:
            raise RuntimeError("the server is not running")
        return self._server

    @property
    def listening(self) -> bool:
        """False before start, after stop, and when a prompt has killed the process."""
        return self._server is not None and self._server.core is not None

    @property
    def worker_alive(self) -> bool:
        return self.listening and self.server.running_core.worker.alive

    def start(self) -> FakeComfyThread:
        if self._thread is not None:
            raise RuntimeError("already started")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fakecomfy-loop", daemon=True
        )
        self._thread.start()
        try:
            self._call(self._start_server())
        except BaseException:
            self._end_loop()
            raise
        return self

    def stop(self) -> None:
        if self._thread is None:
            return
        try:
            self._call(self.server.stop())
        finally:
            self._end_loop()

    def restart(self) -> None:
        """As if ComfyUI's process had been restarted: same port, memory lost, sockets dropped."""
        self._call(self.server.stop())
        self._call(self._start_server())

    def wait_idle(self, timeout: float = 10) -> None:
        """Waits until nothing is queued or running."""
        self._call(self.server.wait_idle(timeout))

    def stop_listening(self) -> None:
        """As if the process were down; `come_back` starts it again on the same port."""
        self._call(self.server.stop())

    def come_back(self) -> None:
        self.restart()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    def die(self) -> None:
        self.server.die()

    def hang_up(self) -> None:
        self._call(self.server.hang_up())

    def hang(self) -> None:
        self.server.hang()

    def emit(self, event: str, data: Any, sid: str | None = None) -> None:
        self.server.emit(event, data, sid)

    def emit_binary(self, frame: bytes, sid: str | None = None) -> None:
        self.server.emit_binary(frame, sid)

    def __enter__(self) -> FakeComfyThread:
        return self.start()

    def __exit__(self, *exc_info: Any) -> None:
        self.stop()

    async def _start_server(self) -> None:
        server = FakeComfy(
            self._base_dir, port=self._port, recorder=self._recorder, **self._options
        )
        await server.start()
        self._server, self._port = server, server.port

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def _end_loop(self) -> None:
        assert self._loop is not None and self._thread is not None
        self._call(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._loop = self._thread = self._server = None
