"""/logout: the session ends at once, for its cookie and for its token, and only that session."""

import pytest

from tests.accounts.acting import Newcomer, app, browser, mint, session, with_cookie
from tests.browser import Browser
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

ME = "/mss-login/api/me"


def code(client: Client, path: str = ME) -> str:
    """How the client fares: OK, or the code of the refusal."""
    answer = client.get(path)
    return "OK" if answer.status_code == 200 else str(answer.json()["code"])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_browser_logs_out_and_the_token_is_worthless_at_once(
    gateway: Gateway, newcomer: Newcomer, method: str
) -> None:
    person = newcomer()
    jwt = session(gateway, person)
    page, other = Browser(gateway.url, jwt), app(gateway, person)
    thief = Client(gateway.url, jwt)
    # In the server's memory before the logout, on both ways in.
    assert [code(thief), code(thief, "/queue"), code(other)] == ["OK", "OK", "OK"]
    answer = page.request(method, "/logout")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")
    cleared = answer.headers["Set-Cookie"]
    assert cleared.startswith('jwt_token="";') and "Max-Age=0" in cleared
    assert [code(thief), code(thief, "/queue"), code(other)] == [
        "TOKEN_REVOKED",
        "TOKEN_REVOKED",
        "OK",
    ]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_app_logs_out_and_gets_json(gateway: Gateway, newcomer: Newcomer, method: str) -> None:
    client = app(gateway, newcomer())
    answer = client.request(method, "/logout")
    assert (answer.status_code, answer.json()) == (200, {"message": "You are logged out."})
    assert code(client) == "TOKEN_REVOKED"


def test_logout_with_an_api_token_does_not_revoke_it(gateway: Gateway, newcomer: Newcomer) -> None:
    client = Client(gateway.url, mint(gateway, newcomer()))
    assert client.post("/logout").status_code == 200
    assert code(client) == "OK"


def test_logout_without_a_session_still_clears_the_cookie(gateway: Gateway) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Cookie": "jwt_token=nonsense"}):
        answer = Client(gateway.url).get("/logout", headers=headers)
        assert answer.status_code == 200
        assert 'jwt_token="";' in answer.headers["Set-Cookie"]


def test_another_site_cannot_log_anybody_out(gateway: Gateway, newcomer: Newcomer) -> None:
    jwt = session(gateway, newcomer())
    for headers in (
        {"Sec_Fetch_Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {},
    ):
        answer = with_cookie(gateway, jwt, **headers).post("/logout")
        assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_ORIGIN")
        assert "Set-Cookie" not in answer.headers
    assert code(Client(gateway.url, jwt)) == "OK"


def test_logout_ends_the_admin_too(gateway: Gateway, newcomer: Newcomer) -> None:
    admin = browser(gateway, newcomer("admin"))
    assert admin.get("/admin/").status_code == 200
    jwt = admin.cookies["jwt_token"]
    assert admin.get("/admin/logout/").headers["Location"] == "/logout"
    admin.get("/logout")
    again = Browser(gateway.url, jwt).get("/admin/")
    assert again.status_code == 302
