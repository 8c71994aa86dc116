"""What the gateways of a test run stand on: SQLite and what is embedded, or, with
TEST_STACK=services, PostgreSQL, Redis and two web processes each."""

import atexit
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest
import redis

from tests.services import POSTGRES_URL, require_postgres_and_redis

ROOT = Path(__file__).resolve().parent.parent
WEB_PROCESSES = 2
START_SECONDS = 10


def is_services() -> bool:
    """Whether this run's gateways stand on PostgreSQL and Redis."""
    return os.environ.get("TEST_STACK") == "services"


class OwnRedis:
    """A Redis server of a test's own: it can be stopped and started again. It keeps nothing."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def client(self, database: int = 0) -> redis.Redis:
        return redis.Redis(port=self.port, db=database)

    def start(self) -> None:
        program = _redis_server()
        options = ["--save", "", "--appendonly", "no", "--databases", "1000", "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), *options],
            stdout=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client().ping()
                return
            except redis.RedisError:
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.02)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """As a power cut: nothing is saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


def _redis_server() -> str:
    program = shutil.which("redis-server")
    if program is None:
        reason = "needs redis-server"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return program


def services() -> dict[str, str]:
    """The environment of a gateway on PostgreSQL and Redis, if they are there; else, but not
    under CI, an empty one."""
    if not os.environ.get("CI") and _missing():
        return {}
    return {
        "DATABASE_URL": own_migrated_database(),
        "REDIS_URL": own_redis_url(),
        "MSS_WORKERS": str(WEB_PROCESSES),
    }


def _missing() -> str:
    """What gateways on PostgreSQL and Redis need and this machine has not; empty: nothing."""
    try:
        require_postgres_and_redis()
        _redis_server()
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        return str(error)
    return ""


@cache
def _shared_redis() -> OwnRedis:
    from tests.gateway import free_port

    server = OwnRedis(free_port())
    atexit.register(server.stop)
    return server


_databases = itertools.count(1)


def own_redis_url() -> str:
    """A database of this test process's Redis server that no other gateway uses."""
    return _shared_redis().url(next(_databases))


@cache
def _postgres() -> str:
    """The address of this test process's PostgreSQL server: one of its own, where that can be had,
    for the machine's has a hundred connections for all."""
    from tests.owncluster import OwnPostgres, is_possible

    if not is_possible():
        require_postgres_and_redis()
        return POSTGRES_URL
    folder = tempfile.TemporaryDirectory(prefix="mss-postgres-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    server = OwnPostgres(Path(folder.name))
    atexit.register(server.stop)
    return server.server


@cache
def _template() -> str:
    """A PostgreSQL database with all tables and nothing in them; made once per test process."""
    name = _create()
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": f"{_postgres()}/{name}",
            "MSS_DATA_DIR": tempfile.mkdtemp(prefix="mss-migrated-"),
        },
        check=True,
        timeout=120,
    )
    return name


def own_migrated_database() -> str:
    """The URL of a new PostgreSQL database with all tables; dropped when the tests end."""
    return f"{_postgres()}/{_create(_template())}"


def _create(template: str | None = None) -> str:
    name = f"mss_test_{token_hex(6)}"
    with psycopg.connect(f"{_postgres()}/postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    atexit.register(_drop, name)
    return name


def _drop(name: str) -> None:
    with psycopg.connect(f"{_postgres()}/postgres", autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


if __name__ == "__main__":
    missing = _missing()
    if missing:
        print(f"Not run: {missing}")
        sys.exit(1)
