"""Starts Python programs from a process that has the libraries loaded already.

The tests start hundreds of gateways, consoles and workers; what these load of other people's takes
each longer than everything else. Nothing of the project's own is loaded before the fork, and
nothing that looks at the environment: a program starts as it would by itself.
"""

import atexit
import contextlib
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
# Not prometheus_client: when it is loaded it looks where to count.
PRELOADED: Final = (
    *("aiohttp", "aiohttp.web", "argon2", "asgiref.sync", "bcrypt", "brotli", "celery"),
    *("celery.app", "celery.beat", "celery.bin.celery", "celery.concurrency.thread"),
    *("celery.apps.worker", "celery.worker.consumer", "channels.routing", "concurrent.futures"),
    *("cryptography.fernet", "cryptography.x509", "dj_database_url", "django.conf.urls"),
    *("django.core.checks", "django.core.handlers.asgi", "django.core.mail", "django.db.models"),
    *("django.core.management", "django.db.backends.sqlite3.base", "django.forms"),
    *("django.contrib.admin.helpers", "django.template.defaulttags", "django.template.loader_tags"),
    *("django.db.migrations.executor", "django.test.signals", "django.views.debug", "filelock"),
    *("http.server", "httptools", "jwt", "kombu", "kombu.transport.filesystem"),
    *("kombu.transport.redis", "logging.config", "multipart", "orjson", "PIL.Image"),
    *("psycopg", "psycopg.pq", "psycopg.types.json", "pydantic", "pydantic_settings"),
    *("pythonjsonlogger.json", "redis", "redis.asyncio", "requests", "segno", "sqlparse"),
    *("starlette.staticfiles", "uvicorn", "uvicorn.main", "uvicorn.protocols.http.httptools_impl"),
    *("uvicorn.protocols.websockets.websockets_sansio_impl", "uvicorn.loops.uvloop", "uvloop"),
    *("smtplib", "webauthn", "websockets", "yaml", "zipfile"),
)
_ENVIRONMENT_COUNTS: Final = ("LD_PRELOAD", "PYTHONPATH", "COVERAGE_PROCESS_START")
# What measures turns it off: the memory of a forked process is not all its own.
is_used = True
# Descriptors below this are given to the program; the server keeps its own above.
_HIGH: Final = 500


