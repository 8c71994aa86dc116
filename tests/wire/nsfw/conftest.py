"""A gateway with a classifier; Alice is kept from explicit images, Bob is not."""

from collections.abc import Iterator

import pytest

from tests.accounts.acting import session
from tests.cast import ADMIN, ALICE, BOB, OWNER
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.judge import Judge
from tests.refusals import faults

ENFORCE = """
from accounts.models import User
user = User.objects.get(username=username)
user.sfw_enforced = True
user.save()
"""


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    with Judge() as server:
        yield server


@pytest.fixture(scope="session")
def strict(
    tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread, judge: Judge
) -> Iterator[Gateway]:
    env = {**judge.env, "MSS_NSFW_SECONDS": "5"}
    cast = (OWNER, ADMIN, ALICE, BOB)
    with serving(tmp_path_factory.mktemp("nsfw"), comfy.url, cast, **env) as server:
        server.run(ENFORCE, username=ALICE.username)
        yield server
        assert faults(server.log(), []) == []


def _client(server: Gateway, username: str) -> Client:
    person = next(each for each in (ALICE, BOB, ADMIN) if each.username == username)
    return Client(server.url, session(server, person), server.namespaces[username])


@pytest.fixture(scope="session")
def alice(strict: Gateway) -> Client:
    return _client(strict, ALICE.username)


@pytest.fixture(scope="session")
def bob(strict: Gateway) -> Client:
    return _client(strict, BOB.username)


@pytest.fixture(scope="session")
def admin(strict: Gateway) -> Client:
    return _client(strict, ADMIN.username)
