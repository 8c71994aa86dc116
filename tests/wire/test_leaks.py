"""What a user must not learn or do of another's: through the gateway not, past it all of it."""

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import calm_down
from tests.wire.leaks import CHECKS, Check, Scene

pytestmark = pytest.mark.usefixtures("clean_log", "calm", "disk")

EACH = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@EACH
@pytest.mark.parametrize("api", ["", "/api"], ids=["bare", "api"])
def test_nothing_of_bobs_leaks_to_alice(
    check: Check, api: str, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    check(Scene(alice, bob, comfy, api))


@EACH
def test_without_the_gateway_it_would(check: Check, comfy: FakeComfyThread) -> None:
    alice, bob = Client(comfy.url), Client(comfy.url)
    with pytest.raises((AssertionError, TimeoutError)):
        check(Scene(alice, bob, comfy))
    calm_down(comfy)