class Forked(subprocess.Popen[Any]):
    """A program started by the fork server, with what the tests use of Popen."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: int | None = None,
        stdout: int,
        pass_fds: Sequence[int] = (),
        start_new_session: bool = False,
    ) -> None:
        """`arguments`: as for Python itself, `-m module …` or `script …`; standard error goes
        where output does, or, if `stdin` is given, where the tests' does."""
        self.args = list(arguments)
        self.returncode: Any = None
        self.stdin = self.stdout = self.stderr = None
        self._child_created = True
        given = [os.open(os.devnull, os.O_RDONLY) if stdin is None else stdin, stdout]
        given.append(sys.__stderr__.fileno() if stdin is not None and sys.__stderr__ else stdout)
        wish = {
            "arguments": self.args,
            "env": dict(env),
            "targets": [0, 1, 2, *pass_fds],
            "session": start_new_session,
        }
        try:
            self.pid = _server().start(wish, [*given, *pass_fds])
        finally:
            if stdin is None:
                os.close(given[0])

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        if self.returncode is None:
            self.returncode = _server().ended(self.pid, 0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired."""
        if self.returncode is None:
            self.returncode = _server().ended(self.pid, timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __del__(self, *args: Any) -> None:
        """Popen's complains of what still runs, and reaps what is not this process's."""


def start(arguments: Sequence[str], *, env: Mapping[str, str], **how: Any) -> subprocess.Popen[Any]:
    """The program, from the fork server unless its environment says how Python itself starts."""
    if not is_used or any(name in env for name in _ENVIRONMENT_COUNTS):
        how.setdefault("stderr", subprocess.STDOUT if "stdin" not in how else None)
        return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=dict(env), **how)
    return Forked(arguments, env=env, **how)


def output(arguments: Sequence[str], *, env: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """(exit code, what it said) of a program that ends. Raises TimeoutExpired."""
    with tempfile.TemporaryFile() as said:
        process = start(arguments, env=env, stdout=said.fileno())
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        said.seek(0)
        return code, said.read().decode(errors="replace")


class _Server:
    """This test process's end of the fork server."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._data = b""
        self._codes: dict[int, int] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forkserver", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        atexit.register(self._close)

    def start(self, wish: dict[str, Any], descriptors: list[int]) -> int:
        body = json.dumps(wish).encode()
        head = len(body).to_bytes(8, "big")
        socket.send_fds(self._socket, [head], descriptors)
        self._socket.sendall(body)
        while True:
            for message in self._messages(None):
                if "started" in message:
                    return int(message["started"])

    def ended(self, pid: int, timeout: float | None) -> int | None:
        """The exit code; None if it has none within that time."""
        give_up_at = None if timeout is None else time.monotonic() + timeout
        while pid not in self._codes:
            left = None if give_up_at is None else max(give_up_at - time.monotonic(), 0)
            if not self._messages(left) and left is not None and left <= 0:
                return None
        return self._codes[pid]

    def _messages(self, timeout: float | None) -> list[dict[str, Any]]:
        if not select.select([self._socket], [], [], timeout)[0]:
            return []
        piece = self._socket.recv(65536)
        if not piece:
            raise RuntimeError("the fork server ended")
        *lines, self._data = (self._data + piece).split(b"\n")
        found = [json.loads(line) for line in lines]
        for message in found:
            if "ended" in message:
                self._codes[message["ended"]] = message["code"]
        return found

    def _close(self) -> None:
        self._socket.close()
        self._process.wait(10)


@cache
def _server() -> _Server:
    return _Server()


# --- the other end ------------------------------------------------------------------------------


def serve(control: socket.socket) -> None:
    """Fork what is wished for until nobody wishes any more."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    watched: list[Any] = [control, woken]
    while True:
        readable = select.select(watched, [], [])[0]
        if woken in readable:
            os.read(woken, 4096)
            _reap(control)
        if control in readable:
            head, descriptors, _, _ = socket.recv_fds(control, 8, 16)
            if not head:
                return
            wish = json.loads(_exactly(control, int.from_bytes(head, "big")))
            pid = os.fork()
            if pid == 0:
                _become(wish, descriptors, [control.fileno(), woken, wake])
            for descriptor in descriptors:
                os.close(descriptor)
            control.sendall(json.dumps({"started": pid}).encode() + b"\n")


def _reap(control: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        told = {"ended": pid, "code": os.waitstatus_to_exitcode(status)}
        control.sendall(json.dumps(told).encode() + b"\n")


def _exactly(control: socket.socket, size: int) -> bytes:
    body = b""
    while len(body) < size:
        body += control.recv(size - len(body))
    return body


def _become(wish: dict[str, Any], descriptors: list[int], own: list[int]) -> None:
    """The program, in the forked process; does not return."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in own:
        os.close(descriptor)
    # First out of the way of each other.
    high = [os.dup2(each, _HIGH + index) for index, each in enumerate(descriptors)]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, target in zip(high, wish["targets"], strict=True):
        os.dup2(descriptor, target, inheritable=True)
        os.close(descriptor)
    if wish["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(wish["env"])
    tempfile.tempdir = None
    sys.stdin = io.TextIOWrapper(io.FileIO(0, "r", closefd=False))
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False)), write_through=True, line_buffering=True
    )
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), write_through=True, line_buffering=True
    )
    code = 1
    try:
        code = _run(wish["arguments"])
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _run(arguments: list[str]) -> int:
    """As Python itself would, up to the exit code."""
    # What the module at hand was run as is not what is to be run.
    sys.modules["__main__"].__dict__.clear()
    try:
        if arguments[0] == "-m":
            sys.argv = [arguments[1], *arguments[2:]]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(arguments)
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    finally:
        # Threads that Python would wait for, and what is to be done at the end.
        import threading

        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    return 0


if __name__ == "__main__":
    from tests import forkserver

    forkserver.serve(socket.socket(fileno=int(sys.argv[1])))
