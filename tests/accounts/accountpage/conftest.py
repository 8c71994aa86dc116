"""Fixtures of the account page's tests: a person, a page, a device with a fingerprint reader."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.accounts.acting import Newcomer
from tests.cast import Person
from tests.chromium import complaints
from tests.gateway import Gateway


@pytest.fixture
def person(newcomer: Newcomer) -> Person:
    return newcomer(password=True)


@pytest.fixture
def url(gateway: Gateway) -> str:
    """By name: browsers make no passkeys for an address."""
    return f"http://localhost:{gateway.port}"


@pytest.fixture
def page(chromium_page: Page) -> Iterator[Page]:
    """A page that, at the end, has complained about nothing unexpected."""
    found = complaints(chromium_page)
    yield chromium_page
    # The browser names every refusal that a test provokes, by its status.
    assert [text for text in found if "the server responded with a status of 4" not in text] == []


@pytest.fixture
def authenticator(page: Page) -> dict[str, Any]:
    """A device with a fingerprint reader, as far as the browser can tell."""
    tools = page.context.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    made = tools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    return {"tools": tools, **made}
