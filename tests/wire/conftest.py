"""Fixtures of the HTTP wire tests: an upstream that misbehaves, and an eye on the server's log."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.accounts.acting import session
from tests.cast import ADMIN, ALICE, CAST, PASSWORD, POWER
from tests.client import Client
from tests.comfydisk import ComfyDisk
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.granted import Given, giving
from tests.oddupstream import OddUpstream
from tests.prompts import calm_down
from tests.refusals import faults

if TYPE_CHECKING:
    from tests.conftest import People


@pytest.fixture(scope="session")
def odd() -> Iterator[OddUpstream]:
    with OddUpstream() as server:
        yield server


@pytest.fixture(scope="session")
def odd_gateway(tmp_path_factory: pytest.TempPathFactory, odd: OddUpstream) -> Iterator[Gateway]:
    """A gateway in front of `odd`, with Alice and Paula."""
    with serving(tmp_path_factory.mktemp("odd"), odd.url, (ALICE, POWER)) as server:
        yield server


@pytest.fixture(scope="session")
def odd_tokens(odd_gateway: Gateway) -> dict[str, str]:
    return {person.username: session(odd_gateway, person) for person in (ALICE, POWER)}


@pytest.fixture
def odd_alice(odd_gateway: Gateway, odd_tokens: dict[str, str]) -> Client:
    namespace = odd_gateway.namespaces[ALICE.username]
    return Client(odd_gateway.url, odd_tokens[ALICE.username], namespace)


@pytest.fixture
def odd_power(odd_gateway: Gateway, odd_tokens: dict[str, str]) -> Client:
    namespace = odd_gateway.namespaces[POWER.username]
    return Client(odd_gateway.url, odd_tokens[POWER.username], namespace)


@pytest.fixture(scope="module")
def clean_log(gateway: Gateway, people: "People") -> Iterator[None]:
    """Whatever a module does to the gateway, it must neither break nor tell a secret."""
    before = len(gateway.log())
    yield
    secrets = [PASSWORD, *(people.token(person) for person in CAST)]
    assert faults(gateway.log()[before:], secrets) == []


@pytest.fixture(scope="module")
def clean_odd_log(odd_gateway: Gateway, odd_tokens: dict[str, str]) -> Iterator[None]:
    """As `clean_log`, for the gateway in front of `odd`."""
    before = len(odd_gateway.log())
    yield
    assert faults(odd_gateway.log()[before:], [PASSWORD, *odd_tokens.values()]) == []


@pytest.fixture(scope="module")
def known(gateway: Gateway, people: "People") -> None:
    """The gateway knows what ComfyUI has now, whatever other modules added or took away: a node
    that nobody has makes it look."""
    admin = Client(gateway.url, people.token(ADMIN))
    admin.post("/prompt", json={"prompt": {"1": {"class_type": "NoSuchNode", "inputs": {}}}})


@pytest.fixture(scope="session")
def given(gateway: Gateway) -> Given:
    """Makes users who were given some models."""
    return giving(gateway)


@pytest.fixture
def calm(comfy: FakeComfyThread) -> Iterator[None]:
    """For tests that leave prompts waiting or running: none of them outlives its test, and none of
    another test's is among them."""
    comfy.wait_idle()
    yield
    calm_down(comfy)


@pytest.fixture
def disk(comfy: FakeComfyThread) -> Iterator[ComfyDisk]:
    """The simulated ComfyUI's files; what a test adds is gone afterwards."""
    found = ComfyDisk(comfy.base_dir)
    before = found.files()
    yield found
    found.restore(before)
