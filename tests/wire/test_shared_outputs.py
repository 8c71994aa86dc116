"""`SEPARATE_USERS=false`: queue, history and outputs are shared among who may run; the rest, and
whatever changes something, stays apart."""

from collections.abc import Iterator

import pytest

from tests.cast import ALICE, BOB, GUEST, PASSWORD
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.listener import Listener, prompts_of
from tests.ownfiles import check_refused, upload
from tests.prompts import file_of, ids, load, preview, received_one, run, save, submit
from tests.refusals import check_refusal, faults

pytestmark = pytest.mark.usefixtures("calm")


@pytest.fixture(scope="module", params=["SEPARATE_USERS", "SEPERATE_USERS"])
def shared(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    comfy: FakeComfyThread,
) -> Iterator[Gateway]:
    folder, cast = tmp_path_factory.mktemp("shared"), (ALICE, BOB, GUEST)
    with serving(folder, comfy.url, cast, **{request.param: "false"}) as server:
        yield server
        log = server.log()
    assert faults(log, [PASSWORD]) == []


@pytest.fixture
def friends(shared: Gateway) -> tuple[Client, Client, Client]:
    people = People(shared)
    return people.client(ALICE), people.client(BOB), people.client(GUEST)


def test_alice_sees_bobs_queue_history_and_outputs_and_a_guest_does_not(
    friends: tuple[Client, Client, Client], comfy: FakeComfyThread
) -> None:
    alice, bob, guest = friends
    entry = run(bob, save())
    prompt_id, file = entry["prompt"][1], file_of(entry)
    assert alice.get(f"/history/{prompt_id}").json() == {prompt_id: entry}
    assert prompt_id in alice.get("/history?max_items=5").json()
    assert alice.get("/view", params=file).content == bob.get("/view", params=file).content
    comfy.pause()
    waiting = submit(bob, save())
    assert [item[1] for item in alice.get("/queue").json()["queue_pending"]] == [waiting]
    assert alice.get("/prompt").json() == {"exec_info": {"queue_remaining": 1}}
    assert guest.get(f"/history/{prompt_id}").json() == {}
    assert guest.get("/queue").json() == {"queue_running": [], "queue_pending": []}
    check_refusal(guest.get("/view", params=file), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 1000), ("?max_items=1000000", 1000), ("?offset=0", 1000), ("?max_items=5", 5)],
)
def test_alice_cannot_have_everybodys_whole_history_fetched(
    query: str, count: int, friends: tuple[Client, Client, Client], comfy: FakeComfyThread
) -> None:
    alice, bob, _ = friends
    done = run(bob, save())["prompt"][1]
    comfy.clear_requests()
    assert list(alice.get(f"/history{query}").json())[-1] == done
    asked = [record.path for record in comfy.requests if "max_items" in record.path]
    assert [path.partition("?")[2] for path in asked] == [f"max_items={count}"]


def test_alice_cannot_take_bobs_prompts_away(
    friends: tuple[Client, Client, Client], comfy: FakeComfyThread
) -> None:
    alice, bob, _ = friends
    done = run(bob, save())["prompt"][1]
    comfy.pause()
    waiting = submit(bob, save())
    for path, body in (
        ("/queue", {"delete": [waiting]}),
        ("/queue", {"clear": True}),
        ("/history", {"delete": [done]}),
        ("/history", {"clear": True}),
        ("/interrupt", {"prompt_id": waiting}),
    ):
        assert alice.post(path, json=body).status_code == 200
    assert ids(comfy)[1] == [waiting]
    assert list(bob.get(f"/history/{done}").json()) == [done]


def test_alice_loads_bobs_output_and_none_of_his_uploads(
    friends: tuple[Client, Client, Client], comfy: FakeComfyThread
) -> None:
    alice, bob, _ = friends
    file = file_of(run(bob, save()))
    name = f"{file['subfolder']}/{file['filename']} [output]"
    prompt_id = submit(alice, load(name))
    assert received_one(comfy, prompt_id)["prompt"]["1"]["inputs"]["image"] == name
    private = upload(bob, "private.png", (1, 2, 3))
    for spelling in (private, f"{private} [input]"):
        check_refused(alice, comfy, load(spelling), ("1", "image"))
    drafted = upload(bob, "draft.png", (4, 5, 6), type="temp")
    for path, kind in ((private, "input"), (drafted, "temp")):
        folder, _, base = path.rpartition("/")
        params = {"filename": base, "subfolder": folder, "type": kind}
        assert bob.get("/view", params=params).status_code == 200
        check_refusal(alice.get("/view", params=params), 404, "NOT_FOUND")


def test_alice_sees_bobs_previews_and_a_guest_does_not(
    friends: tuple[Client, Client, Client],
) -> None:
    alice, bob, guest = friends
    file = file_of(run(bob, preview()))
    assert alice.get("/view", params=file).content == bob.get("/view", params=file).content
    check_refusal(guest.get("/view", params=file), 404, "NOT_FOUND")


def test_alice_hears_how_long_the_queue_is_and_nothing_of_bobs_run(
    friends: tuple[Client, Client, Client], comfy: FakeComfyThread
) -> None:
    alice, bob, _ = friends
    with Listener(alice) as alices, Listener(bob) as bobs:
        comfy.pause()
        prompt_id = submit(bob, save(), client_id=bobs.sid)
        alices.until_count(1)
        comfy.resume()
        bobs.until_end(prompt_id)
        alices.until_count(0)
        assert prompts_of(alices.frames) == set()
