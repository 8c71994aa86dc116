"""Start web and worker processes as children, keep them running, stop them together.

`./run` calls this inside the virtual environment: with `web` or `worker` only these start (on a
machine of their own, say); with `--demo` a simulated ComfyUI and a user of each role come with it.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from prometheus_client.multiprocess import mark_process_dead

from mssproject import demo, env

# A child that keeps dying is started again ever more slowly.
BACKOFF_SECONDS: Final = (0.5, 1, 2, 5, 10, 30)
STEADY_SECONDS: Final = 60
# Longer than the web process gives its open requests.
STOP_SECONDS: Final = 30
COMFYUI_POLL_SECONDS: Final = 5
POLL_SECONDS: Final = 0.2
# Connections that wait to be accepted.
BACKLOG: Final = 2048
WEB, WORKER = "web", "worker"
# Where the processes count together what /metrics tells (prometheus_client reads it, too).
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


@dataclass
class Child:
    """A process that is to run for as long as the supervisor does."""

    name: str
    arguments: list[str]
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started_at: float = 0.0
    next_start: float = field(default=0.0)
    # File descriptors that it gets from the supervisor.
    inherits: tuple[int, ...] = ()

    def start(self) -> None:
        # A group of its own: Ctrl-C at the terminal reaches the supervisor alone, which
        # then stops the children in order.
        self.process = subprocess.Popen(
            [sys.executable, *self.arguments],
            env=self.environ,
            cwd=env.BASE_DIR,
            start_new_session=True,
            pass_fds=self.inherits,
        )
        self.started_at = time.monotonic()

    def tend(self) -> None:
        """Start it again if it ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.next_start:
                self.start()
            return
        code = self.process.poll()
        if code is None:
            return
        self.forget_counts()
        self.failures = 0 if now - self.started_at > STEADY_SECONDS else self.failures + 1
        pause = BACKOFF_SECONDS[min(self.failures, len(BACKOFF_SECONDS) - 1)]
        say(f"{self.name} ended with code {code}; starting it again in {pause:g} s.")
        self.process, self.next_start = None, now + pause

    def forget_counts(self) -> None:
        """What it had open is open no more; what it counted stays."""
        folder = self.environ.get(METRICS_FOLDER)
        if self.process is not None and folder is not None:
            mark_process_dead(self.process.pid, folder)

    def stop(self) -> None:
        """Ask it to end. It ends its own children in its own order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            say(f"{self.name} does not stop; it is killed.")
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


# What `manage.py prepare` has to say to the operator.
TOLD = "told "


def say(sentence: str) -> None:
    print(sentence, flush=True)


def main(arguments: list[str]) -> int:
    """Run until SIGINT or SIGTERM. 0 if everything stopped in order.

    `arguments`: `web` or `worker` for these processes only, `--demo`, or none.
    """
    is_demo = arguments == ["--demo"]
    parts = frozenset(arguments) & {WEB, WORKER} or {WEB, WORKER}
    with demo.simulated_comfyui() if is_demo else _own_environ() as environ:
        try:
            settings = env.load(environ)
        except env.EnvError as error:
            say(f"The environment needs a correction:\n{error}")
            return 1
        try:
            listener = _listening(settings) if WEB in parts else None
        except OSError as error:
            fault = error.strerror or str(error)
            say(f"Cannot listen at {settings.host}:{settings.port}: {fault}. Set MSS_PORT.")
            return 1
        say("Preparing the database …")
        setup_token = _prepare(environ, is_demo, has_web=listener is not None)
        if setup_token is None:
            return 1
        if listener is None:
            return _supervise(settings, _workers(environ), None, "", is_demo)
        with listener, tempfile.TemporaryDirectory(prefix="mss-metrics-") as counted:
            environ = {**environ, METRICS_FOLDER: counted}
            children = _web_processes(environ, settings.workers, listener.fileno())
            children += _workers(environ) if WORKER in parts else []
            return _supervise(settings, children, listener, setup_token, is_demo)


def _listening(settings: env.Env) -> socket.socket:
    """The socket at which all web processes accept connections. It outlives each of them: while
    one is started again, whoever comes waits for another, or a moment.

    Raises:
        OSError: the address cannot be had
    """
    address = (settings.host, settings.port)
    return socket.create_server(address, family=_family(settings.host), backlog=BACKLOG)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@contextmanager
def _own_environ() -> Iterator[dict[str, str]]:
    yield dict(os.environ)


def _prepare(environ: dict[str, str], is_demo: bool, *, has_web: bool) -> str | None:
    """Migrate and so on. The setup token, empty if there is an owner; None if it failed."""
    command = [sys.executable, "manage.py", "prepare", *(["--demo"] if is_demo else [])]
    command += [] if has_web else ["--worker"]
    done = subprocess.run(command, env=environ, cwd=env.BASE_DIR, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        say(done.stdout)
        say("The start failed; the message above says why.")
        return None
    for line in done.stdout.splitlines():
        if line.startswith(TOLD):
            say(line.removeprefix(TOLD))
    lines = [line.split() for line in done.stdout.splitlines()]
    return next((line[1] for line in lines if line[:1] == ["setup-token"]), "")


def _web_processes(environ: dict[str, str], number: int, listener: int) -> list[Child]:
    names = ["The web process"] if number == 1 else [f"Web process {n + 1}" for n in range(number)]
    arguments = ["-m", "mssproject.web", "--listener", str(listener)]
    return [Child(name, arguments, environ, inherits=(listener,)) for name in names]


def _workers(environ: dict[str, str]) -> list[Child]:
    worker = ["-m", "celery", "--quiet", "-A", "mssproject", "worker"]
    alone = ["--without-gossip", "--without-mingle"]
    due = ["-B", "--concurrency", "2"]
    downloads = ["-Q", "downloads", "-P", "threads", "--concurrency", "5", "-n", "downloads@%h"]
    return [
        Child("The worker", [*worker, *due, *alone], environ),
        Child("The downloader", [*worker, *downloads, *alone], environ),
    ]


def _supervise(
    settings: env.Env,
    children: list[Child],
    listener: socket.socket | None,
    setup_token: str,
    is_demo: bool,
) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    address = _address(settings)
    watcher = threading.Thread(
        target=_watch_comfyui, args=(settings.comfyui_url, stop), daemon=True
    )
    greeted = listener is None
    if greeted:
        say("The workers start. Ctrl-C stops them.")
    while not stop.wait(POLL_SECONDS):
        for child in children:
            child.tend()
        if not greeted and answers(f"{address}/mss-login/api/is-https"):
            greeted = True
            _greet(address, setup_token, is_demo)
            watcher.start()
    say("Stopping …")
    if listener is not None:
        # Nobody is to wait at a socket that is served no more.
        listener.close()
    deadline = time.monotonic() + STOP_SECONDS
    for child in children:
        child.stop()
    for child in children:
        child.wait(deadline)
    return 0


def _address(settings: env.Env) -> str:
    """Where a browser on this machine finds the gateway."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - shown, not bound
    host = anywhere.get(settings.host, settings.host)
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{settings.port}"


def _greet(address: str, setup_token: str, is_demo: bool) -> None:
    say(f"\nThe gateway is at {address}/")
    if setup_token:
        query = urlencode({"setup_token": setup_token})
        say(f"Create the owner, once, here: {address}/register?{query}")
    if is_demo:
        say(demo.welcome(address))
    say("Ctrl-C stops everything.\n")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An answer is an answer, whereto it leads is not asked (to https, say, which a proxy in
    front speaks)."""

    def redirect_request(self, *args: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def answers(url: str) -> bool:
    """Whether an HTTP server answers there, with whatever status."""
    try:
        with _opener.open(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def _watch_comfyui(url: str, stop: threading.Event) -> None:
    """Say when ComfyUI is not there and when it comes back."""
    known: bool | None = None
    while not stop.is_set():
        there = answers(f"{url}/features")
        if there and known is not True:
            say(f"ComfyUI answers at {url}.")
        elif not there and known is not False:
            say(
                f"ComfyUI does not answer at {url}. Start it, or set COMFYUI_URL; "
                "the gateway goes on and notices when it comes."
            )
        known = there
        stop.wait(COMFYUI_POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
