"""Whether PostgreSQL and Redis are there for the tests that need them."""

import os

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
