"""The admin's page of pictures in a real browser: blurred, ticked, judged, put away."""

import re
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.accounts.acting import session
from tests.browser import Browser
from tests.cast import ADMIN, BOB
from tests.chromium import complaints, log_in
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.judge import GREEN, RED
from tests.prompts import file_of, run, save
from tests.refusals import wait_until
from tests.wire.nsfw.test_nsfw_people import WORK, is_shown

pytestmark = pytest.mark.usefixtures("calm")

PAGE = "/admin/comfyproxy/contentverdict/"


def test_administrator_judges_pictures_with_mouse_and_keyboard(
    strict: Gateway, alice: Client, bob: Client, chromium_page: Page
) -> None:
    red = file_of(run(bob, save("seen", color=RED + 60)))
    green = file_of(run(bob, save("seen", color=GREEN + 60)))
    strict.run(WORK)
    page = chromium_page
    log_in(page, strict.url, session(strict, ADMIN))
    wrong = complaints(page)
    page.goto(f"{strict.url}{PAGE}?user=bob&state=explicit")
    tile = page.get_by_role("listitem").filter(has_text=red["filename"])
    expect(tile).to_contain_text("explicit, ")
    expect(page.get_by_role("listitem").filter(has_text=green["filename"])).to_have_count(0)
    picture = tile.locator("img")
    assert "blur" in picture.evaluate("element => getComputedStyle(element).filter")
    tile.get_by_role("button").click()
    assert picture.evaluate("element => getComputedStyle(element).filter") == "none"
    assert picture.evaluate("element => element.naturalWidth") == 16
    # By the keyboard: tick, approve.
    page.keyboard.press(" ")
    expect(tile.get_by_role("checkbox")).to_be_checked()
    page.keyboard.press("a")
    expect(page.get_by_text("1 tagged as not explicit.")).to_be_visible()
    expect(tile).to_have_count(0)
    page.goto(f"{strict.url}{PAGE}?user=bob&state=tagged")
    expect(tile).to_contain_text("not explicit (tagged)")
    tile.get_by_role("checkbox").check()
    page.get_by_role("button", name="Quarantine").click()
    expect(page.get_by_text("1 put into quarantine.")).to_be_visible()
    wait_until(lambda: not is_shown(bob, red), 7)
    page.goto(f"{strict.url}{PAGE}?state=quarantined")
    tile.get_by_role("checkbox").check()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("1 given back.")).to_be_visible()
    wait_until(lambda: is_shown(bob, red), 7)
    assert wrong == []


def test_page_follows_a_scan(strict: Gateway, chromium_page: Page) -> None:
    page = chromium_page
    log_in(page, strict.url, session(strict, ADMIN))
    page.goto(f"{strict.url}{PAGE}")
    page.get_by_role("button", name="Judge all pictures that are not").click()
    expect(page.locator("#scan")).to_contain_text("running")
    strict.run(WORK)
    expect(page.locator("#scan")).to_contain_text("done", timeout=8000)


def test_person_sees_in_comfyuis_place_why_a_picture_is_not_shown(
    strict: Gateway, alice: Client, chromium_page: Page
) -> None:
    file = file_of(run(alice, save("hidden", color=RED + 70)))
    page = chromium_page
    log_in(page, strict.url, alice.token or "")
    page.goto(f"{strict.url}/account")
    size = page.evaluate(
        """file => new Promise((resolve) => {
            const image = new Image();
            image.onload = () => resolve(image.naturalWidth);
            image.onerror = () => resolve(0);
            image.src = "/view?" + new URLSearchParams(file);
        })""",
        file,
    )
    # Not the picture, which is 16 wide: the sentence.
    assert size == 512


def test_only_who_administrates_sees_the_page(strict: Gateway, bob: Client) -> None:
    answer = Client(strict.url, session(strict, BOB)).get(PAGE)
    assert answer.status_code in (302, 401, 403)


STATES = ["", "explicit", "safe", "unknown", "tagged", "quarantined", "nonsense"]


@pytest.mark.parametrize("state", STATES)
def test_page_shows_each_state_and_takes_any_filter(
    strict: Gateway, alice: Client, state: str
) -> None:
    file = file_of(run(alice, save("stated", color=GREEN + 90)))
    strict.run(WORK)
    browser = Browser(strict.url, session(strict, ADMIN))
    for query in ("", "&user=alice", "&score=1", "&score=x", "&p=9", "&user=%00", "&user=nobody"):
        page = browser.get(f"{PAGE}?state={state}{query}")
        assert page.status_code == 200, query
    shown = browser.get(f"{PAGE}?state={state}&user=alice").text
    assert (file["filename"] in shown) == (state in ("", "safe", "nonsense"))


def approve(browser: Browser, html: str, filename: str) -> str:
    """Tick that picture on a page that was loaded, approve it; what is said then."""
    tile = next(part for part in html.split("<li ") if f">{filename}</a>" in part)
    fields = re.findall(r'name="(file|seen-\d+)" value="([^"]*)"', tile)
    token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]*)"', html)[0]
    data = {name: unescape(value) for name, value in fields}
    browser.post(PAGE, data={**data, "csrfmiddlewaretoken": token, "do": "safe"})
    return browser.get(PAGE).text


@pytest.mark.parametrize("is_known", [True, False], ids=["judged before", "not judged before"])
def test_administrator_does_not_approve_what_took_the_place_of_what_they_saw(
    strict: Gateway, bob: Client, comfy: FakeComfyThread, is_known: bool
) -> None:
    file: dict[str, Any] = file_of(run(bob, save("swapped", color=GREEN + 33)))
    if is_known:
        strict.run(WORK)
    browser = Browser(strict.url, session(strict, ADMIN))
    seen = browser.get(f"{PAGE}?user=bob").text
    target = BytesIO()
    Image.new("RGB", (16, 16), (224, 33 + is_known, 33)).save(target, "PNG")
    path = Path(comfy.base_dir) / "output" / file["subfolder"] / file["filename"]
    path.write_bytes(target.getvalue())
    said = approve(browser, seen, file["filename"])
    assert "0 tagged as not explicit. 1 changed meanwhile" in said
    assert f">{file['filename']}</a>" not in browser.get(f"{PAGE}?user=bob&state=tagged").text
    # Once it was looked at, it is theirs to say.
    said = approve(browser, browser.get(f"{PAGE}?user=bob").text, file["filename"])
    assert "1 tagged as not explicit." in said
