"""Opening the account page in a test."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.accounts.acting import session
from tests.cast import Person
from tests.chromium import log_in
from tests.gateway import Gateway


def account(page: Page, gateway: Gateway, url: str, person: Person) -> None:
    """Open the account page as this person."""
    log_in(page, url, session(gateway, person))
    page.goto(f"{url}/account")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def section(page: Page, title: str) -> Any:
    return page.get_by_role("region", name=title)
