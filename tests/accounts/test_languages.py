"""The pages speak the person's language: as their browser says, or as they chose."""

import re

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.accounts.acting import Newcomer, app, browser, invite, mint, password_link, session
from tests.accounts.factors import audited
from tests.browser import Browser
from tests.cast import ADMIN, ALICE, PASSWORD, Person
from tests.chromium import complaints, log_in
from tests.client import Client
from tests.gateway import Gateway
from tests.mailsink import MailSink
from tests.refusals import check_refusal

CHOOSE = "/account/language"
COOKIE = "mss_language"
AS_SCRIPT = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}
WORDS = {
    "en": "Log in",
    "de": "Anmelden",
    "fr": "Se connecter",
    "es": "Iniciar sesión",
    "zh-hans": "登录",
    "ja": "ログイン",
}
SPOKEN = """
from accounts.models import User
result = User.objects.get(username=username).language
"""


@pytest.fixture
def person(newcomer: Newcomer) -> Person:
    return newcomer(password=True)


def language(page: requests.Response) -> str:
    found = re.search(r'<html lang="([\w-]+)">', page.text)
    assert found is not None, page.text[:200]
    assert page.headers["Content-Language"] == found[1]
    return found[1]


def choose(client: Client, wanted: object, **headers: str) -> requests.Response:
    return client.post(CHOOSE, json={"language": wanted}, headers=AS_SCRIPT | headers)


# --- as the browser says -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("en-GB,en;q=0.9", "en"),
        ("de-CH, de;q=0.9, en;q=0.8", "de"),
        ("fr", "fr"),
        ("es-MX,es", "es"),
        ("zh-CN,zh;q=0.9", "zh-hans"),
        ("zh", "zh-hans"),
        ("ja-JP", "ja"),
        ("tlh, de;q=0.5", "de"),
        ("tlh", "en"),
        ("*", "en"),
        ("../../etc/passwd, <script>", "en"),
        ("de;q=no", "en"),
        ("de," * 2000, "de"),
    ],
)
def test_anybody_is_spoken_to_as_their_browser_says(
    gateway: Gateway, accepted: str, expected: str
) -> None:
    page = Browser(gateway.url).get("/login", headers={"Accept-Language": accepted})
    assert page.status_code == 200
    assert language(page) == expected
    assert f"<title>{WORDS[expected]}</title>" in page.text
    varies = {name.strip() for name in page.headers["Vary"].split(",")}
    assert {"Accept-Language", "Cookie"} <= varies


def test_anybody_without_the_header_is_spoken_to_in_english(gateway: Gateway) -> None:
    assert language(Browser(gateway.url).get("/login")) == "en"


def test_pages_behind_links_speak_it(gateway: Gateway, person: Person) -> None:
    for path in (
        f"/join?invite_token={invite(gateway, ADMIN)}",
        f"/reset?reset_token={password_link(gateway, ADMIN, person)}",
    ):
        page = Browser(gateway.url).get(path, headers={"Accept-Language": "de"})
        assert language(page) == "de"
        assert "Mindestens 8 Zeichen" in page.text


def test_page_of_a_refusal_speaks_it(gateway: Gateway) -> None:
    page = Browser(gateway.url).get("/register", headers={"Accept-Language": "de"})
    assert page.status_code == 404
    assert language(page) == "de"
    assert "<h1>Hier ist nichts</h1>" in page.text
    assert "NOT_FOUND" in page.text


def test_refusal_has_the_language_s_sentence_and_the_same_code(
    gateway: Gateway, person: Person
) -> None:
    wrong = {"username": person.username, "password": "not-this-one-9"}
    german = {"Accept-Language": "de"}
    page = Browser(gateway.url).post("/login", data=wrong, headers=german)
    assert page.status_code == 401
    assert "Benutzername oder Passwort ist falsch." in page.text
    english = Client(gateway.url).post("/login", json=wrong)
    told = Client(gateway.url).post("/login", json=wrong, headers=german)
    assert told.json() == english.json() | {"error": "Benutzername oder Passwort ist falsch."}
    assert (told.status_code, english.status_code) == (401, 401)
    assert english.json()["error"] == "User name or password is wrong."


