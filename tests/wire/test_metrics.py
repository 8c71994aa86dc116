"""GET /metrics: what people do is counted, by whichever process they do it in."""

import re
import uuid
from collections.abc import Iterator

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.cast import ALICE, PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import ROOT, Gateway, serving
from tests.listener import Listener
from tests.prompts import Graph, ended, save, submit
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("calm")

Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway that nobody else uses."""
    with serving(tmp_path_factory.mktemp("counted"), comfy.url, (ALICE,)) as server:
        yield server


@pytest.fixture
def user(counted: Gateway) -> Client:
    body = {"username": ALICE.username, "password": PASSWORD}
    answer = requests.post(f"{counted.url}/mss-login/generate_token", json=body, timeout=10)
    return Client(counted.url, answer.json()["token"])


def numbers(gateway: Gateway) -> Numbers:
    text = requests.get(f"{gateway.url}/metrics", timeout=10).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def failing() -> Graph:
    graph = save()
    graph["3"] = {"class_type": "FakeFail", "inputs": {"image": ["1", 0], "message": "boom"}}
    graph["2"]["inputs"]["images"] = ["3", 0]
    return graph


class Watched:
    """What grew since, by name and labels."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._before = numbers(gateway)

    def grew(self, name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return numbers(self._gateway).get(key, 0.0) - self._before.get(key, 0.0)


def test_requests_count_by_lane_and_status(counted: Gateway, user: Client) -> None:
    watched = Watched(counted)
    for _ in range(3):
        assert user.get("/queue").status_code == 200
    assert Client(counted.url).get("/queue").status_code == 401
    assert user.get("/features").status_code == 200
    assert user.get("/mss-login/api/me").status_code == 200
    assert watched.grew("mss_requests_total", lane="gate", status="401") == 1
    answered = [
        watched.grew("mss_requests_total", lane=lane, status="200")
        for lane in ("stream", "view", "pages")
    ]
    assert sum(answered) == 5 and answered[2] == 1
    seconds = watched.grew("mss_request_seconds_count", lane="pages")
    assert seconds == 1
    assert watched.grew("mss_upstream_requests_total", outcome="2xx") >= 4
    # The first of these is asked of the database; one connection stays with one process.
    assert watched.grew("mss_cache_lookups_total", cache="identity", result="hit") >= 2


def test_logins_count_by_how_they_ended(counted: Gateway) -> None:
    watched = Watched(counted)
    address = f"{counted.url}/mss-login/generate_token"
    for password in (PASSWORD, "wrong", "worse"):
        requests.post(address, json={"username": ALICE.username, "password": password}, timeout=10)
    assert watched.grew("mss_logins_total", outcome="succeeded") == 1
    assert watched.grew("mss_logins_total", outcome="failed") == 2


def test_prompts_count_once_by_what_became_of_them(
    counted: Gateway, user: Client, comfy: FakeComfyThread
) -> None:
    watched = Watched(counted)
    ended(user, submit(user, save()))
    ended(user, submit(user, failing()))
    comfy.pause()
    waiting = submit(user, save())
    key = ("mss_queue_prompts", frozenset({("state", "accepted")}))
    wait_until(lambda: numbers(counted).get(key) == 1, 8)
    assert user.post("/queue", json={"delete": [waiting]}).status_code == 200
    comfy.resume()
    wait_until(lambda: watched.grew("mss_prompts_total", outcome="cancelled") == 1)
    wait_until(lambda: watched.grew("mss_prompts_total", outcome="success") == 1)
    wait_until(lambda: watched.grew("mss_prompts_total", outcome="error") == 1)
    assert watched.grew("mss_prompts_total", outcome="accepted") == 3


def test_open_sockets_are_told_until_they_close(counted: Gateway, user: Client) -> None:
    def is_open(number: int) -> bool:
        found = numbers(counted)
        return found[("mss_sockets", frozenset())] == number

    with Listener(user, uuid.uuid4().hex), Listener(user, uuid.uuid4().hex):
        wait_until(lambda: is_open(2))
        assert numbers(counted)[("mss_upstream_sockets", frozenset())] == 2
    wait_until(lambda: is_open(0))


def test_downloads_are_told_by_status(counted: Gateway) -> None:
    found = numbers(counted)
    for status in ("queued", "running", "completed", "failed", "cancelled"):
        assert found[("mss_downloads", frozenset({("status", status)}))] == 0


def test_no_user_and_no_path_is_told(counted: Gateway, user: Client) -> None:
    prompt_id = submit(user, save())
    text = requests.get(f"{counted.url}/metrics", timeout=10).text
    told = [ALICE.username, counted.namespaces[ALICE.username], prompt_id, "/queue"]
    assert not [word for word in told if word in text]


def test_operators_guide_names_every_metric_and_no_other(counted: Gateway, user: Client) -> None:
    ended(user, submit(user, save()))
    text = requests.get(f"{counted.url}/metrics", timeout=10).text
    there = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(text)
        if family.name.startswith("mss_") and not family.name.endswith("_created")
    }
    guide = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^\| `(mss_\w+)`", guide, re.MULTILINE)) == there
