"""/register: the one-time setup token makes one owner, once; afterwards there is no such page."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.accounts.acting import SETUP_TOKEN, secrets_in
from tests.browser import Browser
from tests.cast import PASSWORD
from tests.client import Client
from tests.gateway import Gateway

GOOD = {"setup_token": SETUP_TOKEN, "username": "olga", "password": PASSWORD}
RACERS = 5

CLEAR = """
from accounts import models, proofs
models.User.objects.filter(role="owner").delete()
proofs.new_setup_token()
"""
RACED = """
from accounts import models
result = models.User.objects.filter(username__startswith="racer").count()
"""
OWNERS = """
from accounts import models
result = list(models.User.objects.filter(role="owner").values_list("username", flat=True))
"""


@pytest.fixture
def empty(fresh: Gateway) -> Iterator[Gateway]:
    """A gateway without an owner that knows its setup token."""
    fresh.run(CLEAR)
    before = len(fresh.log())
    yield fresh
    assert secrets_in(fresh.log()[before:]) == []
    fresh.run(CLEAR)


def register(gateway: Gateway, **changes: Any) -> requests.Response:
    body = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return Client(gateway.url).post("/register", json=body)


@pytest.mark.parametrize("encoding", ["json", "data"])
@pytest.mark.parametrize("prefix", ["", "new_user_"])
def test_first_visitor_with_the_token_becomes_the_owner(
    empty: Gateway, encoding: str, prefix: str
) -> None:
    body = {
        "setup_token": SETUP_TOKEN,
        f"{prefix}username": "olga",
        f"{prefix}password": PASSWORD,
    }
    answer = Client(empty.url).post("/register", **{encoding: body})
    assert answer.status_code == 200
    assert sorted(answer.json()) == ["jwt_token", "message", "redirect_url"]
    assert f"jwt_token={answer.json()['jwt_token']}; " in answer.headers["Set-Cookie"]
    me = Client(empty.url, answer.json()["jwt_token"]).get("/mss-login/api/me").json()
    assert (me["username"], me["role"]) == ("olga", "owner")


def test_the_page_is_filled_from_the_link_and_leads_in(empty: Gateway) -> None:
    browser = Browser(empty.url)
    answer = browser.submit(
        f"/register?setup_token={SETUP_TOKEN}", username="olga", password=PASSWORD
    )
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert browser.get("/mss-login/api/me").json()["role"] == "owner"


def test_afterwards_it_is_404_and_the_token_is_void(empty: Gateway) -> None:
    assert "Set up" in Browser(empty.url).get("/register").text
    assert register(empty).status_code == 200
    for answer in (
        register(empty, username="eve"),
        register(empty, setup_token="wrong"),
        Client(empty.url).post("/register", json={}),
        Client(empty.url).get("/register"),
        Browser(empty.url).get("/register"),
        Browser(empty.url).post("/register", data=GOOD | {"username": "eve"}),
    ):
        assert (answer.status_code, "NOT_FOUND" in answer.text) == (404, True)
        assert "Set-Cookie" not in answer.headers
    assert empty.run(OWNERS) == ["olga"]


@pytest.mark.parametrize("token", ["", "wrong", SETUP_TOKEN[:-1], SETUP_TOKEN + "2", "ä" * 20])
def test_a_wrong_token_makes_no_owner(empty: Gateway, token: str) -> None:
    answer = register(empty, setup_token=token)
    expected = (400, "BAD_REQUEST") if token == "" else (401, "TOKEN_INVALID")
    assert (answer.status_code, answer.json()["code"]) == expected
    assert "Set-Cookie" not in answer.headers
    assert empty.run(OWNERS) == []
    page = Browser(empty.url).post("/register", data=GOOD | {"setup_token": token})
    assert page.status_code == expected[0]
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert 'role="alert"' in page.text and PASSWORD not in page.text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "two words"}, "username"),
        ({"username": "x" * 151}, "username"),
        ({"username": 5}, "username"),
        ({"username": None}, "username"),
        ({"username": "nul\0"}, "username"),
        ({"password": ""}, "password"),
        ({"password": "short-1"}, "password"),
        ({"password": "12345678901"}, "password"),
        ({"password": "Long-9" + "x" * 1100}, "password"),
        ({"password": ["a"]}, "password"),
        ({"setup_token": None}, "setup_token"),
        ({"setup_token": "x" * 201}, "setup_token"),
    ],
)
def test_a_bad_name_or_password_makes_no_owner_and_keeps_the_token(
    empty: Gateway, changes: dict[str, Any], field: str
) -> None:
    answer = register(empty, **changes)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert answer.json()["field"] == field
    assert empty.run("from accounts import services; result = services.has_owner()") is False
    assert empty.run(
        "from accounts import proofs; result = proofs.check_setup_token(t)", t=SETUP_TOKEN
    )


def test_many_at_once_make_one_owner(empty: Gateway) -> None:
    with ThreadPoolExecutor(RACERS) as pool:
        answers = list(pool.map(lambda n: register(empty, username=f"racer{n}"), range(RACERS)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    for answer in answers:
        if answer is not won[0]:
            # Beaten before the token was checked, while it was, or just after.
            assert (answer.status_code, answer.json()["code"]) in {
                (404, "NOT_FOUND"),
                (401, "TOKEN_INVALID"),
                (409, "OWNER_EXISTS"),
            }
    me = Client(empty.url, won[0].json()["jwt_token"]).get("/mss-login/api/me").json()
    assert empty.run(OWNERS) == [me["username"]]
    assert empty.run(RACED) == 1


def test_another_site_registers_nobody(empty: Gateway) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = Client(empty.url).post("/register", data=GOOD, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_ORIGIN")
    assert empty.run(OWNERS) == []
