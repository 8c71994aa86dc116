"""/login over the wire: who gets JSON, who gets a page, where it leads, and what it gives away."""

from html import unescape

import jwt as pyjwt
import pytest

from tests.accounts.acting import Newcomer, browser, session
from tests.browser import NAVIGATION, Browser
from tests.cast import ALICE, PASSWORD
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

GOOD = {"username": ALICE.username, "password": PASSWORD}


def cookie_attributes(header: str) -> dict[str, str]:
    """`Set-Cookie` as {attribute in lower case: value}, name and value first."""
    pairs = [part.strip().partition("=") for part in header.split(";")]
    return {"value": pairs[0][2], "name": pairs[0][0]} | {k.lower(): v for k, _, v in pairs[1:]}


# --- the right password -------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["json", "data", "multipart"])
def test_app_logs_in_and_gets_the_token_and_its_cookie(gateway: Gateway, encoding: str) -> None:
    given = {"files": {k: (None, v) for k, v in GOOD.items()}}
    answer = Client(gateway.url).post(
        "/login", **(given if encoding == "multipart" else {encoding: GOOD})
    )
    body = answer.json()
    assert answer.status_code == 200
    assert body == {
        "message": "You are logged in.",
        "jwt_token": body["jwt_token"],
        "redirect_url": "/",
    }
    cookie = cookie_attributes(answer.headers["Set-Cookie"])
    assert cookie.pop("expires")
    assert cookie == {
        "name": "jwt_token",
        "value": body["jwt_token"],
        "httponly": "",
        "samesite": "Strict",
        "path": "/",
        "max-age": str(24 * 3600),
    }
    assert answer.headers["Cache-Control"] == "no-store"
    me = Client(gateway.url, body["jwt_token"]).get("/mss-login/api/me").json()
    assert (me["username"], me["auth"]) == (ALICE.username, "session")


