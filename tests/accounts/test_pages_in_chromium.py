"""A real browser obeys the pages' policy: nothing of ours breaks, and nothing foreign runs."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.accounts.acting import Newcomer, session
from tests.cast import PASSWORD, Person
from tests.chromium import complaints, log_in
from tests.gateway import Gateway

USERS = "/admin/accounts/user/"


@pytest.fixture(scope="module")
def admin(newcomer: Newcomer) -> Person:
    return newcomer("admin")


@pytest.fixture
def tab(gateway: Gateway, admin: Person, chromium_page: Page) -> Page:
    """A page whose browser has an admin's session."""
    log_in(chromium_page, gateway.url, session(gateway, admin))
    return chromium_page


def test_person_logs_in_with_the_page_as_it_is(
    gateway: Gateway, newcomer: Newcomer, chromium_page: Page
) -> None:
    person = newcomer("admin", password=True)
    wrong = complaints(chromium_page)
    chromium_page.goto(f"{gateway.url}/admin/")
    chromium_page.get_by_label("User name").fill(person.username)
    chromium_page.get_by_label("Password").fill(PASSWORD)
    chromium_page.get_by_role("button", name="Log in", exact=True).click()
    expect(chromium_page.get_by_role("heading", name="Dashboard")).to_be_visible()
    # The login page asks whether somebody is logged in already; the answer was no.
    assert [text for text in wrong if "401" not in text] == []


def test_person_who_is_logged_in_is_taken_on_from_the_login_page(
    gateway: Gateway, tab: Page
) -> None:
    """A link from another site arrives without the cookie; the login page's script notices."""
    tab.route("**/login?next=**", _without_cookie)
    tab.goto(f"{gateway.url}/login?next=/admin/")
    tab.wait_for_url("**/admin/")


def _without_cookie(route: Route) -> None:
    headers = {k: v for k, v in route.request.headers.items() if k != "cookie"}
    route.fulfill(response=route.fetch(headers=headers | {"cookie": ""}))


def test_admin_pages_raise_no_complaint(
    gateway: Gateway, newcomer: Newcomer, admin: Person, tab: Page
) -> None:
    person = newcomer()
    wrong = complaints(tab)
    tab.goto(f"{gateway.url}{USERS}?q={person.username}")
    tab.get_by_role("link", name=person.username).click()
    change = tab.url
    expect(tab.get_by_label("Username")).to_have_value(person.username)
    tab.get_by_label("Upload pictures and masks").check()
    tab.get_by_role("button", name="Save", exact=True).click()
    expect(tab.locator(".messagelist .success")).to_contain_text("was changed successfully")
    for action in ("history", "password", "delete"):
        tab.goto(re.sub("change/$", f"{action}/", change))
        expect(tab.locator("#content")).to_be_visible()
    for path in (
        "/admin/",
        "/admin/accounts/user/add/",
        "/admin/accounts/role/",
        "/admin/accounts/role/add/",
        "/admin/accounts/session/",
        "/admin/accounts/apitoken/",
        "/admin/accounts/auditentry/",
        "/admin/auth/group/add/",
        "/admin/comfyproxy/routerule/add/",
        "/admin/comfyproxy/promptrecord/",
    ):
        answer = tab.goto(gateway.url + path)
        assert answer is not None and answer.status == 200, path
    # The calendar and the clock beside a date.
    tab.goto(f"{gateway.url}/admin/accounts/iprule/add/")
    tab.locator("#calendarlink0").click()
    expect(tab.locator("#calendarbox0")).to_be_visible()
    tab.locator("#calendarin0 td a").first.click()
    expect(tab.locator("#id_expires_at_0")).not_to_have_value("")
    assert wrong == []


@pytest.mark.parametrize(
    "attack",
    [
        "<script>document.title = 'taken'</script>",
        "<img src='/none' onerror=\"document.title = 'taken'\">",
        "<script src='https://evil.example/x.js'></script>",
        "<base href='https://evil.example/'><img src='x.png'>",
        "<style>body { display: none }</style>",
        "<iframe src='/login'></iframe>",
        "<object data='/mss-login/static/mss/icon.svg'></object>",
    ],
)
def test_attacker_who_writes_into_a_page_runs_nothing(
    gateway: Gateway, chromium_page: Page, attack: str
) -> None:
    def with_attack(route: Route) -> None:
        answer = route.fetch()
        body = answer.text().replace("</main>", f"{attack}</main>")
        route.fulfill(response=answer, body=body)

    chromium_page.route("**/login", with_attack)
    wrong = complaints(chromium_page)
    chromium_page.goto(f"{gateway.url}/login")
    expect(chromium_page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
    assert chromium_page.title() == "Log in"
    assert any("Content Security Policy" in text for text in wrong), wrong


def test_no_page_shows_ours_in_a_frame(gateway: Gateway, chromium_page: Page) -> None:
    """Not even one of ComfyUI's extensions, which are of the same origin."""
    chromium_page.route(
        "**/extension",
        lambda route: route.fulfill(
            body="<iframe src='/login'></iframe>", content_type="text/html"
        ),
    )
    wrong = complaints(chromium_page)
    chromium_page.goto(f"{gateway.url}/extension")
    expect(chromium_page.frame_locator("iframe").locator("body")).to_be_attached()
    assert [frame.url for frame in chromium_page.frames[1:]] == ["chrome-error://chromewebdata/"]
    assert len(wrong) == 1 and "frame-ancestors 'none'" in wrong[0]
