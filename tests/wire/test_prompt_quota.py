"""A role's most waiting prompts: held, also against many at once, and nobody else's affair."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.accounts.acting import session
from tests.cast import Person
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.prompts import save, submit
from tests.refusals import check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("clean_log")

LIMIT = 3
MAKE = """
from accounts.models import Role, User
role, _ = Role.objects.get_or_create(
    slug="few", defaults={"title": "Few", "rank": 30, "max_waiting_prompts": limit}
)
role.permissions.set(Role.objects.get(slug="user").permissions.all())
user = User(username="freya", role=role)
user.set_unusable_password()
user.save()
result = user.namespace
"""


@pytest.fixture(scope="module")
def freya(gateway: Gateway) -> Client:
    namespace = gateway.run(MAKE, limit=LIMIT)
    return Client(gateway.url, session(gateway, Person("freya", "few")), namespace)


@pytest.fixture
def paused(comfy: FakeComfyThread) -> Iterator[FakeComfyThread]:
    comfy.wait_idle()
    comfy.pause()
    yield comfy
    comfy.resume()
    comfy.wait_idle()


def waiting(client: Client) -> int:
    return len(client.get("/queue").json()["queue_pending"])


def test_user_with_a_limit_waits_for_room_and_others_do_not(
    freya: Client, alice: Client, paused: FakeComfyThread
) -> None:
    assert freya.get("/mss-login/api/me").json()["quotas"] == {
        "max_waiting_prompts": LIMIT,
        "max_prompt_bytes": None,
    }
    for _ in range(LIMIT):
        submit(freya, save())
    refused = freya.post("/prompt", json={"prompt": save()})
    check_refusal(refused, 429, "QUOTA_EXCEEDED", limit=LIMIT)
    assert waiting(freya) == LIMIT
    for _ in range(LIMIT + 1):
        submit(alice, save())
    paused.resume()
    wait_until(lambda: waiting(freya) < LIMIT, 5)
    submit(freya, save())


def test_user_who_sends_many_at_once_gets_no_more_in(
    freya: Client, paused: FakeComfyThread
) -> None:
    def send(_: int) -> int:
        one = Client(freya.base_url, freya.token)
        return one.post("/prompt", json={"prompt": save()}).status_code

    with ThreadPoolExecutor(10) as pool:
        answers = sorted(pool.map(send, range(10)))
    assert answers == [200] * LIMIT + [429] * (10 - LIMIT)
    assert waiting(freya) == LIMIT
