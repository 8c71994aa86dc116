"""ComfyUI's own page, in a real browser: two users' workflows of one name never meet."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.accounts.acting import session
from tests.cast import ALICE, BOB, GUEST, PASSWORD, Person
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.frontendpage import FrontendPage, frontend
from tests.gateway import Gateway, serving
from tests.refusals import faults
from tests.userdata import names, read


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, chromium_browser: Browser
) -> Iterator[Gateway]:
    """A gateway in front of a ComfyUI that has the real page, and no model: the page complains
    about those that its default workflow names, to everybody alike."""
    cast = (ALICE, BOB, GUEST)
    with (
        FakeComfyThread(tmp_path_factory.mktemp("comfy"), frontend="auto") as comfy,
        serving(tmp_path_factory.mktemp("gateway"), comfy.url, cast) as server,
    ):
        yield server
    assert faults(server.log(), [PASSWORD]) == []


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, chromium_browser: Browser) -> set[str]:
    """What troubles the page has with a ComfyUI, no gateway between them."""
    with (
        FakeComfyThread(tmp_path_factory.mktemp("alone"), frontend="auto") as comfy,
        frontend(chromium_browser, comfy.url) as page,
    ):
        assert page.listed() == []
        page.write("somebody's castle")
        page.save_as("castle")
        page.rename("castle", "tower")
        page.open()
        assert page.listed() == ["tower"]
        page.open_saved("tower")
        page.shows("somebody's castle")
        page.delete("tower")
        assert page.listed() == []
        return page.troubles()


class Desk:
    """A person before the page, and what the same person gets over HTTP."""

    def __init__(self, gateway: Gateway, person: Person, jwt: str, page: FrontendPage) -> None:
        self.page = page
        self.client = Client(gateway.url, jwt, gateway.namespaces[person.username])

    def has(self, *workflows: str) -> None:
        """That these are all of the person's workflows, on the page and over HTTP."""
        assert self.page.listed() == list(workflows)
        assert names(self.client) == [f"{name}.json" for name in workflows]

    def file(self, workflow: str) -> str:
        """What is in the file of a workflow; its status if there is none."""
        answer = read(self.client, f"workflows/{workflow}.json")
        return answer.text if answer.status_code == 200 else str(answer.status_code)


def desk(gateway: Gateway, browser: Browser, person: Person) -> Iterator[Desk]:
    jwt = session(gateway, person)
    with frontend(browser, gateway.url, jwt) as page:
        yield Desk(gateway, person, jwt, page)


@pytest.fixture
def alice(gateway: Gateway, chromium_browser: Browser) -> Iterator[Desk]:
    yield from desk(gateway, chromium_browser, ALICE)


@pytest.fixture
def bob(gateway: Gateway, chromium_browser: Browser) -> Iterator[Desk]:
    yield from desk(gateway, chromium_browser, BOB)


@pytest.fixture
def guest(gateway: Gateway, chromium_browser: Browser) -> Iterator[Desk]:
    yield from desk(gateway, chromium_browser, GUEST)


def test_users_save_under_one_name_and_never_meet(usual: set[str], alice: Desk, bob: Desk) -> None:
    # One saves. The other has nothing of that name, and may have the name.
    alice.page.write("the castle of alice")
    alice.page.save_as("castle")
    alice.has("castle")
    bob.has()
    assert bob.file("castle") == "404"
    bob.page.write("the castle of bob")
    bob.page.save_as("castle")
    bob.has("castle")
    apart(alice, bob, "castle")

    # One renames: the other's keeps its name, and may take the new one as well.
    alice.page.rename("castle", "tower")
    alice.has("tower")
    bob.has("castle")
    assert (alice.file("castle"), bob.file("tower")) == ("404", "404")
    bob.page.rename("castle", "tower")
    bob.has("tower")
    apart(alice, bob, "tower")

    # Each opens what is theirs.
    for one, text in ((alice, "the castle of alice"), (bob, "the castle of bob")):
        one.page.open()
        one.has("tower")
        one.page.open_saved("tower")
        one.page.shows(text)

    # One deletes: the other's stays.
    alice.page.delete("tower")
    alice.has()
    bob.has("tower")
    assert alice.file("tower") == "404"
    assert "the castle of bob" in bob.file("tower")
    bob.page.delete("tower")
    bob.has()
    assert bob.file("tower") == "404"

    for one in (alice, bob):
        assert one.page.troubles() - usual == set()


def apart(alice: Desk, bob: Desk, workflow: str) -> None:
    """That each file holds what its owner wrote, and nothing of the other's."""
    for one, theirs, others in ((alice, "alice", "bob"), (bob, "bob", "alice")):
        assert f"the castle of {theirs}" in one.file(workflow)
        assert f"the castle of {others}" not in one.file(workflow)


def test_user_who_may_not_save_is_told_so_and_nothing_is_saved(
    usual: set[str], guest: Desk
) -> None:
    assert guest.page.troubles() - usual == set()
    guest.page.write("the castle of gus")
    guest.page.ask_to_save()
    guest.page.tells("You may not save workflows on this server.")
    guest.has()
    assert guest.file("castle") == "404"
    # It is still on the canvas.
    guest.page.shows("the castle of gus")
