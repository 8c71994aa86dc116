"""FakeComfy: one simulated ComfyUI server inside the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

from aiohttp import web

from . import seed as seeding
from .app import make_app
from .core import Core
from .options import Options
from .record import Recorder, RequestRecord


class FakeComfy:
    """A simulated ComfyUI 0.3.64. Start and stop it in one event loop.

    base_dir: where input, output, temp, models and user are made; port 0: any free one;
    frontend: None or "none" (built-in page), "auto" (installed package) or a folder;
    bench: run nothing, offer /_bench/; control: offer /_fake/; seed: plant demo models;
    record: keep what is received in `requests` (off by default in bench mode);
    jobs: have the /api/jobs routes of newer versions.
    """

    def __init__(
        self,
        base_dir: str | os.PathLike[str],
        port: int = 0,
        frontend: str | None = None,
        bench: bool = False,
        max_upload_size: int = 104857600,
        *,
        host: str = "127.0.0.1",
        control: bool = False,
        seed: bool = False,
        verbose: bool = False,
        multi_user: bool = False,
        record: bool | None = None,
        jobs: bool = True,
        recorder: Recorder | None = None,
    ) -> None:
        self.options = Options(
            base_dir=str(Path(base_dir).resolve()),
            port=port,
            host=host,
            frontend=frontend,
            bench=bench,
            max_upload_size=max_upload_size,
            control=control,
            seed=seed,
            verbose=verbose,
            multi_user=multi_user,
            record=not bench if record is None else record,
            jobs=jobs,
        )
        self.port = port
        self.recorder = recorder or Recorder()
        self.core: Core | None = None
        # Set when the "process" has ended by itself, killed by a prompt.
        self.died = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._publisher: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        # A killed server stops by itself; who stops it again meanwhile has to wait for that.
        self._stopping = asyncio.Lock()

    @property
    def base_dir(self) -> str:
        return self.options.base_dir

    @property
    def url(self) -> str:
        return f"http://{self.options.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self.options.host}:{self.port}/ws"

    @property
    def requests(self) -> list[RequestRecord]:
        """A copy of what was received, oldest first, at most the newest 5000."""
        return self.recorder.all()

    def clear_requests(self) -> None:
        self.recorder.clear()

    @property
    def running_core(self) -> Core:
        if self.core is None:
            raise RuntimeError("the server is not running")
        return self.core

    async def start(self) -> FakeComfy:
        core = Core(self.options, asyncio.get_running_loop(), self.recorder)
        core.on_port = lambda: self.port
        core.folders.create()
        core.logs.write(f"Setting output directory to: {core.folders.output}")
        core.logs.write(f"Setting input directory to: {core.folders.input}")
        core.logs.write("Starting server")
        if self.options.seed:
            seeding.plant(core.folders)
        # Short times everywhere: a stopping server must not wait for hung requests.
        runner = web.AppRunner(
            make_app(core), access_log=None, shutdown_timeout=0.1, logger=core.logs.logger()
        )
        await runner.setup()
        site = web.TCPSite(runner, self.options.host, self.port)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self.port = runner.addresses[0][1]
        self.core, self._runner = core, runner
        core.logs.write(f"To see the GUI go to: {self.url}")
        self._publisher = asyncio.create_task(core.hub.publish_loop())
        self._publisher.add_done_callback(self._publisher_ended)
        if not self.options.bench:
            core.worker.start()
        return self

    async def stop(self) -> None:
        """Ends at once, as a killed process: sockets are cut, what runs is given up."""
        async with self._stopping:
            core, runner, publisher = self.core, self._runner, self._publisher
            if core is None or runner is None or publisher is None:
                return
            core.stopped.set()
            for site in list(runner.sites):
                await site.stop()
            core.hub.drop_all()
            if not publisher.done():
                publisher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await publisher
            if core.worker.alive:
                await asyncio.get_running_loop().run_in_executor(None, core.worker.stop, 0.5)
            await runner.cleanup()
            core.folders.clear_temp()
            self.core = self._runner = self._publisher = None

    async def restart(self) -> None:
        """As if the process had been restarted: same port, memory lost, sockets dropped."""
        await self.stop()
        self.died.clear()
        await self.start()

    async def wait_idle(self, timeout: float = 10) -> None:
        """Waits until nothing is queued or running."""
        async with asyncio.timeout(timeout):
            while self.running_core.queue.remaining():
                await asyncio.sleep(0.005)

    async def __aenter__(self) -> FakeComfy:
        return await self.start()

    async def __aexit__(self, *exc_info: Any) -> None:
        await self.stop()

    def pause(self) -> None:
        """Keeps the worker from taking the next prompt."""
        self.running_core.queue.hold(True)

    def resume(self) -> None:
        self.running_core.queue.hold(False)

    def die(self) -> None:
        """Ends the worker; HTTP goes on."""
        self.running_core.worker.kill()

    async def hang_up(self) -> None:
        """Ends all connections on which nothing is under way, as a restart does; nothing is
        forgotten."""
        assert self._runner is not None and self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection._current_request is None and connection.transport is not None:
                connection.transport.close()
        await asyncio.sleep(0.05)

    def hang(self) -> None:
        """The next request is never answered."""
        self.running_core.hang_next += 1

    def emit(self, event: str, data: Any, sid: str | None = None) -> None:
        """Sends a text event to one client id, or to everyone."""
        self.running_core.hub.send_sync(event, data, sid)

    def emit_binary(self, frame: bytes, sid: str | None = None) -> None:
        """Sends a whole binary frame."""
        self.running_core.hub.send_frame(frame, sid)

    def _publisher_ended(self, task: asyncio.Task[None]) -> None:
        # An error in the loop that sends events ends ComfyUI's process.
        if task.cancelled() or task.exception() is None or self.core is None:
            return
        self.died.set()
        self._ending = asyncio.get_running_loop().create_task(self.stop())
