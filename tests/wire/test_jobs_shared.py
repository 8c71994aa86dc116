"""`SEPARATE_USERS=false`: who may run prompts sees everybody's jobs, and stops their own."""

from collections.abc import Iterator

import pytest

from tests.cast import ALICE, BOB, GUEST, PASSWORD
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.prompts import ids, run, save, submit
from tests.refusals import check_refusal, faults

pytestmark = pytest.mark.usefixtures("calm")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    folder, cast = tmp_path_factory.mktemp("together"), (ALICE, BOB, GUEST)
    with serving(folder, comfy.url, cast, SEPARATE_USERS="false") as server:
        yield server
        log = server.log()
    assert faults(log, [PASSWORD]) == []


def test_alice_sees_bobs_jobs_and_cannot_cancel_them(
    together: Gateway, comfy: FakeComfyThread
) -> None:
    people = People(together)
    alice, bob, guest = people.client(ALICE), people.client(BOB), people.client(GUEST)
    Client(comfy.url).post("/history", json={"clear": True})
    done = run(bob, save())["prompt"][1]
    comfy.pause()
    theirs, mine = submit(bob, save()), submit(alice, save())
    for query in ("", "limit=3", "sort_by=execution_duration"):
        answer = alice.get(f"/api/jobs?{query}").json()
        assert {job["id"] for job in answer["jobs"]} == {mine, theirs, done}
        assert answer["pagination"]["total"] == 3
    assert guest.get("/api/jobs").json()["jobs"] == []
    check_refusal(guest.get(f"/api/jobs/{done}"), 404, "NOT_FOUND")
    assert alice.get(f"/api/jobs/{theirs}").json() == bob.get(f"/api/jobs/{theirs}").json()
    assert alice.post(f"/api/jobs/{theirs}/cancel").json() == {"cancelled": False}
    answer = alice.post("/api/jobs/cancel", json={"job_ids": [mine, theirs]})
    check_refusal(answer, 404, "NOT_FOUND")
    assert ids(comfy) == ([], [theirs, mine])
    assert alice.post("/api/jobs/cancel", json={"job_ids": [mine]}).json() == {"cancelled": True}
    assert ids(comfy) == ([], [theirs])
