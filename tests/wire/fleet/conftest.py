"""A gateway of two web processes, on a PostgreSQL and a Redis that can be taken away."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cast import ADMIN, ALICE, BOB, CREATE, PASSWORD
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, free_port
from tests.owncluster import OwnPostgres
from tests.stack import OwnRedis

PEOPLE = (ADMIN, ALICE, BOB)


@pytest.fixture(scope="session")
def postgres() -> Iterator[OwnPostgres]:
    # Not below pytest's folders: those are root's alone, and its is another user's server.
    with TemporaryDirectory(prefix="mss-postgres-", ignore_cleanup_errors=True) as folder:
        server = OwnPostgres(Path(folder))
        yield server
        server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[OwnRedis]:
    server = OwnRedis(free_port())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def fleet_comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeComfyThread]:
    with FakeComfyThread(tmp_path_factory.mktemp("fleet-comfy"), seed=True) as server:
        yield server


@pytest.fixture(scope="session")
def fleet(
    tmp_path_factory: pytest.TempPathFactory,
    fleet_comfy: FakeComfyThread,
    postgres: OwnPostgres,
    redis_server: OwnRedis,
) -> Iterator[Gateway]:
    data: Path = tmp_path_factory.mktemp("fleet") / "data"
    server = Gateway(
        data,
        fleet_comfy.url,
        DATABASE_URL=postgres.url,
        REDIS_URL=redis_server.url(),
        MSS_WORKERS="2",
        MSS_LOCKOUT_NAME_FAILURES="5",
        MSS_LOGIN_RATE="40",
        MSS_TRUSTED_PROXIES="127.0.0.1",
    ).prepare()
    cast = [(person.username, person.role) for person in PEOPLE]
    server.namespaces = server.run(CREATE, cast=cast, password=PASSWORD)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def fleet_people(fleet: Gateway) -> People:
    return People(fleet)


@pytest.fixture
def fleet_alice(fleet_people: People) -> Client:
    return fleet_people.client(ALICE)


@pytest.fixture
def fleet_bob(fleet_people: People) -> Client:
    return fleet_people.client(BOB)


@pytest.fixture
def fleet_admin(fleet_people: People) -> Client:
    return fleet_people.client(ADMIN)
