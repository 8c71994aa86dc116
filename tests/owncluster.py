"""A PostgreSQL server of a test's own, which can be stopped and started again."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.gateway import free_port

_PLACES = "/usr/lib/postgresql/*/bin"
# Of many gateways of many processes.
MAX_CONNECTIONS = 300


class OwnPostgres:
    """It keeps its data below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._data, self._log = folder / "postgres", folder / "postgres.log"
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            # It refuses to run as root.
            shutil.chown(folder, "postgres")
            for parent in folder.parents:
                if parent.stat().st_uid == 0 and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._run("initdb", "--auth=trust", "--username=gateway", "--no-sync", "-D", self._data)
        with (self._data / "postgresql.conf").open("a") as config:
            config.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
                "unix_socket_directories = ''\nfsync = off\nshared_buffers = 16MB\n"
                f"max_connections = {MAX_CONNECTIONS}\n"
            )
        self.start()
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", "-U", "gateway", "gateway")

    @property
    def server(self) -> str:
        """The address without a database's name."""
        return f"postgres://gateway@127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.server}/gateway"

    def start(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-l", self._log, "-w", "start")

    def stop(self) -> None:
        """As an administrator restarts it: clients are told and cut off."""
        self._run("pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop")

    def _run(self, program: str, *arguments: object) -> None:
        call = [str(_program(program)), *map(str, arguments)]
        if os.getuid() == 0:
            call = ["runuser", "-u", "postgres", "--", *call]
        done = subprocess.run(call, capture_output=True, text=True, cwd="/", timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def is_possible() -> bool:
    """Whether PostgreSQL's programs are here, not only a server somewhere."""
    return bool(_found("initdb"))


def _found(name: str) -> list[Path]:
    return sorted(Path("/").glob(f"{_PLACES.lstrip('/')}/{name}"))


def _program(name: str) -> Path:
    found = _found(name)
    if found:
        return found[-1]
    reason = f"needs PostgreSQL's {name}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