def test_weak_password_and_dead_link_are_told_in_the_language(gateway: Gateway) -> None:
    french = {"Accept-Language": "fr"}
    token = invite(gateway, ADMIN)
    form = {"invite_token": token, "username": "nouveau", "password": "12345678"}
    page = Browser(gateway.url).post("/join", data=form, headers=french)
    assert page.status_code == 400
    assert "mot de passe" in page.text and "This password" not in page.text
    page = Browser(gateway.url).get("/join?invite_token=nothing", headers=french)
    assert "est plus valable. Demandez-en un nouveau." in page.text


def test_cross_origin_form_is_refused_in_the_language(gateway: Gateway, person: Person) -> None:
    answer = browser(gateway, person).post(
        CHOOSE,
        json={"language": "de"},
        headers={
            "Origin": "https://evil.example",
            "Sec-Fetch-Site": "cross-site",
            "Accept-Language": "es",
        },
    )
    check_refusal(answer, 403, "CROSS_ORIGIN")
    assert answer.json()["error"].startswith("Esta solicitud venía")
    assert gateway.run(SPOKEN, username=person.username) == ""


@pytest.mark.parametrize("path", ["/admin/", "/admin/accounts/user/"])
def test_admin_stays_english(gateway: Gateway, newcomer: Newcomer, path: str) -> None:
    visitor = browser(gateway, newcomer("admin"))
    visitor.cookies.set(COOKIE, "ja")
    page = visitor.get(path, headers={"Accept-Language": "de"})
    assert page.status_code == 200
    assert page.headers["Content-Language"] == "en"
    assert "Users" in page.text


# --- as they chose -------------------------------------------------------------------------


def test_choice_holds_here_and_follows_to_another_browser(gateway: Gateway, person: Person) -> None:
    here = browser(gateway, person)
    page = here.post(CHOOSE, data={"language": "ja"})
    assert (page.status_code, page.headers["Location"]) == (302, "/account")
    kept = next(cookie for cookie in here.cookies if cookie.name == COOKIE)
    assert kept.value == "ja" and kept.expires is not None
    sent = page.headers["Set-Cookie"]
    assert "HttpOnly" in sent and "SameSite=Lax" in sent and "Max-Age=31536000" in sent
    page = here.get("/account", headers={"Accept-Language": "de"})
    assert language(page) == "ja"
    assert '<option value="ja" lang="ja" selected>日本語</option>' in page.text
    assert gateway.run(SPOKEN, username=person.username) == "ja"
    assert audited(gateway, person)[-1] == "user.language"
    # The login page of this browser stays in the language.
    here.get("/logout")
    assert language(here.get("/login")) == "ja"

    elsewhere = Browser(gateway.url)
    form = {"username": person.username, "password": PASSWORD}
    assert elsewhere.post("/login", data=form).status_code == 302
    assert language(elsewhere.get("/account", headers={"Accept-Language": "de"})) == "ja"
    # An app's login leaves the cookie, too: its web view may come later.
    answer = Client(gateway.url).post("/login", json=form)
    assert answer.cookies[COOKIE] == "ja"


def test_choice_can_be_taken_back(gateway: Gateway, person: Person) -> None:
    here = browser(gateway, person)
    assert choose(here, "fr").json() == {"language": "fr"}
    assert choose(here, "").json() == {"language": ""}
    assert COOKIE not in here.cookies
    assert language(here.get("/account", headers={"Accept-Language": "de"})) == "de"
    assert gateway.run(SPOKEN, username=person.username) == ""


@pytest.mark.parametrize("wanted", ["tlh", "DE", "de-CH", "en\n", None, 7, ["de"], {"a": 1}])
def test_unknown_language_is_refused_and_changes_nothing(
    gateway: Gateway, newcomer: Newcomer, wanted: object
) -> None:
    person = newcomer()
    here = browser(gateway, person)
    choose(here, "es")
    answer = choose(here, wanted)
    check_refusal(answer, 400, "BAD_REQUEST", field="language")
    assert "Set-Cookie" not in answer.headers
    assert gateway.run(SPOKEN, username=person.username) == "es"


def test_only_a_login_chooses(gateway: Gateway, person: Person) -> None:
    check_refusal(choose(Client(gateway.url), "de"), 401, "AUTH_REQUIRED")
    token = Client(gateway.url, mint(gateway, person))
    check_refusal(choose(token, "de"), 403, "PERMISSION_DENIED")
    assert gateway.run(SPOKEN, username=person.username) == ""


