"""A role's most waiting and largest prompts: held, also against many at once, and nobody else's
affair."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.accounts.acting import session
from tests.cast import Person
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.prompts import ended, received, save, submit
from tests.refusals import check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("clean_log")

LIMIT = 3
MAX_BYTES = 2000
MAKE = """
from accounts.models import Role, User
role, _ = Role.objects.get_or_create(
    slug=slug, defaults={"title": slug.title(), "rank": 30, **limits}
)
role.permissions.set(Role.objects.get(slug="user").permissions.all())
user = User(username=username, role=role)
user.set_unusable_password()
user.save()
result = user.namespace
"""


def limited(gateway: Gateway, person: Person, **limits: int) -> Client:
    """Somebody of a role of their own."""
    namespace = gateway.run(MAKE, username=person.username, slug=person.role, limits=limits)
    return Client(gateway.url, session(gateway, person), namespace)


@pytest.fixture(scope="module")
def freya(gateway: Gateway) -> Client:
    return limited(gateway, Person("freya", "few"), max_waiting_prompts=LIMIT)


@pytest.fixture(scope="module")
def sven(gateway: Gateway) -> Client:
    return limited(gateway, Person("sven", "small"), max_prompt_bytes=MAX_BYTES)


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


def padded(size: int) -> bytes:
    """The body of a prompt, so many bytes long."""
    body = {"prompt": save(), "extra_data": {"extra_pnginfo": {"pad": ""}}}
    body["extra_data"]["extra_pnginfo"]["pad"] = "x" * (size - len(json.dumps(body)))
    return json.dumps(body).encode()


def test_user_whose_role_has_small_prompts_sends_no_larger_one(
    sven: Client, alice: Client, comfy: FakeComfyThread
) -> None:
    assert sven.get("/mss-login/api/me").json()["quotas"]["max_prompt_bytes"] == MAX_BYTES
    for path in ("/prompt", "/api/prompt"):
        comfy.clear_requests()
        check_refusal(sven.post(path, data=padded(MAX_BYTES + 1)), 413, "TOO_LARGE")
        assert received(comfy) == []
    assert sven.get("/queue").json() == {"queue_running": [], "queue_pending": []}
    for client, size in ((sven, MAX_BYTES), (alice, MAX_BYTES + 1)):
        answer = client.post("/prompt", data=padded(size))
        assert answer.status_code == 200, answer.text
        ended(client, answer.json()["prompt_id"])
