"""Fixtures of the accounts' tests: new accounts of one's own, a log without secrets."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.accounts.acting import SETUP_TOKEN, Newcomer, secrets_in
from tests.cast import PASSWORD, Person
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway

_numbers = count(1)

MAKE = """
from accounts import models
user = models.User(username=username, role_id=role)
user.set_password(password)
user.save()
"""


@pytest.fixture(scope="module")
def log_without_secrets(gateway: Gateway) -> Iterator[None]:
    """Whatever a module's tests did, no token and no password reached the server's log."""
    before = len(gateway.log())
    yield
    assert secrets_in(gateway.log()[before:]) == []


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway without an owner, behind a proxy that it trusts, which logs all it can."""
    server = Gateway(
        tmp_path_factory.mktemp("fresh") / "data",
        comfy.url,
        MSS_SETUP_TOKEN=SETUP_TOKEN,
        MSS_TRUSTED_PROXIES="127.0.0.1",
        MSS_LOG_LEVEL="DEBUG",
    )
    server.prepare().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def newcomer(gateway: Gateway) -> Newcomer:
    """Makes an account that only this test uses, without a password unless it needs one."""

    def make(role: str = "user", *, password: bool = False) -> Person:
        person = Person(f"{role}-{next(_numbers)}", role)
        chosen = PASSWORD if password else None
        gateway.run(MAKE, username=person.username, role=role, password=chosen)
        return person

    return make
