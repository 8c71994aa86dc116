"""The account page, the second factor's page and passkeys, in a real Chromium."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.accounts.acting import Newcomer, app, browser, mint, session
from tests.accounts.factors import App, audited, enrol, password_step
from tests.cast import PASSWORD, Person
from tests.chromium import complaints, log_in
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

NEW_PASSWORD = "another-Horse-8-staple"


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


def account(page: Page, gateway: Gateway, url: str, person: Person) -> None:
    """Open the account page as this person."""
    log_in(page, url, session(gateway, person))
    page.goto(f"{url}/account")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def section(page: Page, title: str) -> Any:
    return page.get_by_role("region", name=title)


# --- who one is ---------------------------------------------------------------------------


def test_person_without_login_is_sent_to_it_and_back(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    page.goto(f"{url}/account")
    assert urlsplit(page.url).path == "/login"
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    expect(page.get_by_text(f"You are {person.username}, User")).to_be_visible()
    expect(page.get_by_role("link", name="Administration")).to_have_count(0)


def test_old_address_of_tokens_leads_to_their_section(gateway: Gateway, person: Person) -> None:
    answer = browser(gateway, person).get("/mss-login/generate_token")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/account#tokens")
    assert browser(gateway, person).get("/account").headers["Cache-Control"] == "no-store"


def test_token_in_a_header_opens_no_account_page(gateway: Gateway, person: Person) -> None:
    for token in (session(gateway, person), mint(gateway, person)):
        answer = Client(gateway.url, token).get("/account", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/login?next=/account")


# --- password -----------------------------------------------------------------------------


def test_person_changes_the_password_and_stays_in_here_only(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    elsewhere = app(gateway, person)
    script = Client(gateway.url, mint(gateway, person, label="script"))
    account(page, gateway, url, person)
    part = section(page, "Password")
    part.get_by_label("Present password").fill("not-this-one-9")
    part.get_by_label("New password").fill(NEW_PASSWORD)
    part.get_by_role("button", name="Change").click()
    expect(page.get_by_role("alert").first).to_have_text("User name or password is wrong.")
    assert elsewhere.get("/mss-login/api/me").status_code == 200

    part.get_by_label("Present password").fill(PASSWORD)
    part.get_by_label("New password").fill("password")
    part.get_by_role("button", name="Change").click()
    expect(page.get_by_role("alert").first).to_contain_text("too common")

    part.get_by_label("New password").fill(NEW_PASSWORD)
    part.get_by_role("button", name="Change").click()
    expect(page.get_by_role("status")).to_contain_text("Your password is changed.")
    assert elsewhere.get("/mss-login/api/me").status_code == 401
    assert script.get("/mss-login/api/me").status_code == 401
    # This browser goes on, with a session that is a new one.
    page.reload()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    body = {"username": person.username, "password": NEW_PASSWORD}
    assert Client(gateway.url).post("/login", json=body).status_code == 200


def test_tokens_stay_if_the_person_says_so(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    script = Client(gateway.url, mint(gateway, person))
    account(page, gateway, url, person)
    part = section(page, "Password")
    part.get_by_label("Present password").fill(PASSWORD)
    part.get_by_label("New password").fill(NEW_PASSWORD)
    part.get_by_label("Keep my API tokens working").check()
    part.get_by_role("button", name="Change").click()
    expect(page.get_by_role("status")).to_contain_text("Your password is changed.")
    assert script.get("/mss-login/api/me").status_code == 200


# --- second factor ------------------------------------------------------------------------


def test_person_sets_an_app_up_then_logs_in_with_it(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    account(page, gateway, url, person)
    part = section(page, "Second factor")
    expect(part).to_contain_text("Off.")
    part.get_by_role("button", name="Set up an authenticator app").click()
    secret = part.locator("#secret")
    expect(secret).to_have_text(re.compile("^[A-Z2-7]{32}$"))
    expect(part.locator("#qr svg")).to_be_visible()
    codes = part.locator("#setup-codes").inner_text().split()
    assert len(codes) == 10
    phone = App(secret.inner_text())
    part.get_by_label("Code that the app shows").fill(phone.wrong())
    part.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("alert").first).to_contain_text("The code is wrong")
    part.get_by_label("Code that the app shows").fill(phone.code())
    part.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("status")).to_contain_text("Your second factor is on.")
    expect(section(page, "Second factor")).to_contain_text("10 unused backup codes")

    page.goto(f"{url}/logout")
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    assert urlsplit(page.url).path == "/mfa"
    page.get_by_label("Code of your authenticator app").fill(phone.wrong())
    page.get_by_role("button", name="Log in").first.click()
    expect(page.get_by_role("alert")).to_contain_text("The code is wrong")
    page.get_by_label("Code of your authenticator app").fill(phone.code())
    page.get_by_role("button", name="Log in").first.click()
    page.wait_for_url(f"{url}/")
    assert [c for c in page.context.cookies() if c["name"] == "mss_mfa"] == []

    # Once more, with a backup code; to where the person wanted to go.
    page.goto(f"{url}/logout")
    page.goto(f"{url}/account")
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_text("Use a backup code").click()
    page.get_by_label("Backup code").fill(codes[4])
    page.get_by_role("button", name="Log in").last.click()
    expect(section(page, "Second factor")).to_contain_text("9 unused backup codes")


def test_person_who_must_have_one_sets_it_up_while_logging_in(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    gateway.run(
        "from accounts.models import User\n"
        "result = User.objects.filter(username=username).update(mfa_required=True)",
        username=person.username,
    )
    page.goto(f"{url}/login?next=/account")
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("button", name="Begin").click()
    phone = App(page.locator("#secret").inner_text())
    assert len(page.locator("#codes").inner_text().split()) == 10
    page.get_by_label("Code", exact=True).fill(phone.wrong())
    page.get_by_role("button", name="Turn on").click()
    # The key is still there, the codes were shown once.
    expect(page.locator("#secret")).to_have_text(phone.secret)
    expect(page.locator("#codes")).to_have_count(0)
    page.get_by_label("Code", exact=True).fill(phone.code())
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    expect(page.get_by_role("button", name="Turn off")).to_have_count(0)


def test_person_makes_new_codes_and_turns_it_off(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    phone = enrol(gateway, person)
    account(page, gateway, url, person)
    part = section(page, "Second factor")
    dialog = page.get_by_role("dialog", name="Confirm that it is you")
    part.get_by_role("button", name="Make new backup codes").click()
    dialog.get_by_label("Code of your app, or a backup code").fill(phone.wrong())
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The code is wrong")
    dialog.get_by_label("Code of your app, or a backup code").fill(phone.backup_codes[0])
    dialog.get_by_role("button", name="Confirm").click()
    expect(part.locator("#new-codes")).to_be_visible()
    assert phone.backup_codes[1] not in part.locator("#new-codes").inner_text()

    part.get_by_role("button", name="Turn off").click()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    part.get_by_role("button", name="Turn off").click()
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_label("Code of your app, or a backup code").fill(phone.code())
    dialog.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("status")).to_have_text("Your second factor is off.")
    assert "jwt_token" in password_step(gateway, person)


# --- passkeys -----------------------------------------------------------------------------


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


# --- sessions and tokens ------------------------------------------------------------------


def test_person_sees_and_ends_sessions(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    one, two = app(gateway, person), app(gateway, person)
    account(page, gateway, url, person)
    part = section(page, "Where you are logged in")
    expect(part.get_by_role("listitem")).to_have_count(3)
    expect(part.get_by_role("listitem").filter(has_text="(this one)")).to_have_count(1)
    part.get_by_role("button", name="Log out tests").first.click()
    expect(page.get_by_role("status")).to_have_text("That session has ended.")
    statuses = sorted(client.get("/mss-login/api/me").status_code for client in (one, two))
    assert statuses == [200, 401]
    part.get_by_role("button", name="Log out everywhere else").click()
    expect(part.get_by_role("listitem")).to_have_count(1)
    assert one.get("/mss-login/api/me").status_code == 401
    assert two.get("/mss-login/api/me").status_code == 401


def test_person_makes_a_token_copies_it_once_and_revokes_it(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    account(page, gateway, url, person)
    part = section(page, "API tokens")
    part.get_by_label("What is it for?").fill('<b>"phone"</b>')
    part.get_by_label("Works for").select_option("a year")
    part.get_by_text("Limit what it can do").click()
    part.get_by_label("Upload pictures and masks").uncheck()
    part.get_by_role("button", name="Create a token").click()
    expect(page.get_by_role("status")).to_have_text("The token is made. Copy it now.")
    token = part.locator("#token-text").inner_text()
    part.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == token
    me = Client(gateway.url, token).get("/mss-login/api/me").json()
    assert me["permissions"]["can_run"] and not me["permissions"]["can_upload"]

    page.reload()
    assert token not in page.content()
    entry = section(page, "API tokens").get_by_role("listitem")
    expect(entry).to_contain_text('<b>"phone"</b>')
    entry.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_have_text("The token is revoked.")
    assert Client(gateway.url, token).get("/mss-login/api/me").status_code == 401


# --- for everybody ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/account", "/login", "/mfa"])
def test_pages_fit_a_small_phone(
    gateway: Gateway, url: str, page: Page, person: Person, path: str
) -> None:
    phone = enrol(gateway, person)
    mint_with(gateway, person, phone)
    page.set_viewport_size({"width": 320, "height": 640})
    if path == "/mfa":
        page.goto(f"{url}/login")
        page.get_by_label("User name").fill(person.username)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in", exact=True).click()
    else:
        log_in(page, url, session(gateway, person))
        page.goto(url + path)
    page.wait_for_load_state("networkidle")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 320
    # Big enough for a thumb (WCAG 2.2, 2.5.8: 24 CSS pixels).
    for control in page.locator("button:visible, input:visible:not([type=checkbox])").all():
        box = control.bounding_box()
        assert box is not None and box["height"] >= 24, control


def mint_with(gateway: Gateway, person: Person, phone: App) -> None:
    waiting = app(gateway, person).post(
        "/mss-login/generate_token", json={"label": "a-rather-long-label-" * 4}
    )
    body = {"mfa_temp_token": waiting.json()["mfa_temp_token"], "code": phone.code()}
    assert Client(gateway.url).post("/mss-login/generate_token", json=body).status_code == 200


def test_every_control_has_a_name_for_screen_readers(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    phone = enrol(gateway, person)
    mint_with(gateway, person, phone)
    account(page, gateway, url, person)
    page.wait_for_load_state("networkidle")
    tools = page.context.new_cdp_session(page)
    nodes = tools.send("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "textbox", "checkbox", "combobox", "link")
    controls = [n for n in nodes if n.get("role", {}).get("value") in roles and not n["ignored"]]
    assert len(controls) > 12
    assert [n for n in controls if not n.get("name", {}).get("value", "").strip()] == []
    levels = page.locator("h1, h2").evaluate_all("all => all.map((one) => one.tagName)")
    assert levels[0] == "H1" and levels.count("H1") == 1


def test_person_does_it_all_with_the_keyboard(
    gateway: Gateway, url: str, page: Page, person: Person
) -> None:
    account(page, gateway, url, person)
    page.wait_for_load_state("networkidle")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "document.activeElement.id || document.activeElement.textContent.trim()"
        )
        reached.append(name)
        if name == "Create a token":
            break
    for control in ("current", "new", "mfa-begin", "passkey-name", "label", "hours"):
        assert control in reached, reached
    assert reached[-1] == "Create a token"
    page.get_by_label("What is it for?").focus()
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    expect(page.locator("#token-text")).to_have_text(re.compile("^mss_"))
    # The focus went to the button that copies.
    assert page.evaluate("document.activeElement.id") == "token-copy"


def test_mfa_page_without_a_login_that_waits_leads_to_the_login(
    gateway: Gateway, url: str, page: Page
) -> None:
    page.goto(f"{url}/mfa")
    assert urlsplit(page.url).path == "/login"
    for body in ({"code": "123456"}, {"begin": "1"}):
        answer = Client(gateway.url).post("/mfa", data=body)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/login")
    forged = Client(gateway.url).post("/mfa", data={"code": "1"}, headers={"Cookie": "mss_mfa=x"})
    assert (forged.status_code, forged.headers["Location"]) == (302, "/login")


def test_another_site_cannot_post_the_code_page(gateway: Gateway, person: Person) -> None:
    phone = enrol(gateway, person)
    temp = password_step(gateway, person)["mfa_temp_token"]
    for path in ("/mfa", "/mfa/passkey"):
        answer = Client(gateway.url).post(
            path,
            data={"code": phone.code()},
            headers={"Cookie": f"mss_mfa={temp}", "Origin": "https://evil.example"},
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_ORIGIN")
