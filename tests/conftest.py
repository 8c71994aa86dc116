"""Fixtures for all tests: a simulated ComfyUI, a gateway in front of it, its cast of users."""

import os
import tempfile
from collections.abc import Iterator

# Before Django reads its settings: the tests' own data directory, nobody's environment.
_data = tempfile.TemporaryDirectory(prefix="mss-tests-")
for _name in list(os.environ):
    if _name.startswith(("MSS_", "COMFYUI_")) or _name in (
        "SECRET_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "SENTRY_DSN",
    ):
        del os.environ[_name]
os.environ["MSS_DATA_DIR"] = _data.name

import pytest
from hypothesis import settings
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page

from tests.cast import (
    ADMIN,
    ALICE,
    BOB,
    CAST,
    CHARLIE,
    GUEST,
    OWNER,
    PASSWORD,
    POWER,
    Person,
)
from tests.chromium import chromium
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving

# The same examples in every run, however slow the machine.
settings.register_profile("gateway", deadline=None, derandomize=True)
settings.load_profile("gateway")

# Files of these take minutes each: begun last, they would keep one process busy alone.
LONG = (
    "tests/wire/inside/",
    "tests/mssproject/test_admin_",
    "tests/mssproject/test_supervisor.py",
    "tests/mssproject/test_openapi_schemathesis.py",
    "tests/wire/restarts/",
    "tests/wire/fleet/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first (`./run test` has xdist keep this order)."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(scope="session")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeComfyThread]:
    """A simulated ComfyUI with a few models and an input picture."""
    with FakeComfyThread(tmp_path_factory.mktemp("comfy"), seed=True) as server:
        yield server


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway in front of `comfy`, with the cast's accounts."""
    with serving(tmp_path_factory.mktemp("gateway"), comfy.url, CAST) as server:
        yield server


class People:
    """A client for each person, logged in with an API token at first use."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._tokens: dict[str, str] = {}

    def token(self, person: Person) -> str:
        if person.username not in self._tokens:
            # Guests may not create tokens; a session serves as well.
            answer = Client(self._gateway.url).post(
                "/login", json={"username": person.username, "password": PASSWORD}
            )
            self._tokens[person.username] = answer.json()["jwt_token"]
        return self._tokens[person.username]

    def client(self, person: Person) -> Client:
        namespace = self._gateway.namespaces[person.username]
        return Client(self._gateway.url, self.token(person), namespace)


@pytest.fixture(scope="session")
def people(gateway: Gateway) -> People:
    return People(gateway)


@pytest.fixture
def anonymous(gateway: Gateway) -> Client:
    return Client(gateway.url)


@pytest.fixture
def owner(people: People) -> Client:
    return people.client(OWNER)


@pytest.fixture
def admin(people: People) -> Client:
    return people.client(ADMIN)


@pytest.fixture
def power(people: People) -> Client:
    return people.client(POWER)


@pytest.fixture
def alice(people: People) -> Client:
    return people.client(ALICE)


@pytest.fixture
def bob(people: People) -> Client:
    return people.client(BOB)


@pytest.fixture
def charlie(people: People) -> Client:
    return people.client(CHARLIE)


@pytest.fixture
def guest(people: People) -> Client:
    return people.client(GUEST)


@pytest.fixture
def forwarded(comfy: FakeComfyThread) -> FakeComfyThread:
    """The simulated ComfyUI, its record of requests empty: what did the gateway send on?"""
    comfy.clear_requests()
    return comfy


@pytest.fixture(scope="module")
def chromium_browser() -> Iterator[Chromium]:
    """A Chromium for this module's tests (see `tests.chromium`)."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def chromium_page(chromium_browser: Chromium) -> Iterator[Page]:
    """An empty page of a browser that has no cookies and no storage."""
    context = chromium_browser.new_context()
    yield context.new_page()
    context.close()
