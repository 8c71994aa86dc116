"""Passkeys on the account page, in a real Chromium."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.accounts.accountpage.opening import account, section
from tests.accounts.factors import audited, enrol, password_step
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")


def add_passkey(page: Page, name: str) -> list[str]:
    """Add one on the open account page; the backup codes that came with it."""
    part = section(page, "Passkeys")
    part.get_by_label("Name of the new passkey").fill(name)
    part.get_by_role("button", name="Add a passkey").click()
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Confirm").click()
    # Its name is in the list before the codes are shown.
    expect(page.get_by_role("status")).to_contain_text("The passkey is added")
    expect(part.get_by_role("listitem").filter(has_text=name)).to_be_visible()
    codes = page.locator("#new-codes")
    return codes.inner_text().split() if codes.is_visible() else []


@pytest.mark.usefixtures("authenticator")
def test_person_adds_a_passkey_and_logs_in_without_a_password(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    account(page, gateway, url, person)
    codes = add_passkey(page, "My laptop")
    assert len(codes) == 10
    assert "mfa.enabled" in audited(gateway, person)
    page.goto(f"{url}/logout")
    page.goto(f"{url}/login?next=/account")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    expect(section(page, "Passkeys")).to_contain_text("last used")


@pytest.mark.usefixtures("authenticator")
def test_passkey_is_the_second_factor_of_a_password(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    account(page, gateway, url, person)
    codes = add_passkey(page, "My key")
    waiting = password_step(gateway, person)
    assert waiting["methods"] == ["passkey", "backup_code"]
    page.goto(f"{url}/logout")
    page.goto(f"{url}/login?next=/account")
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()

    # It proves the person again: for a token, for new codes, for its own removal.
    part = section(page, "API tokens")
    part.get_by_label("What is it for?").fill("Tablet")
    part.get_by_role("button", name="Create a token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Use a passkey").click()
    expect(part.locator("#token-text")).to_have_text(re.compile("^mss_"))
    section(page, "Passkeys").get_by_role("button", name="Remove My key").click()
    dialog.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("status")).to_have_text("The passkey is removed.")
    # The last second factor takes its backup codes along.
    assert "jwt_token" in password_step(gateway, person)
    enrol(gateway, person)
    temp = password_step(gateway, person)["mfa_temp_token"]
    body = {"mfa_temp_token": temp, "backup_code": codes[0]}
    assert Client(gateway.url).post("/mss-login/api/mfa/verify", json=body).status_code == 400


def test_passkey_made_for_one_name_is_refused_under_another(
    gateway: Gateway, url: str, page: Page, person: Person, authenticator: dict[str, Any]
) -> None:
    account(page, gateway, url, person)
    add_passkey(page, "My laptop")
    page.goto(f"{url}/logout")
    # A page of another origin gets an answer signed, and plays it to the gateway.
    anonymous = Client(gateway.url)
    options = {"Host": f"localhost:{gateway.port}"}
    begun = anonymous.post("/mss-login/api/passkeys/login-options", json={}, headers=options)
    page.goto(f"{url}/login")
    answer = page.evaluate(
        """async (options) => (await import("/mss-login/static/mss/passkey.js"))
             .passkeys.get(options)""",
        begun.json()["options"],
    )
    body = {"mfa_temp_token": begun.json()["mfa_temp_token"], "passkey": answer}
    elsewhere = {"Host": "localhost:1"}
    refused = anonymous.post("/mss-login/api/passkeys/login", json=body, headers=elsewhere)
    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_CODE")
    # And a challenge works once, right or wrong.
    again = anonymous.post("/mss-login/api/passkeys/login", json=body, headers=options)
    assert (again.status_code, again.json()["code"]) == (401, "TOKEN_INVALID")


def test_passkey_without_fingerprint_is_no_login_of_its_own(
    gateway: Gateway, url: str, page: Page, person: Person, authenticator: dict[str, Any]
) -> None:
    account(page, gateway, url, person)
    add_passkey(page, "My key")
    page.goto(f"{url}/logout")
    authenticator["tools"].send(
        "WebAuthn.setUserVerified",
        {"authenticatorId": authenticator["authenticatorId"], "isUserVerified": False},
    )
    page.goto(f"{url}/login")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("The passkey was not used.")


@pytest.mark.usefixtures("authenticator")
def test_passkey_of_a_disabled_person_opens_nothing(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    account(page, gateway, url, person)
    add_passkey(page, "My laptop")
    gateway.run(
        "from accounts import models, services\n"
        "user = models.User.objects.get(username=username)\n"
        "services.set_active(user, False, actor=None)\nresult = None",
        username=person.username,
    )
    page.goto(f"{url}/login")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("alert")).to_have_text("This passkey was not accepted.")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"id": 7},
        {"id": "x", "rawId": "x", "type": "public-key", "response": {}},
        {"id": "x", "rawId": "!", "type": "public-key", "response": {"clientDataJSON": "é"}},
        {"id": None, "rawId": [], "type": {}, "response": "x"},
        {
            "id": "AAAA",
            "rawId": "AAAA",
            "type": "public-key",
            "response": {
                "clientDataJSON": "AAAA",
                "authenticatorData": "AAAA",
                "signature": "AAAA",
            },
            "clientExtensionResults": {},
        },
    ],
)
def test_forged_passkey_answers_are_refused(gateway: Gateway, answer: dict[str, Any]) -> None:
    client = Client(gateway.url)
    client.headers["Host"] = f"localhost:{gateway.port}"
    begun = client.post("/mss-login/api/passkeys/login-options", json={}).json()
    body = {"mfa_temp_token": begun["mfa_temp_token"], "passkey": answer}
    refused = client.post("/mss-login/api/passkeys/login", json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_CODE")
    row = gateway.run(
        "from accounts.models import AuditEntry\n"
        "row = AuditEntry.objects.first()\n"
        "result = [row.event, row.details, row.ip]"
    )
    assert row == ["login.failed", {"by": "passkey"}, "127.0.0.1"]


def test_an_address_has_no_passkeys_and_says_so(gateway: Gateway) -> None:
    answer = Client(gateway.url).post("/mss-login/api/passkeys/login-options", json={})
    assert (answer.status_code, answer.json()["code"]) == (400, "NO_HOST_NAME")


def test_another_site_begins_no_passkey_login(gateway: Gateway) -> None:
    for path in ("login-options", "login"):
        answer = Client(gateway.url).post(
            f"/mss-login/api/passkeys/{path}", json={}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_ORIGIN")
