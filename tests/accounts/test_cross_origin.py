"""Another site's page, with this browser's cookie: it changes nothing and logs nobody in."""

import pytest

from tests.accounts.acting import Newcomer, session, with_cookie
from tests.browser import Browser
from tests.cast import ALICE, PASSWORD, Person
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

# Method, address, the status it has when it is let through.
UNSAFE = [
    ("POST", "/mss-login/generate_token", 200),
    ("POST", "/generate_token", 200),
    ("DELETE", "/mss-login/api/tokens", 400),
    ("POST", "/queue", 200),
    ("POST", "/api/interrupt", 200),
    ("POST", "/prompt", 400),
    ("POST", "/upload/image", 400),
]


@pytest.fixture(scope="module")
def person(newcomer: Newcomer) -> Person:
    return newcomer()


@pytest.fixture(scope="module")
def jwt(gateway: Gateway, person: Person) -> str:
    return session(gateway, person)


def foreign_headers() -> list[dict[str, str]]:
    return [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {},
    ]


@pytest.mark.parametrize(("method", "path", "status"), UNSAFE)
def test_a_cookie_counts_only_for_our_own_pages(
    gateway: Gateway,
    jwt: str,
    forwarded: FakeComfyThread,
    method: str,
    path: str,
    status: int,
) -> None:
    for headers in foreign_headers():
        answer = with_cookie(gateway, jwt, **headers).request(method, path, json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_ORIGIN"), headers
    assert [record for record in forwarded.requests if record.method != "GET"] == []
    for own in ({"Sec_Fetch_Site": "same-origin"}, {"Origin": gateway.url}):
        answer = with_cookie(gateway, jwt, **own).request(method, path, json={})
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize(("method", "path", "status"), UNSAFE)
def test_a_bearer_is_not_asked_where_it_comes_from(
    gateway: Gateway, jwt: str, method: str, path: str, status: int
) -> None:
    for headers in foreign_headers():
        client = with_cookie(gateway, jwt, **headers)
        client.headers["Authorization"] = f"Bearer {jwt}"
        assert client.request(method, path, json={}).status_code == status


def test_reading_with_a_cookie_needs_no_origin(gateway: Gateway, jwt: str) -> None:
    for path in ("/mss-login/api/me", "/queue"):
        for headers in foreign_headers():
            assert with_cookie(gateway, jwt, **headers).get(path).status_code == 200


def test_a_bad_cookie_is_401_and_not_a_word_about_origins(gateway: Gateway) -> None:
    for method, path, _ in UNSAFE[3:]:
        answer = with_cookie(gateway, "nonsense").request(method, path, json={})
        assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID")


def test_another_site_logs_nobody_in(gateway: Gateway) -> None:
    """Login CSRF: the victim would work in the attacker's account without noticing."""
    good = {"username": ALICE.username, "password": PASSWORD}
    for headers in foreign_headers()[:-1]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for encoding in ("data", "json"):
            answer = Client(gateway.url).post("/login", headers=named, **{encoding: good})
            assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_ORIGIN")
            assert "Set-Cookie" not in answer.headers


def test_another_site_sees_a_page_that_says_why(gateway: Gateway) -> None:
    answer = Browser(gateway.url).post(
        "/login",
        data={"username": ALICE.username, "password": PASSWORD},
        headers={"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
    )
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert "another site" in answer.text
