"""The account page and the second factor's page, in a real Chromium."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.accounts.accountpage.opening import account, section
from tests.accounts.acting import app, browser, mint, session
from tests.accounts.factors import App, enrol, password_step
from tests.cast import PASSWORD, Person
from tests.chromium import log_in
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

NEW_PASSWORD = "another-Horse-8-staple"


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
