"""A user is deleted and their files are kept: for whoever sees everybody's, and nobody else."""

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.leavers import Leaver, clear, delete, former, records
from tests.ownfiles import color_of, upload
from tests.prompts import ids, load, preview, run, save, slow, submit, wait_running
from tests.refusals import check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("clean_log", "calm")


@pytest.fixture
def lena(gateway: Gateway) -> Leaver:
    return Leaver(gateway)


def test_pictures_and_prompts_are_the_owners_and_closed_to_others(
    gateway: Gateway,
    lena: Leaver,
    owner: Client,
    admin: Client,
    bob: Client,
    charlie: Client,
    guest: Client,
) -> None:
    entries = [run(lena, save("same", 0x112233)), run(lena, preview(0x223344))]
    theirs = run(bob, save("same", 0x334455))
    name = upload(lena, "same.png", (1, 2, 3))
    upload(bob, "same.png", (4, 5, 6))
    kept, shown = (entry["prompt"][1] for entry in entries)

    assert delete(admin, lena, "keep") == {"message": "The account is deleted."}
    check_refusal(lena.get("/history"), 401, "TOKEN_REVOKED")
    for client in (owner, admin):
        assert [color_of(client, entry) for entry in entries] == [
            (0x11, 0x22, 0x33),
            (0x22, 0x33, 0x44),
        ]
        assert {kept, shown} <= set(client.get("/history").json())
        assert list(client.get(f"/history/{kept}").json()) == [kept]
    assert color_of(owner, run(owner, load(name))) == (1, 2, 3)
    for client in (bob, charlie, guest):
        for entry in entries:
            (image,) = entry["outputs"]["2"]["images"]
            check_refusal(client.get("/view", params=image), 404, "NOT_FOUND")
        assert not {kept, shown} & set(client.get("/history").json())
        assert client.get(f"/history/{kept}").json() == {}
    assert color_of(bob, theirs) == (0x33, 0x44, 0x55)
    assert records(gateway, kept, theirs["prompt"][1]) == {
        kept: ["olga", "success"],
        theirs["prompt"][1]: ["bob", "success"],
    }
    # Nothing is to be stopped.
    clear(gateway)
    assert former(gateway, lena) == [lena.person.username, True, 0, True]
    assert color_of(owner, entries[0]) == (0x11, 0x22, 0x33)


def test_running_and_waiting_prompts_are_stopped_and_others_go_on(
    gateway: Gateway,
    lena: Leaver,
    owner: Client,
    admin: Client,
    bob: Client,
    comfy: FakeComfyThread,
) -> None:
    running = submit(lena, slow())
    wait_running(comfy, running)
    waiting, last = submit(lena, save()), submit(lena, save())
    bobs = submit(bob, slow())
    delete(admin, lena, "keep")
    assert former(gateway, lena) == [lena.person.username, True, 3, False]
    clear(gateway)
    assert former(gateway, lena) == [lena.person.username, True, 0, True]
    wait_until(lambda: ids(comfy) == ([bobs], []))
    # The interrupted one stays in the history, as one that ends by itself would.
    assert list(owner.get(f"/history/{running}").json()) == [running]
    assert records(gateway, running, waiting, last, bobs) == {
        running: ["olga", "interrupted"],
        waiting: ["olga", "cancelled"],
        last: ["olga", "cancelled"],
        bobs: ["bob", "accepted"],
    }


def test_prompt_that_ends_before_anybody_looks_is_noted_as_the_owners(
    gateway: Gateway, lena: Leaver, owner: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    prompt_id = submit(lena, preview(0x556677))
    delete(admin, lena, "keep")
    comfy.wait_idle()
    # The server still has it in memory as Lena's, who is no more.
    (entry,) = owner.get(f"/history/{prompt_id}").json().values()
    assert color_of(owner, entry) == (0x55, 0x66, 0x77)
    assert records(gateway, prompt_id) == {prompt_id: ["olga", "success"]}
