"""The downloading worker as a real process, for the wire tests."""

import os
import signal
import subprocess
from types import TracebackType
from typing import Self

from tests import forkserver
from tests.gateway import Gateway

COMMAND = ["-m", "celery", "-A", "mssproject", "worker", "-Q", "downloads", "-P", "threads"]
ALONE = ["--concurrency", "5", "--without-gossip", "--without-mingle", "--without-heartbeat"]


class DownloadWorker:
    """Runs while the `with` block does. Looks for jobs once when it starts."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._log = gateway.log_path.with_suffix(".worker.log")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = forkserver.start(
                [*COMMAND, *ALONE],
                env=self._gateway.env,
                stdout=log.fileno(),
                start_new_session=True,
            )
        self.wake()
        return self

    def wake(self) -> None:
        """What beat does every 15 s."""
        self._gateway.run("from downloads.wake import workers; workers()")

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> None:
        """End it as `./run` does."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
