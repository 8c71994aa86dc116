"""Talks to the scoring process, never longer than it was told to."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[2]
COMMAND: Final = (sys.executable, "-m", "comfyproxy.nsfw.child")
# What a process needs to start at all; neither secrets nor proxies are among it.
_INHERITED: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ", "TMPDIR")
_ENVIRONMENT: Final = {
    "PYTHONPATH": str(_ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    # One core; each thread would take address space too.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
# Of an answer. Whoever broke into the process may send more.
_MAX_LINE: Final = 65_536


class Died(Exception):
    """The process ended, or talks nonsense."""


class TooSlow(Exception):
    """There was no answer in time."""


class ChildProcess:
    """The process, running.

    Raises:
        OSError: it cannot be started
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env={**inherited, **_ENVIRONMENT},
            # Its parent ends it; a terminal's Ctrl-C is not for it.
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._read = b""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Its answer.

        Raises:
            TooSlow, Died: end it then; another answer cannot be told from a late one
        """
        deadline = time.monotonic() + seconds
        self._send(json.dumps(request).encode() + b"\n", deadline)
        return self._answer(deadline)

    def end(self) -> None:
        """Kills it, if it runs."""
        self._process.kill()
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Lets go of it without a word: for a fork of the process that started it."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _send(self, data: bytes, deadline: float) -> None:
        while data:
            _wait(self._in, select.POLLOUT, deadline)
            try:
                data = data[os.write(self._in, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise Died from error

    def _answer(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._read:
            _wait(self._out, select.POLLIN, deadline)
            try:
                found = os.read(self._out, _MAX_LINE)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Died from error
            self._read += found
            if not found or len(self._read) > _MAX_LINE:
                raise Died
        line, self._read = self._read.split(b"\n", 1)
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Died from error
        if not isinstance(answer, dict) or self._read:
            raise Died
        return answer


def _wait(fd: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(fd, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise TooSlow
