"""What a process takes while something happens: memory, processor, writes to disk."""

import os
import tempfile
import threading
from pathlib import Path
from typing import Final, Self

import psutil

SAMPLE_SECONDS: Final = 0.01
MB: Final = 1_000_000


class Watch:
    """A context manager around the work; read the attributes afterwards."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._before = self._peak = self._process.memory_info().rss
        self._written_before = self._process.io_counters().write_bytes
        self._cpu_before = self._cpu()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._done.set()
        self._thread.join()
        self.before_mb, self.peak_mb = self._before / MB, self._peak / MB
        self.cpu_seconds = self._cpu() - self._cpu_before
        self.written_mb = (self._process.io_counters().write_bytes - self._written_before) / MB

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, self._process.memory_info().rss)


def counts_writes(folder: Path) -> bool:
    """Whether the system counts what is written to files in `folder` (not on a RAM disk)."""
    own = psutil.Process()
    before = own.io_counters().write_bytes
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\1" * MB)
        file.flush()
        os.fsync(file.fileno())
    return bool(own.io_counters().write_bytes - before >= MB)