def test_cookie_of_no_language_is_passed_over(gateway: Gateway) -> None:
    visitor = Browser(gateway.url)
    visitor.cookies.set(COOKIE, "../de")
    assert language(visitor.get("/login", headers={"Accept-Language": "fr"})) == "fr"


def test_guest_chooses_for_their_browser_only(welcoming: Gateway) -> None:
    one, other = Browser(welcoming.url), Browser(welcoming.url)
    for visitor in (one, other):
        assert visitor.post("/login", data={"guest_login": "1"}).status_code == 302
    assert one.post(CHOOSE, data={"language": "de"}).status_code == 302
    page = one.get("/account")
    assert language(page) == "de"
    assert '<option value="de" lang="de" selected>' in page.text
    assert language(other.get("/account")) == "en"
    languages = (
        "from accounts.models import User\n"
        "result = list(User.objects.filter(shared=True).values_list('language', flat=True))"
    )
    assert welcoming.run(languages) == [""]


def test_mail_speaks_the_recipient_s_language(welcoming: Gateway, sink: MailSink) -> None:
    """Their own if they chose one, else that of whoever asks for it."""
    change = (
        "from accounts.models import AccountLink, User\n"
        "User.objects.filter(username=username).update(email='ali@example.org', language=spoken)\n"
        "AccountLink.objects.all().delete()\n"
        "from accounts import tasks\n"
        "tasks.mail_forgotten_password(username, 'http://gateway.example', None, asked)\n"
        "result = None"
    )
    subjects = []
    for spoken, asked in (("de", "fr"), ("", "fr"), ("", None)):
        welcoming.run(change, username=ALICE.username, spoken=spoken, asked=asked)
        subjects.append(str(sink.mails[-1].message["Subject"]))
    assert subjects == [
        "Ein neues Passwort für gateway.example",
        "Un nouveau mot de passe pour gateway.example",
        "A new password for gateway.example",
    ]


# --- what scripts need ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/mss-login/texts.js", "/mss-login/texts.json"])
def test_texts_of_scripts_are_for_everybody_and_always_fresh(gateway: Gateway, path: str) -> None:
    client = Client(gateway.url)
    answer = client.get(path, headers={"Accept-Language": "de"})
    assert answer.status_code == 200
    assert "no-cache" in answer.headers["Cache-Control"]
    assert {"Accept-Language", "Cookie"} <= set(answer.headers["Vary"].split(", "))
    known = {"If-None-Match": answer.headers["ETag"]}
    assert client.get(path, headers=known | {"Accept-Language": "de"}).status_code == 304
    french = client.get(path, headers=known | {"Accept-Language": "fr"})
    assert french.status_code == 200 and french.text != answer.text


def test_catalogue_of_scripts_holds_their_texts(gateway: Gateway) -> None:
    client = Client(gateway.url)
    texts = {
        language: client.get("/mss-login/texts.json", headers={"Accept-Language": language}).json()[
            "catalog"
        ]
        for language in ("de", "zh-CN", "en")
    }
    assert texts["de"]["My queue"] == "Meine Warteschlange"
    assert texts["zh-CN"]["My queue"] == "我的队列"
    assert texts["en"] == {}
    # ComfyUI's page puts /api before what it asks for.
    assert client.get("/api/mss-login/texts.json").json()["catalog"] == {}


def test_person_who_chooses_german_reads_german_everywhere(
    gateway: Gateway, newcomer: Newcomer, chromium_page: Page
) -> None:
    person = newcomer()
    app(gateway, person)  # another session, to be ended
    log_in(chromium_page, gateway.url, session(gateway, person))
    wrong = complaints(chromium_page)
    chromium_page.goto(f"{gateway.url}/account")
    chromium_page.get_by_label("Language of these pages").select_option("de")
    chromium_page.get_by_role("button", name="Change the language").click()
    expect(chromium_page.get_by_role("heading", name="Ihr Konto")).to_be_visible()
    # What the scripts write: lists, names for screen readers, what happened.
    expect(chromium_page.get_by_role("list", name="Ihre Passkeys")).to_have_text("Sie haben keine.")
    sessions = chromium_page.get_by_role("list", name="Ihre Anmeldungen")
    expect(sessions).to_contain_text("zuletzt benutzt:")
    sessions.get_by_role("button", name="Abmelden").click()
    expect(chromium_page.get_by_role("status")).to_have_text("Diese Anmeldung ist beendet.")
    assert wrong == []
