"""/account/files: what was replaced or deleted, to be had back by whose it was."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Browser
from tests.chromium import complaints, log_in
from tests.client import Client
from tests.gateway import Gateway
from tests.granted import Given
from tests.refusals import check_refusal
from tests.userdata import address, read, saved

pytestmark = pytest.mark.usefixtures("clean_log")

WHERE = "/account/files"
AS_JSON = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}


@pytest.fixture
def ann(given: Given) -> Client:
    client = given()
    for content in (b"one", b"two", b"three"):
        saved(client, "workflows/a.json", content)
    saved(client, "workflows/gone.json", b"gone")
    client.delete(address("workflows/gone.json"))
    return client


@pytest.fixture
def browser(gateway: Gateway, ann: Client) -> Browser:
    return Browser(gateway.url, ann.token)


def versions(browser: Browser) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = browser.get(WHERE, headers=AS_JSON).json()["versions"]
    return found


def test_user_sees_former_versions_and_has_one_back(ann: Client, browser: Browser) -> None:
    found = versions(browser)
    assert [(each["path"], each["why"], each["size"]) for each in found] == [
        ("workflows/gone.json", "deleted", 4),
        ("workflows/a.json", "replaced", 3),
        ("workflows/a.json", "replaced", 3),
    ]
    page = browser.get(WHERE).text
    assert "workflows/gone.json (deleted)" in page
    assert page.index("gone.json") < page.index("a.json")
    answer = browser.post(WHERE, data={"version": found[0]["version"]})
    assert answer.status_code == 200
    assert "workflows/gone.json is as it was then." in answer.text
    assert read(ann, "workflows/gone.json").content == b"gone"
    answer = browser.post(WHERE, json={"version": found[2]["version"]}, headers=AS_JSON)
    assert answer.json()["file"]["path"] == "workflows/a.json"
    assert read(ann, "workflows/a.json").content == b"one"
    # And what was there until now is a version, too.
    download = browser.get(WHERE, params={"version": versions(browser)[0]["version"]})
    assert download.content == b"three"
    assert download.headers["Content-Disposition"] == 'attachment; filename="a.json"'


def test_user_searches_and_finds(browser: Browser) -> None:
    page = browser.get(WHERE, params={"q": "GONE"}).text
    assert "gone.json" in page and "a.json" not in page.replace("gone.json", "")
    assert "No file was found." in browser.get(WHERE, params={"q": "<nothing>"}).text


def test_nobody_reaches_anothers_versions(browser: Browser, given: Given, gateway: Gateway) -> None:
    other = Browser(gateway.url, given().token)
    assert versions(other) == []
    for found in versions(browser):
        version = {"version": found["version"]}
        check_refusal(other.post(WHERE, json=version, headers=AS_JSON), 404, "NOT_FOUND")
        assert other.get(WHERE, params=version, headers=AS_JSON).status_code == 404


@pytest.mark.parametrize("version", ["", "x", "../..", f"{'0' * 32}.{'0' * 20}-deleted"])
def test_user_asks_for_no_version_and_is_told(browser: Browser, version: str) -> None:
    answer = browser.post(WHERE, data={"version": version})
    assert answer.status_code == 404
    check_refusal(browser.post(WHERE, json={"version": version}, headers=AS_JSON), 404, "NOT_FOUND")


def test_user_who_may_not_change_workflows_restores_none(
    ann: Client, browser: Browser, gateway: Gateway
) -> None:
    version = {"version": versions(browser)[0]["version"]}
    gateway.run(
        "from accounts.models import User\n"
        "user = User.objects.get(namespace=namespace)\nuser.role_id = 'guest'\nuser.save()",
        namespace=ann.namespace,
    )
    answer = browser.post(WHERE, json=version, headers=AS_JSON)
    while answer.status_code == 200:  # the identity is remembered for a moment
        answer = browser.post(WHERE, json=version, headers=AS_JSON)
    check_refusal(answer, 403, "PERMISSION_DENIED", permission="can_modify_workflows")


def test_without_login_the_page_leads_to_it_and_scripts_are_refused(gateway: Gateway) -> None:
    browser = Browser(gateway.url)
    answer = browser.get(WHERE)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login?next=/account/files")
    check_refusal(browser.get(WHERE, headers=AS_JSON), 401, "AUTH_REQUIRED")
    check_refusal(browser.post(WHERE, json={}, headers=AS_JSON), 401, "AUTH_REQUIRED")


def test_other_sites_page_restores_nothing(ann: Client, browser: Browser) -> None:
    found = versions(browser)
    cross = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    for version in found:
        answer = browser.post(WHERE, json={"version": version["version"]}, headers=AS_JSON | cross)
        check_refusal(answer, 403, "CROSS_ORIGIN")
    assert versions(browser) == found


def test_person_restores_in_the_page(ann: Client, gateway: Gateway, chromium_page: Page) -> None:
    log_in(chromium_page, gateway.url, str(ann.token))
    wrong = complaints(chromium_page)
    chromium_page.goto(f"{gateway.url}/account")
    chromium_page.get_by_role("link", name="Former versions of my files").click()
    chromium_page.get_by_role("button", name="Restore workflows/gone.json").click()
    expect(chromium_page.get_by_role("status")).to_have_text(
        "workflows/gone.json is as it was then."
    )
    assert read(ann, "workflows/gone.json").content == b"gone"
    assert wrong == []