def test_app_sends_the_body_in_chunks_and_is_logged_in(gateway: Gateway) -> None:
    chunks = iter([b'{"username":"alice",', f'"password":"{PASSWORD}"}}'.encode()])
    answer = Client(gateway.url).post(
        "/login", data=chunks, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200


def test_browser_posts_the_form_and_goes_where_it_wanted(gateway: Gateway) -> None:
    browser = Browser(gateway.url)
    answer = browser.submit("/login?next=/view%3Fa%3D1", username="alice", password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/view?a=1")
    assert answer.text == ""
    assert browser.get("/mss-login/api/me").json()["username"] == "alice"


def test_name_is_taken_in_any_case(gateway: Gateway) -> None:
    body = {"username": "ALICE", "password": PASSWORD}
    jwt = Client(gateway.url).post("/login", json=body).json()["jwt_token"]
    assert Client(gateway.url, jwt).get("/mss-login/api/me").json()["username"] == "alice"


@pytest.mark.parametrize("planted", ["another's", "own", "nonsense"])
def test_cookie_from_before_the_login_is_not_what_the_login_yields(
    gateway: Gateway, newcomer: Newcomer, planted: str
) -> None:
    """Whoever put it there knows that one, and must not know what comes of it."""
    attacker = session(gateway, newcomer())
    before = {"another's": attacker, "own": session(gateway, ALICE), "nonsense": "known"}[planted]
    page = Browser(gateway.url, before)
    answer = page.submit("/login", username=ALICE.username, password=PASSWORD)
    assert answer.status_code == 302
    (after,) = [cookie.value for cookie in answer.cookies if cookie.name == "jwt_token"]
    assert after is not None and jti(after) not in (jti(attacker), jti(before))
    assert Client(gateway.url, after).get("/mss-login/api/me").json()["username"] == ALICE.username
    # What was planted stands for whom it stood before, or nobody.
    old = Client(gateway.url, before).get("/mss-login/api/me").json()
    assert old.get("username") != ALICE.username or planted == "own"
    assert Client(gateway.url, attacker).get("/mss-login/api/me").json()["username"] != "alice"


def test_every_login_is_a_session_of_its_own(gateway: Gateway) -> None:
    made = [Client(gateway.url).post("/login", json=GOOD).json()["jwt_token"] for _ in range(2)]
    assert jti(made[0]) != jti(made[1])


def jti(token: str) -> str:
    try:
        return str(pyjwt.decode(token, options={"verify_signature": False})["jti"])
    except pyjwt.DecodeError:
        return "none"


# --- who gets HTML ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        (NAVIGATION, True),
        ({"Accept": "text/html"}, True),
        ({"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}, True),
        ({"Accept": "text/html, application/json"}, False),
        ({"Accept": "application/json"}, False),
        ({"Accept": "image/png"}, False),
        ({"Accept": "*/*"}, False),
        ({"Sec-Fetch-Mode": "cors"}, False),
    ],
)
def test_pages_are_for_browsers_and_json_for_all_others(
    gateway: Gateway, headers: dict[str, str], page: bool
) -> None:
    refused = Client(gateway.url).post("/login", data={"username": "eve"}, headers=headers)
    assert refused.status_code == 400
    if page:
        assert refused.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "password: This field is required." in refused.text
    else:
        assert refused.json() == {
            "error": "password: This field is required.",
            "code": "BAD_REQUEST",
            "field": "password",
        }


def test_form_comes_again_with_the_name_and_the_goal_but_not_the_password(
    gateway: Gateway,
) -> None:
    page = Browser(gateway.url).submit(
        "/login?next=/view", username='<b>"eve', password="my-wrong-guess-1"
    )
    assert page.status_code == 401
    assert 'value="&lt;b&gt;&quot;eve"' in page.text
    assert 'name="next" value="/view"' in page.text
    assert "my-wrong-guess-1" not in page.text and '<b>"eve' not in page.text


def test_login_page_of_somebody_logged_in_says_who(gateway: Gateway) -> None:
    assert "<strong>alice</strong>" in browser(gateway, ALICE).get("/login").text
    assert "<strong>" not in Browser(gateway.url).get("/login").text


# --- next ---------------------------------------------------------------------------------

FOREIGN = (
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "http:///evil.example",
    "//[",
    "/" + "x" * 5000,
    "",
)


@pytest.mark.parametrize("wanted", FOREIGN)
def test_a_foreign_goal_is_forgotten(gateway: Gateway, wanted: str) -> None:
    form = Browser(gateway.url).get("/login", params={"next": wanted})
    assert 'name="next" value="/"' in form.text
    again = Browser(gateway.url).post("/login", data={"next": wanted})
    assert 'name="next" value="/"' in again.text


@pytest.mark.parametrize("wanted", ["/", "/view?filename=a%20b.png&type=output", "/a#b", "/é?ü"])
def test_a_path_of_ours_is_remembered(gateway: Gateway, wanted: str) -> None:
    form = Browser(gateway.url).get("/login", params={"next": wanted})
    assert f'name="next" value="{wanted}"' in unescape(form.text)


def test_nobody_is_sent_to_another_site_after_the_login(gateway: Gateway) -> None:
    foreign = "/\\evil.example"
    page = Browser(gateway.url).post("/login", data=GOOD | {"next": foreign})
    assert (page.status_code, page.headers["Location"]) == (302, "/")
    app = Client(gateway.url).post("/login", json=GOOD | {"next": foreign})
    assert app.json()["redirect_url"] == "/"
    in_query = Client(gateway.url).post("/login", params={"next": foreign}, json=GOOD)
    assert in_query.json()["redirect_url"] == "/"


def test_app_is_told_the_goal_it_asked_for_unless_that_is_no_text(gateway: Gateway) -> None:
    goals = {}
    for wanted in ("/view?a=1", 5, ["/view"]):
        answer = Client(gateway.url).post("/login", json=GOOD | {"next": wanted})
        goals[str(wanted)] = answer.json()["redirect_url"]
    assert goals == {"/view?a=1": "/view?a=1", "5": "/", "['/view']": "/"}


# --- the wrong password --------------------------------------------------------------------

DISABLE = """
from accounts import models, services
services.set_active(models.User.objects.get(username=username), False, actor=None)
"""


def test_unknown_wrong_and_disabled_get_one_and_the_same_answer(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    disabled = newcomer(password=True)
    gateway.run(DISABLE, username=disabled.username)
    attempts = [
        {"username": "nobody-of-that-name", "password": PASSWORD},
        {"username": ALICE.username, "password": "wrong-Password-1"},
        {"username": disabled.username, "password": PASSWORD},
    ]
    for path in ("/login", "/mss-login/generate_token"):
        answers = [Client(gateway.url).post(path, json=body) for body in attempts]
        for answer in answers:
            assert answer.status_code == 401
            assert answer.json() == {
                "error": "User name or password is wrong.",
                "code": "INVALID_CREDENTIALS",
            }
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert "Set-Cookie" not in answer.headers
        assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1


COUNT_HASHES = """
from unittest import mock
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import RequestFactory
from accounts import errors, login
def hashes(username):
    with (
        mock.patch.object(Argon2PasswordHasher, "encode", return_value="argon2$x") as made,
        mock.patch.object(Argon2PasswordHasher, "verify", return_value=False) as checked,
    ):
        try:
            login.check_password(RequestFactory().get("/"), username, "wrong-Password-1")
        except errors.InvalidCredentials:
            return made.call_count + checked.call_count
result = [hashes(username) for username in names]
"""


def test_unknown_name_costs_as_much_time_as_a_wrong_password(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    """Counted, not measured: one password is hashed whoever is named."""
    disabled = newcomer(password=True)
    gateway.run(DISABLE, username=disabled.username)
    names = ["nobody-of-that-name", ALICE.username, disabled.username]
    assert gateway.run(COUNT_HASHES, names=names) == [1, 1, 1]


def test_guest_login_is_off(gateway: Gateway) -> None:
    for body in ({"guest_login": True}, {"guest_login": True, **GOOD}):
        answer = Client(gateway.url).post("/login", json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "PERMISSION_DENIED")
        assert "Set-Cookie" not in answer.headers


def test_other_methods_are_refused_as_json(gateway: Gateway) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        answer = Client(gateway.url).request(method, "/login", json=GOOD)
        assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
