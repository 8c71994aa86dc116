"""A ComfyUI that comes and goes, with a gateway of its own in front of it."""

from collections.abc import Iterator

import pytest

from tests.cast import ALICE, BOB
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.prompts import run, save


@pytest.fixture(scope="session")
def shaky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeComfyThread]:
    with FakeComfyThread(tmp_path_factory.mktemp("shaky-comfy"), seed=True) as server:
        yield server


@pytest.fixture(scope="session")
def shaky_gateway(
    tmp_path_factory: pytest.TempPathFactory, shaky: FakeComfyThread
) -> Iterator[Gateway]:
    with serving(tmp_path_factory.mktemp("shaky"), shaky.url, (ALICE, BOB)) as server:
        yield server


@pytest.fixture(scope="session")
def shaky_people(shaky_gateway: Gateway) -> People:
    return People(shaky_gateway)


@pytest.fixture
def shaky_alice(shaky_people: People) -> Client:
    return shaky_people.client(ALICE)


@pytest.fixture
def shaky_bob(shaky_people: People) -> Client:
    return shaky_people.client(BOB)


@pytest.fixture
def down(shaky: FakeComfyThread, shaky_alice: Client) -> Iterator[FakeComfyThread]:
    """ComfyUI is not there during the test, and there again afterwards. Alice has a past."""
    run(shaky_alice, save())
    shaky.stop_listening()
    yield shaky
    if not shaky.listening:
        shaky.come_back()
