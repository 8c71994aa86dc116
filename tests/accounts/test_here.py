"""/account/here: whether a browser is logged in, as the login page asks."""

import requests

from tests.accounts.acting import session
from tests.cast import ALICE
from tests.client import Client
from tests.gateway import Gateway


def here(gateway: Gateway, cookie: str | None = None) -> bool:
    cookies = None if cookie is None else {"jwt_token": cookie}
    answer = requests.get(f"{gateway.url}/account/here", cookies=cookies, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    found: bool = answer.json()["logged_in"]
    return found


def test_browser_hears_whether_it_is_logged_in_and_never_a_refusal(gateway: Gateway) -> None:
    jwt = session(gateway, ALICE)
    assert here(gateway, jwt) is True
    assert here(gateway) is False
    assert here(gateway, "nonsense") is False
    assert here(gateway, jwt + "x") is False


def test_token_in_a_header_is_no_login_of_a_browser(alice: Client) -> None:
    assert alice.get("/account/here").json() == {"logged_in": False}
