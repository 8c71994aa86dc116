"""`GET /api/jobs`: queue and history in one list, each user's own, counted and paged within it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cast import ALICE, BOB
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import Graph, calm_down, direct, save, slow, submit, wait_running
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

# Both use the same workflows under the same client id.
FLOWS = ("4f0f9c0e-flow-1", "4f0f9c0e-flow-2")


@dataclass
class World:
    """What there is, oldest first: (id, status) of Alice's and Bob's, and what is nobody's."""

    alices: list[tuple[str, str]]
    bobs: list[tuple[str, str]]
    nobodys: list[str]

    @property
    def ids(self) -> set[str]:
        return {pid for pid, _ in (*self.alices, *self.bobs)} | set(self.nobodys)


def failing() -> Graph:
    graph = save()
    graph["3"] = {"class_type": "FakeFail", "inputs": {"image": ["1", 0], "message": "boom"}}
    graph["2"]["inputs"]["images"] = ["3", 0]
    return graph


def send(client: Client, graph: Graph, flow: int = 0) -> str:
    workflow = {"extra_pnginfo": {"workflow": {"id": FLOWS[flow]}}}
    return submit(client, graph, client_id="tab", extra_data=workflow)


@pytest.fixture(scope="module")
def world(comfy: FakeComfyThread, people: People) -> Iterator[World]:
    """Of each of the two one that runs or waits, a cancelled, a failed and two completed ones."""
    alice, bob = people.client(ALICE), people.client(BOB)
    for client in (alice, bob):
        client.post("/history", json={"clear": True})
    Client(comfy.url).post("/history", json={"clear": True})
    found = World([], [], [])
    for client, own in ((alice, found.alices), (bob, found.bobs)):
        own.append((send(client, save(), 1), "completed"))
        own.append((send(client, failing()), "failed"))
        stopped = send(client, slow())
        wait_running(comfy, stopped)
        assert client.post(f"/api/jobs/{stopped}/cancel").json() == {"cancelled": True}
        own.append((stopped, "cancelled"))
        own.append((send(client, save()), "completed"))
        found.nobodys.append(direct(comfy, save(), client_id="tab"))
    comfy.wait_idle()
    found.alices.append((send(alice, slow(600)), "in_progress"))
    wait_running(comfy, found.alices[-1][0])
    found.bobs.append((send(bob, save()), "pending"))
    found.alices.append((send(alice, save(), 1), "pending"))
    found.nobodys.append(direct(comfy, save()))
    yield found
    calm_down(comfy)


def listed(client: Client, query: str = "") -> list[tuple[str, str]]:
    answer = client.get(f"/api/jobs?{query}")
    assert answer.status_code == 200, answer.text
    return [(job["id"], job["status"]) for job in answer.json()["jobs"]]


def total(client: Client, query: str = "") -> int:
    return int(client.get(f"/api/jobs?{query}").json()["pagination"]["total"])


def test_everybody_lists_their_own_newest_first(
    world: World,
    alice: Client,
    bob: Client,
    charlie: Client,
    guest: Client,
    power: Client,
    anonymous: Client,
) -> None:
    assert listed(alice) == world.alices[::-1]
    assert listed(bob) == world.bobs[::-1]
    assert (total(alice), total(bob)) == (len(world.alices), len(world.bobs))
    for client in (charlie, guest, power):
        for query in ("", "limit=200", f"workflow_id={FLOWS[0]}", "sort_by=execution_duration"):
            answer = client.get(f"/api/jobs?{query}")
            assert not {pid for pid in world.ids if pid in answer.text}
            assert alice.namespace not in answer.text
            own = answer.json()
            assert own["pagination"]["total"] == len(own["jobs"])
    check_refusal(anonymous.get("/api/jobs"), 401, "AUTH_REQUIRED")


@pytest.mark.parametrize(
    "query",
    [
        "status=completed,failed,cancelled",
        "status=Pending,%20IN_PROGRESS",
        "status=completed",
        "status=failed",
        "status=cancelled",
        "status=in_progress,cancelled",
        "status=",
        "status=,",
        "sort_order=asc",
        "status=completed,pending&sort_order=asc",
    ],
)
def test_statuses_are_chosen_within_ones_own(
    query: str, world: World, alice: Client, bob: Client
) -> None:
    wanted = query.partition("status=")[2].partition("&")[0].replace("%20", "").lower()
    for client, own in ((alice, world.alices), (bob, world.bobs)):
        expected = [job for job in own if not wanted or job[1] in wanted.split(",")]
        order = 1 if "asc" in query else -1
        assert listed(client, query) == expected[::order]
        assert total(client, query) == len(expected)


def test_workflows_of_the_same_id_stay_apart(world: World, alice: Client, bob: Client) -> None:
    query = f"workflow_id={FLOWS[1]}"
    assert listed(alice, query) == [world.alices[-1], world.alices[0]]
    assert listed(bob, query) == [world.bobs[0]]
    assert listed(bob, f"{query}&status=failed") == []
    assert (total(alice, query), total(bob, query)) == (2, 1)
    assert listed(alice, "workflow_id=none") == []


def test_jobs_are_sorted_by_how_long_they_ran(world: World, alice: Client) -> None:
    jobs = alice.get("/api/jobs?sort_by=execution_duration").json()["jobs"]
    spans = [job.get("execution_end_time", 0) - job.get("execution_start_time", 0) for job in jobs]
    # What has not ended counts as 0, as what took less than a millisecond does.
    assert spans == sorted(spans, reverse=True)
    assert {(job["id"], job["status"]) for job in jobs} == set(world.alices)


