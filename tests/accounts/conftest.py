"""Fixtures of the accounts' tests: new accounts of one's own, a log without secrets."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.accounts.acting import SETUP_TOKEN, Newcomer, secrets_in
from tests.cast import ADMIN, ALICE, CREATE, OWNER, PASSWORD, Person
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.mailsink import MailSink

_numbers = count(1)

MAKE = """
from accounts import models
from tests.passwords import hashed
models.User.objects.create(username=username, role_id=role, password=hashed(password))
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
def product(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway that hashes passwords as the product does. It has alice, and bob, disabled."""
    server = Gateway(
        tmp_path_factory.mktemp("product") / "data",
        comfy.url,
        DJANGO_SETTINGS_MODULE="mssproject.settings",
    ).prepare()
    server.run(CREATE, cast=[("alice", "user"), ("bob", "user")], password=PASSWORD)
    server.run(
        "from accounts.models import User\n"
        "result = User.objects.filter(username='bob').update(is_active=False)"
    )
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def sink() -> Iterator[MailSink]:
    """A mail server."""
    with MailSink() as server:
        yield server


@pytest.fixture(scope="session")
def welcoming(
    tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread, sink: MailSink
) -> Iterator[Gateway]:
    """A gateway that lets guests in, sends mails by `sink`, and logs all it can. It has an
    owner, olga, an admin, adam, and a user, alice."""
    with serving(
        tmp_path_factory.mktemp("welcoming"),
        comfy.url,
        (OWNER, ADMIN, ALICE),
        MSS_GUEST_LOGIN="true",
        MSS_SMTP_URL=f"smtp://mail%40us:p%2Fw@127.0.0.1:{sink.port}",
        MSS_MAIL_FROM="MSS-Login <mss@gateway.example>",
        MSS_LOG_LEVEL="DEBUG",
    ) as server:
        yield server
    assert secrets_in(server.log()) == []


@pytest.fixture(scope="session")
def newcomer(gateway: Gateway) -> Newcomer:
    """Makes an account that only this test uses, without a password unless it needs one."""

    def make(role: str = "user", *, password: bool = False) -> Person:
        person = Person(f"{role}-{next(_numbers)}", role)
        chosen = PASSWORD if password else None
        gateway.run(MAKE, username=person.username, role=role, password=chosen)
        return person

    return make
