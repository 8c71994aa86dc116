"""The gateway as a real server process for tests, with a console into its database."""

import atexit
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil
import redis
import requests

from tests import forkserver, stack
from tests.cast import CREATE, PASSWORD, Person

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
DATABASE_NAME = "gateway.sqlite3"
# Means nothing to the gateway itself.
EMBEDDED = "TEST_EMBEDDED"
PREPARE = """
from contextlib import redirect_stdout
from io import StringIO
from django.core.management import call_command
# What its checks print must not get between the console's answers.
with redirect_stdout(StringIO()) as said:
    call_command("prepare", stdout=said)
result = said.getvalue()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def _migrated_database() -> Path:
    """An SQLite file with all tables and nothing of any one gateway. Made once per test run."""
    folder = tempfile.TemporaryDirectory(prefix="mss-migrated-")
    atexit.register(folder.cleanup)
    code, said = forkserver.output(
        ["manage.py", "migrate", "--verbosity=0"],
        env={**os.environ, "MSS_DATA_DIR": folder.name},
        seconds=120,
    )
    if code != 0:
        raise RuntimeError(said)
    return Path(folder.name) / DATABASE_NAME


class Console:
    """Runs Python in a process that has the gateway's settings and database.

    It is another process than the server, as `./run manage shell` would be.
    """

    def __init__(self, env: dict[str, str]) -> None:
        (asked, ask), (told, tell) = os.pipe(), os.pipe()
        self._process = forkserver.start(["-m", "tests.console"], env=env, stdin=asked, stdout=tell)
        os.close(asked)
        os.close(tell)
        self._ask, self._told = os.fdopen(ask, "w"), os.fdopen(told)

    def run(self, code: str, **names: Any) -> Any:
        """Execute `code` with `names` defined; the JSON value of its `result` variable."""
        self._ask.write(json.dumps({"code": code, "names": names}) + "\n")
        self._ask.flush()
        answer = json.loads(self._told.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        self._ask.close()
        self._process.wait(10)
        self._told.close()


class Gateway:
    """One gateway: its own data directory and port, a given ComfyUI.

    What it stands on is the test run's (`tests.stack`), unless `env` says DATABASE_URL, REDIS_URL
    or EMBEDDED. With MSS_WORKERS, several web processes accept at the same
    socket, as `./run` has it.
    """

    def __init__(self, data_dir: Path, comfy_url: str, **env: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self.log_path = data_dir.with_suffix(".log")
        # Where several web processes count together.
        self.counters = data_dir.with_suffix(".metrics")
        self.setup_token: str | None = None
        # User name → namespace, once the cast is created.
        self.namespaces: dict[str, str] = {}
        # Nothing of the caller's own environment may leak into the server under test.
        inherited = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "TMPDIR")
            if name in os.environ
        }
        self.env = {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "MSS_DATA_DIR": str(data_dir),
            "MSS_PORT": str(self.port),
            "COMFYUI_URL": comfy_url,
            # The tests log in more often than people do; those about these limits set their own.
            "MSS_LOGIN_RATE": "1000000",
            "MSS_API_RATE": "1000000",
            "MSS_LOCKOUT_NAME_FAILURES": "1000000",
            "MSS_LOCKOUT_ADDRESS_FAILURES": "1000000",
            # Where it is installed, a classifier would judge whatever the tests make.
            "MSS_NSFW_CLASSIFIER": "none",
            **env,
        }
        if stack.is_services() and not {"DATABASE_URL", "REDIS_URL", EMBEDDED} & env.keys():
            self.env = {**stack.services(), **self.env}
        self.processes: list[subprocess.Popen[bytes]] = []
        self._listener: socket.socket | None = None
        self._console: Console | None = None

    def prepare(self) -> Self:
        """Migrate and so on, as `./run` does."""
        database = self.data_dir / DATABASE_NAME
        if "DATABASE_URL" not in self.env and not database.exists():
            # Migrating takes seconds, and every gateway comes to the same tables.
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy(_migrated_database(), database)
        said = self.run(PREPARE)
        for line in said.splitlines():
            if line.startswith("setup-token "):
                self.setup_token = line.split()[1]
        return self

    def start(self) -> Self:
        """Start the server and wait until each of its processes answers."""
        number = int(self.env.get("MSS_WORKERS", "1"))
        if number > 1:
            # Where they count together, as the supervisor has it.
            self.counters.mkdir(exist_ok=True)
            self.env["PROMETHEUS_MULTIPROC_DIR"] = str(self.counters)
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=2048)
        for _ in range(number):
            self.start_process()
        deadline = time.monotonic() + START_SECONDS
        while not self._answers(number):
            is_over = any(process.poll() is not None for process in self.processes)
            if is_over or time.monotonic() > deadline:
                raise RuntimeError(self.log())
            time.sleep(0.05)
        return self

    def start_process(self) -> subprocess.Popen[bytes]:
        """Start one more web process, without waiting for it."""
        shared = () if self._listener is None else (self._listener.fileno(),)
        arguments = [argument for fd in shared for argument in ("--listener", str(fd))]
        with self.log_path.open("ab") as log:
            process = forkserver.start(
                ["-m", "mssproject.web", *arguments],
                env=self.env,
                stdout=log.fileno(),
                pass_fds=shared,
            )
        self.processes.append(process)
        return process

    def _answers(self, number: int) -> bool:
        if number > 1:
            # At one socket, the first that is ready would answer for all.
            alive = redis.Redis.from_url(self.env["REDIS_URL"]).keys("mss:*:process:*")
            if len(alive) < number:
                return False
        try:
            requests.get(f"{self.url}/mss-login/api/is-https", timeout=5, allow_redirects=False)
        except (requests.ConnectionError, requests.Timeout):
            # Its first answer takes seconds where much else runs.
            return False
        return True

    @property
    def pid(self) -> int:
        """Of its only web process."""
        (process,) = self.processes
        return process.pid

    def open_files(self) -> list[Path]:
        """The files that its web processes hold open."""
        opened = [psutil.Process(process.pid).open_files() for process in self.processes]
        return [Path(entry.path) for entries in opened for entry in entries]

    def memory(self) -> int:
        """Resident bytes of its web processes together."""
        running = [psutil.Process(process.pid) for process in self.processes]
        return sum(int(process.memory_info().rss) for process in running)

    def stop(self) -> None:
        """Stop server and console."""
        if self._console is not None:
            self._console.close()
            self._console = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for process in self.processes:
            process.terminate()
        try:
            for process in self.processes:
                process.wait(35)
        finally:
            for process in self.processes:
                process.kill()
            self.processes = []

    def run(self, code: str, **names: Any) -> Any:
        """Execute Python in the console; see Console.run."""
        if self._console is None:
            self._console = Console(self.env)
        return self._console.run(code, **names)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


@contextmanager
def serving(folder: Path, upstream: str, cast: Iterable[Person], **env: str) -> Iterator[Gateway]:
    """A gateway with accounts for the cast, its data under `folder`, and stopped at the end."""
    server = Gateway(folder / "data", upstream, **env).prepare()
    people = [(person.username, person.role) for person in cast]
    server.namespaces = server.run(CREATE, cast=people, password=PASSWORD)
    try:
        server.start()
        yield server
    finally:
        server.stop()
