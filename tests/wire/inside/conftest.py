"""A ComfyUI with a version of its page, a gateway before it, and people before that."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser

from tests.accounts.acting import session
from tests.cast import ADMIN, ALICE, BOB, CHARLIE, GUEST, PASSWORD, POWER, Person
from tests.client import Client
from tests.comfypage import FRONTENDS, PREFERENCES, ComfyPage, comfy_page, workflow
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.refusals import faults
from tests.stack import services

pytest.register_assert_rewrite("tests.wire.inside.cases")

CAST = (ADMIN, ALICE, BOB, CHARLIE, GUEST, POWER)


@pytest.fixture(scope="module")
def front(
    version: str,
    tmp_path_factory: pytest.TempPathFactory,
    chromium_browser: Browser,
) -> Iterator[FakeComfyThread]:
    """A ComfyUI with a version of the page."""
    root = FRONTENDS[version]
    if root != "auto" and not Path(root).is_dir():
        pytest.fail(f"{root} is missing; `./run test` installs it.")
    folder = tmp_path_factory.mktemp("comfy")
    with FakeComfyThread(folder, frontend=root, seed=True) as comfy:
        answer = requests.post(f"{comfy.url}/api/settings", json=PREFERENCES, timeout=10)
        assert answer.status_code == 200
        yield comfy


# Before anybody is known to the server, which remembers them for some seconds.
RULES = """
from accounts.models import Role, User
Role.objects.filter(slug="user").update(max_waiting_prompts=2)
User.objects.filter(username="charlie").update(sfw_enforced=True)
result = None
"""


@pytest.fixture(scope="module")
def gateway(
    version: str, front: FakeComfyThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    # Each version on another stack: together they are before both.
    stands_on = services() if version == "newest" else {}
    folder = tmp_path_factory.mktemp("gateway")
    with serving(folder, front.url, CAST, **stands_on) as server:
        server.run(RULES)
        for person in CAST:
            jwt = session(server, person)
            Client(server.url, jwt).post("/api/settings", json=PREFERENCES)
        yield server
        assert faults(server.log(), [PASSWORD, "completing handshake"]) == []


@pytest.fixture(scope="module")
def usual(front: FakeComfyThread, chromium_browser: Browser) -> set[str]:
    """What troubles the page has with ComfyUI itself."""
    with comfy_page(chromium_browser, front.url) as page:
        page.open()
        page.load(workflow("direct"))
        page.run_button().click()
        page.page.wait_for_timeout(2000)
        return page.troubles.found()


Before = Callable[..., ComfyPage]


@pytest.fixture
def before(gateway: Gateway, chromium_browser: Browser) -> Iterator[Before]:
    """Puts somebody, logged in, before the page."""
    opened = []

    def sits(person: Person, **options: Any) -> ComfyPage:
        jwt = session(gateway, person)
        context = comfy_page(chromium_browser, gateway.url, jwt, **options)
        page = context.__enter__()
        opened.append(context)
        return page

    yield sits
    for context in opened:
        context.__exit__(None, None, None)
