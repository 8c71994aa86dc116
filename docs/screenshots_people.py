"""Makes the pictures of docs/user-guide.md: ComfyUI's own page with our extension, and our pages.

    .venv/bin/python docs/screenshots_people.py

Needs Chromium, and what `./run test` installs.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Browser, ViewportSize, expect

from docs.screenshots import COLOURS, take
from tests.accounts.acting import session
from tests.cast import ADMIN, ALICE, BOB, GUEST, OWNER, POWER, Person
from tests.chromium import chromium, log_in
from tests.client import Client
from tests.comfypage import DESKTOP, FRONTENDS, PHONE, PREFERENCES, ComfyPage, comfy_page, workflow
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.prompts import run, save, slow, submit

CAST: Final = (OWNER, ADMIN, POWER, ALICE, BOB, GUEST)
LIFE: Final = """
from accounts import granting
from accounts.models import User
from downloads.models import DownloadJob
alice, paula = (User.objects.get(username=name) for name in ("alice", "paula"))
items = [granting.item(*pair) for pair in given]
granting.grant(alice, items, actor=None)
jobs = (("style-xl.safetensors", "running", 41), ("portraits.safetensors", "completed", 100))
for name, status, done in jobs:
    DownloadJob.objects.create(user=paula, target=paula, source="civitai", filename=name,
        folder_type="loras", status=status, bytes_done=done, total_bytes=100, lease_owner="x")
result = None
"""
END: Final = """
from accounts import proofs
from accounts.models import Session
for row in Session.objects.filter(user__username="alice"):
    proofs.end_session(row, actor=row.user, ip=None)
result = None
"""


@contextmanager
def world(frontend: str) -> Iterator[tuple[FakeComfyThread, Gateway]]:
    """A ComfyUI with a version of its page, and a gateway before it with a little life."""
    with (
        tempfile.TemporaryDirectory(prefix="mss-pictures-") as folder,
        FakeComfyThread(Path(folder) / "comfy", seed=True, frontend=FRONTENDS[frontend]) as comfy,
        serving(
            Path(folder) / "gateway",
            comfy.url,
            CAST,
            COMFYUI_MODELS_DIR=str(Path(comfy.base_dir) / "models"),
        ) as gateway,
    ):
        checkpoints = Client(comfy.url).get("/models/checkpoints").json()
        loras = Client(comfy.url).get("/models/loras").json()
        given = [("checkpoints", checkpoints[0]), *(("loras", name) for name in loras)]
        gateway.run(LIFE, given=given)
        for person in CAST:
            client_of(gateway, person).post("/api/settings", json=PREFERENCES)
        alice = client_of(gateway, ALICE)
        for number, colour in enumerate(COLOURS[:3]):
            run(alice, save(f"alice-{number}", color=colour))
        yield comfy, gateway


def client_of(gateway: Gateway, person: Person) -> Client:
    jwt = session(gateway, person)
    return Client(gateway.url, jwt, gateway.namespaces[person.username])


@contextmanager
def sits(
    browser: Browser, gateway: Gateway, person: Person, size: ViewportSize = DESKTOP
) -> Iterator[ComfyPage]:
    """Somebody before ComfyUI's page, a workflow on the canvas."""
    with comfy_page(browser, gateway.url, session(gateway, person), size) as page:
        page.open()
        page.load(workflow("castle"))
        page.page.wait_for_timeout(700)
        yield page


def newest(browser: Browser) -> None:
    with world("newest") as (comfy, gateway):
        with sits(browser, gateway, ADMIN) as page:
            page.menu_open("Account")
            take(page.page, "inside-menu")
        with sits(browser, gateway, ALICE) as page:
            other = submit(client_of(gateway, BOB), slow(20))
            mine = submit(client_of(gateway, ALICE), save("next"))
            page.tab("My queue")
            page.page.wait_for_timeout(1500)
            take(page.page, "inside-queue")
            for name, prompt in ((BOB, other), (ALICE, mine)):
                client_of(gateway, name).post(f"/api/jobs/{prompt}/cancel")
            page.tab("My models").locator("summary").first.click()
            checkpoints = Client(comfy.url).get("/models/checkpoints").json()
            page.load(workflow("castle", checkpoint=checkpoints[1]))
            page.run_button().click()
            page.tells("This model is not yours to use")
            page.page.wait_for_timeout(700)
            take(page.page, "inside-refused")
        with sits(browser, gateway, POWER) as page:
            page.tab("My models")
            page.page.wait_for_timeout(1500)
            take(page.page, "inside-models")
        with sits(browser, gateway, GUEST) as page:
            page.page.locator("canvas").first.click(position={"x": 500, "y": 700})
            page.page.keyboard.press("Control+s")
            page.tells("You may not save workflows")
            page.page.wait_for_timeout(700)
            take(page.page, "inside-guest")
        with sits(browser, gateway, ALICE, PHONE) as page:
            page.tab("My queue")
            page.page.wait_for_timeout(1000)
            take(page.page, "inside-phone")
        with sits(browser, gateway, ALICE) as page:
            page.tab("My queue")
            gateway.run(END)
            expect(page.page.get_by_role("dialog")).to_be_visible()
            page.page.wait_for_timeout(700)
            take(page.page, "inside-logged-out")
        ours(browser, comfy, gateway)


def oldest(browser: Browser) -> None:
    with world("oldest") as (_, gateway), sits(browser, gateway, ALICE) as page:
        page.tab("My queue")
        page.page.wait_for_timeout(1000)
        take(page.page, "inside-oldest")


def ours(browser: Browser, comfy: FakeComfyThread, gateway: Gateway) -> None:
    """Our own pages: (name, path, who, what of the browser)."""
    german: dict[str, Any] = {"locale": "de-DE"}
    phone: dict[str, Any] = {"viewport": PHONE, "color_scheme": "dark"}
    for name, path, person, options in (
        ("page-login", "/login", None, {}),
        ("page-login-phone", "/login", None, {**phone, "locale": "fr-FR"}),
        ("page-account", "/account", ALICE, german),
        ("page-downloads", "/account/downloads", POWER, {}),
        ("page-refused", "/view?filename=x.png&type=output", ALICE, {}),
        ("page-unreachable", "/", ALICE, {"color_scheme": "dark"}),
    ):
        if name == "page-unreachable":
            comfy.stop_listening()
        with browser.new_context(**{"viewport": DESKTOP, **options}) as context:
            page = context.new_page()
            if person is not None:
                log_in(page, gateway.url, session(gateway, person))
            page.goto(gateway.url + path)
            page.wait_for_timeout(700)
            take(page, name)


if __name__ == "__main__":
    with chromium() as chosen:
        newest(chosen)
        oldest(chosen)
