"""Whether PostgreSQL and Redis are there for the tests that need them; a database of their own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import psycopg
import pytest
import redis

POSTGRES_URL = "postgres://root@127.0.0.1:5432"
REDIS_URL = "redis://127.0.0.1:6379/9"


def require_postgres_and_redis() -> None:
    """Go on if both answer. Otherwise skip the calling module, saying why; under CI, where
    they have to be there, fail."""
    try:
        psycopg.connect(f"{POSTGRES_URL}/postgres", connect_timeout=3).close()
        redis.Redis.from_url(REDIS_URL, socket_connect_timeout=3).ping()
    except (psycopg.Error, redis.RedisError) as error:
        reason = f"needs {POSTGRES_URL} and {REDIS_URL}: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def own_database() -> Iterator[str]:
    """The URL of a new database on PostgreSQL, which is dropped afterwards."""
    require_postgres_and_redis()
    name = f"mss_test_{token_hex(6)}"
    with psycopg.connect(f"{POSTGRES_URL}/postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{POSTGRES_URL}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
