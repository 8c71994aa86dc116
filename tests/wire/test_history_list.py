"""`GET /history`: each user's own, counted and paged within their own, secrets cut."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cast import ALICE, BOB
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import direct, ended, run, save, slow, submit, wait_running
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")


@dataclass
class Past:
    """What has run: Alice's, Bob's and nobody's in turn, oldest first."""

    alices: list[str]
    bobs: list[str]
    nobodys: list[str]

    @property
    def everybodys(self) -> list[str]:
        trios = zip(self.alices, self.bobs, self.nobodys, strict=True)
        return [prompt_id for trio in trios for prompt_id in trio]


@pytest.fixture(scope="module")
def past(comfy: FakeComfyThread, people: People) -> Iterator[Past]:
    alice, bob = people.client(ALICE), people.client(BOB)
    for client in (alice, bob):
        client.post("/history", json={"clear": True})
    Client(comfy.url).post("/history", json={"clear": True})
    result = Past([], [], [])
    for _ in range(5):
        result.alices.append(submit(alice, save(), client_id="tab"))
        result.bobs.append(submit(bob, save(), client_id="tab"))
        result.nobodys.append(direct(comfy, save(), client_id="tab"))
    comfy.wait_idle()
    yield result


@pytest.mark.parametrize("path", ["/history", "/api/history"])
def test_everybody_sees_their_own_in_order(
    path: str,
    past: Past,
    alice: Client,
    bob: Client,
    charlie: Client,
    guest: Client,
    power: Client,
    anonymous: Client,
) -> None:
    assert list(alice.get(path).json()) == past.alices
    assert list(bob.get(path).json()) == past.bobs
    for client in (charlie, guest, power):
        history = client.get(path).json()
        assert not set(history) & set(past.everybodys)
        assert alice.namespace not in client.get(path).text
    check_refusal(anonymous.get(path), 401, "AUTH_REQUIRED")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("max_items=2", slice(-2, None)),
        ("max_items=5", slice(None)),
        ("max_items=64", slice(None)),
        ("max_items=100000000000000000000000000", slice(None)),
        ("max_items=0", slice(0)),
        ("max_items=-1", slice(0)),
        ("offset=2", slice(2, None)),
        ("offset=0&max_items=2", slice(0, 2)),
        ("offset=1&max_items=3", slice(1, 4)),
        ("offset=4&max_items=3", slice(4, 5)),
        ("offset=5", slice(0)),
        ("offset=99999", slice(0)),
        ("offset=-1&max_items=2", slice(-2, None)),
        ("offset=-7", slice(None)),
        ("max_items=3&max_items=1", slice(-3, None)),
    ],
)
def test_paging_counts_within_ones_own(
    query: str, shown: slice, past: Past, alice: Client, bob: Client
) -> None:
    assert list(alice.get(f"/history?{query}").json()) == past.alices[shown]
    assert list(bob.get(f"/api/history?{query}").json()) == past.bobs[shown]


@pytest.mark.parametrize("query", ["", "max_items=4", "offset=3&max_items=5", "offset=12"])
def test_admin_sees_all_and_pages_within_all(
    query: str, past: Past, admin: Client, comfy: FakeComfyThread
) -> None:
    direct_answer = Client(comfy.url).get(f"/history?{query}").json()
    assert list(admin.get(f"/history?{query}").json()) == list(direct_answer)
    if not query:
        assert list(direct_answer)[:15] == past.everybodys


@pytest.mark.parametrize("name", ["max_items", "offset"])
@pytest.mark.parametrize("value", ["", "x", "1.5", "%00", "1e3", "0x1", "[]", "%E2%82%AC"])
def test_alice_pages_by_what_is_no_number_and_is_refused(
    name: str, value: str, alice: Client
) -> None:
    check_refusal(alice.get(f"/history?{name}={value}"), 400, "BAD_REQUEST", field=name)


def test_another_users_id_answers_as_an_unknown_one(
    past: Past, alice: Client, bob: Client, guest: Client, admin: Client
) -> None:
    mine = past.alices[0]
    entry = alice.get(f"/history/{mine}").json()
    assert entry == alice.get(f"/api/history/{mine}").json()
    assert list(entry) == [mine]
    unknown = bob.get("/history/4b9f4a39-0f0c-4a5e-9f0e-000000000000")
    for answer in (
        bob.get(f"/history/{mine}"),
        guest.get(f"/api/history/{mine}"),
        alice.get(f"/history/{past.nobodys[0]}"),
        alice.get(f"/history/{mine.upper()}"),
        alice.get("/history/x%20y"),
        alice.get("/history/%C3%A9"),
    ):
        assert (answer.status_code, answer.content) == (200, b"{}")
        # Dates aside there is nothing by which to tell them apart.
        assert answer.headers == unknown.headers
    assert admin.get(f"/history/{mine}").json()[mine]["outputs"] == entry[mine]["outputs"]
    nobodys = admin.get(f"/history/{past.nobodys[0]}").json()
    assert list(nobodys) == [past.nobodys[0]]


def test_entry_is_comfyuis_own_with_the_callers_names_in_it(
    past: Past, alice: Client, comfy: FakeComfyThread
) -> None:
    mine = past.alices[-1]
    shown = alice.get(f"/history/{mine}").json()[mine]
    real = Client(comfy.url).get(f"/history/{mine}").json()[mine]
    number, prompt_id, graph, extra, outputs = shown.pop("prompt")
    real_number, real_id, real_graph, real_extra, real_outputs = real.pop("prompt")
    assert shown == real
    assert (prompt_id, outputs) == (real_id, real_outputs)
    assert (number, extra) != (real_number, real_extra)
    assert extra == {"client_id": "tab"}
    del real_graph["2"]["inputs"]["mss_namespace"]
    assert graph == real_graph


def test_failed_prompt_tells_its_owner_why_without_server_paths(
    alice: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    graph = save()
    inputs = {"image": ["1", 0], "message": f"broken: {comfy.base_dir}/models/x.bin"}
    graph["3"] = {"class_type": "FakeFail", "inputs": inputs}
    graph["2"]["inputs"]["images"] = ["3", 0]
    entry = run(alice, graph)
    assert entry["status"]["status_str"] == "error"
    kind, data = entry["status"]["messages"][-1]
    assert (kind, data["node_id"], data["node_type"]) == ("execution_error", "3", "FakeFail")
    assert data["exception_message"].startswith("broken: ")
    assert data["traceback"]
    assert comfy.base_dir in Client(comfy.url).get(f"/history/{entry['prompt'][1]}").text
    messages = alice.get(f"/history/{entry['prompt'][1]}").json()[entry["prompt"][1]]["status"]
    assert comfy.base_dir not in str(messages)


@pytest.mark.usefixtures("calm")
def test_waiting_and_running_prompts_are_no_history_yet(
    alice: Client, comfy: FakeComfyThread
) -> None:
    running = submit(alice, slow())
    wait_running(comfy, running)
    waiting = submit(alice, save())
    # Asked for by the number, which looks at each record: neither may count as lost.
    for query in ("max_items=3", ""):
        assert not {running, waiting} & set(alice.get(f"/history?{query}").json())
    assert alice.get(f"/history/{running}").json() == {}
    alice.post("/interrupt")
    ended(alice, waiting)
    assert list(alice.get("/history?max_items=2").json()) == [running, waiting]