@pytest.mark.parametrize("size", [1, 2, 4, 100])
@pytest.mark.parametrize(
    "query",
    [
        "",
        "sort_order=asc",
        "status=completed,failed,cancelled",
        "status=completed,failed,cancelled&sort_order=asc",
        "status=completed,pending",
        f"workflow_id={FLOWS[0]}",
        "sort_by=execution_duration",
    ],
)
def test_pages_together_are_the_whole_and_tell_the_total(
    query: str, size: int, world: World, alice: Client, bob: Client
) -> None:
    for client in (alice, bob):
        whole, found = listed(client, query), []
        while True:
            answer = client.get(f"/api/jobs?{query}&limit={size}&offset={len(found)}").json()
            found += [(job["id"], job["status"]) for job in answer["jobs"]]
            assert answer["pagination"] == {
                "offset": len(found) - len(answer["jobs"]),
                "limit": size,
                "total": len(whole),
                "has_more": len(found) < len(whole),
            }
            if len(found) == len(whole):
                break
        assert found == whole
        beyond = client.get(f"/api/jobs?{query}&limit={size}&offset=500").json()
        assert beyond["jobs"] == []
        assert beyond["pagination"]["total"] == len(whole)


def test_admin_lists_everybodys_and_pages_within_all(world: World, admin: Client) -> None:
    whole = listed(admin)
    assert {pid for pid, _ in whole} == world.ids
    assert total(admin) == len(world.ids) == 14
    found: list[tuple[str, str]] = []
    while len(found) < len(whole):
        answer = admin.get(f"/api/jobs?limit=4&offset={len(found)}").json()
        found += [(job["id"], job["status"]) for job in answer["jobs"]]
        assert answer["pagination"]["has_more"] == (len(found) < len(whole))
    assert found == whole
    assert set(listed(admin, "status=failed")) == {world.alices[1], world.bobs[1]}
    assert total(admin, f"workflow_id={FLOWS[1]}") == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "done"),
        ("status", "completed;failed"),
        ("sort_by", "id"),
        ("sort_order", "up"),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "x"),
        ("limit", ""),
        ("limit", "%00"),
        ("offset", "1.5"),
        ("offset", "x"),
    ],
)
def test_alice_asks_badly_and_is_told_which_value_it_is(
    field: str, value: str, alice: Client
) -> None:
    check_refusal(alice.get(f"/api/jobs?{field}={value}"), 400, "BAD_REQUEST", field=field)


def test_first_of_repeated_parameters_counts_and_too_much_is_cut(
    world: World, alice: Client
) -> None:
    assert len(listed(alice, "limit=3&limit=1")) == 3
    pages = {
        "offset=-5&limit=2": {"offset": 0, "limit": 2, "total": 6, "has_more": True},
        "limit=99999": {"offset": 0, "limit": 1000, "total": 6, "has_more": False},
        f"offset={10**30}": {"offset": 10**9, "limit": None, "total": 6, "has_more": False},
    }
    for query, expected in pages.items():
        assert alice.get(f"/api/jobs?{query}").json()["pagination"] == expected


def test_jobs_are_as_newer_comfyui_shows_them_to_its_only_user(
    world: World, alice: Client, comfy: FakeComfyThread
) -> None:
    for query in ("", "status=completed,failed", "sort_by=execution_duration&sort_order=asc"):
        mine = {pid for pid, _ in world.alices}
        direct_jobs = Client(comfy.url).get(f"/api/jobs?{query}").json()["jobs"]
        real: list[dict[str, Any]] = [job for job in direct_jobs if job["id"] in mine]
        shown = alice.get(f"/api/jobs?{query}").json()["jobs"]
        assert len(real) == len(shown)
        if "execution_duration" in query:
            # Equal ones may come in any order.
            real, shown = (sorted(jobs, key=lambda job: job["id"]) for jobs in (real, shown))
        for job, other in zip(shown, real, strict=True):
            # The time is the gateway's own: it wrote the prompt down before ComfyUI had it.
            assert 0 <= other.pop("create_time") - job.pop("create_time") < 1000
            for one in (job, other):
                # The user's own counter instead of everybody's; server paths are cut.
                del one["priority"]
                one.get("execution_error", {}).pop("traceback", None)
            assert job == other


def test_a_page_asks_comfyui_for_no_more_than_it_shows(
    world: World, alice: Client, admin: Client, forwarded: FakeComfyThread
) -> None:
    def asked(client: Client, query: str) -> list[str]:
        forwarded.clear_requests()
        assert listed(client, query)
        paths = [r.path.partition("?") for r in forwarded.requests if r.kind == "http"]
        return [path + mark + query for path, mark, query in paths if path != "/queue"]

    # What another test was shown would not be asked for.
    forwarded.hang_up()
    assert asked(alice, "status=pending,in_progress&limit=200") == []
    history = "status=completed,failed,cancelled"
    ended = [pid for pid, status in world.alices[::-1] if status not in ("pending", "in_progress")]
    assert asked(alice, f"{history}&limit=2") == [f"/history/{pid}" for pid in ended[:2]]
    # From here on some may be known already.
    for query, shown in (
        (f"{history}&limit=1&offset=2", ended[2]),
        (f"{history}&limit=1&sort_order=asc", ended[-1]),
        ("limit=3", ended[0]),
        ("status=cancelled", world.alices[2][0]),
    ):
        assert set(asked(alice, query)) <= {f"/history/{shown}"}
    # One more than the page, to see whether there is any.
    assert asked(admin, f"{history}&limit=1") == ["/history?max_items=2"]
