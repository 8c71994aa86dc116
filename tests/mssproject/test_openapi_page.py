"""The page that shows the API, in a real Chromium under the policy of all our pages."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from mssproject.openapi.settings import TAGS
from tests.accounts.test_page_headers import check_headers, inline
from tests.cast import ALICE
from tests.chromium import complaints, log_in
from tests.client import Client
from tests.conftest import People
from tests.gateway import Gateway

DOCS = "/mss-login/api/docs"


def test_page_is_open_to_all_and_holds_nothing_that_the_policy_forbids(anonymous: Client) -> None:
    answer = anonymous.get(DOCS)
    assert (answer.status_code, answer.headers["Content-Language"]) == (200, "en")
    check_headers(answer)
    assert inline(answer.text) == []


def test_developer_reads_and_tries_an_operation_and_no_other_server_hears_of_it(
    gateway: Gateway, people: People, chromium_page: Page
) -> None:
    page = chromium_page
    heard = complaints(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    log_in(page, gateway.url, people.token(ALICE))
    page.goto(gateway.url + DOCS)
    expect(page.get_by_role("heading", name="MSS-Login for Django")).to_be_visible()
    expect(page.locator(".opblock-tag")).to_have_text([re.compile(f"^{name}") for name in TAGS])
    page.locator(".opblock-tag", has_text="Account").click()
    me = page.locator("#operations-Account-get_mss_login_api_me")
    me.locator(".opblock-summary-control").click()
    expect(me.get_by_text("TOKEN_REVOKED").first).to_be_visible()
    me.get_by_role("button", name="Try it out").click()
    me.get_by_role("button", name="Execute").click()
    expect(me.locator(".live-responses-table tbody .response-col_status").first).to_contain_text(
        "200"
    )
    expect(me.locator(".live-responses-table")).to_contain_text('"username": "alice"')
    assert heard == []
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {
        urlsplit(gateway.url).netloc
    }
