"""Where a token may stand and which one counts, on the gateway's routes and on ComfyUI's."""

import base64

import pytest

from tests.accounts.acting import Newcomer, mint, session
from tests.cast import PASSWORD, Person
from tests.client import Client, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

ME = "/mss-login/api/me"
# One of the view lane, one of the stream lane.
COMFY = ("/queue", "/extensions")
ALL = (ME, "/api/mss-login/api/me", *COMFY)
BAD = "mss_" + "x" * 43


@pytest.fixture(scope="module")
def person(newcomer: Newcomer) -> Person:
    return newcomer()


@pytest.fixture(scope="module")
def token(gateway: Gateway, person: Person) -> str:
    return mint(gateway, person)


@pytest.fixture(scope="module")
def jwt(gateway: Gateway, person: Person) -> str:
    return session(gateway, person)


def code(
    gateway: Gateway, path: str, *headers: tuple[str, str], params: dict[str, str] | None = None
) -> str:
    """OK, or the code of the refusal."""
    answer = Client(gateway.url).get(path, headers=dict(headers), params=params)
    assert answer.status_code in (200, 401), answer.text
    if answer.status_code == 200:
        return "OK"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    return str(answer.json()["code"])


def bearer(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


def basic(password: str, username: str = "anybody") -> tuple[str, str]:
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return ("Authorization", f"Basic {pair}")


def cookie(token: str) -> tuple[str, str]:
    return ("Cookie", f"theme=dark; jwt_token={token}; x=1")


@pytest.mark.parametrize("path", ALL)
def test_both_kinds_of_token_open_in_a_header_and_in_the_cookie(
    gateway: Gateway, token: str, jwt: str, path: str
) -> None:
    for good in (token, jwt):
        assert code(gateway, path, bearer(good)) == "OK"
        assert code(gateway, path, cookie(good)) == "OK"


@pytest.mark.parametrize("path", ALL)
def test_a_bad_token_in_a_higher_place_is_never_skipped(
    gateway: Gateway, token: str, path: str
) -> None:
    for higher in (bearer(BAD), bearer(""), ("Authorization", "Token abc"), basic(BAD)):
        assert code(gateway, path, higher, cookie(token)) == "TOKEN_INVALID"
        assert code(gateway, path, higher, params={"token": token}) == "TOKEN_INVALID"


@pytest.mark.parametrize("path", COMFY)
def test_query_token_opens_comfyui_routes_between_header_and_cookie(
    gateway: Gateway, token: str, jwt: str, path: str
) -> None:
    for name in ("token", "access_token"):
        assert code(gateway, path, params={name: token}) == "OK"
        assert code(gateway, path, params={name: jwt}) == "OK"
        assert code(gateway, path, cookie(token), params={name: BAD}) == "TOKEN_INVALID"
        assert code(gateway, path, cookie(token), params={name: ""}) == "TOKEN_INVALID"
        assert code(gateway, path, cookie(BAD), params={name: token}) == "OK"
        assert code(gateway, path, bearer(token), params={name: BAD}) == "OK"


def test_query_token_means_nothing_on_the_gateways_own_routes(gateway: Gateway, token: str) -> None:
    for path in ALL[:2]:
        assert code(gateway, path, params={"token": token}) == "AUTH_REQUIRED"
        assert code(gateway, path, bearer(token), params={"token": BAD}) == "OK"
        assert code(gateway, path, cookie(token), params={"access_token": BAD}) == "OK"
    answer = Client(gateway.url).post("/generate_token", params={"token": token}, json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_REQUIRED")


@pytest.mark.parametrize("path", ALL)
def test_basic_takes_an_api_token_and_nothing_else(
    gateway: Gateway, token: str, jwt: str, path: str
) -> None:
    for username in ("", "anybody", "ünïcode"):
        assert code(gateway, path, basic(token, username)) == "OK"
    assert code(gateway, path, bearer(jwt)) == "OK"  # remembered as a good token …
    assert code(gateway, path, basic(jwt)) == "TOKEN_INVALID"  # … and still not good here
    assert code(gateway, path, basic(PASSWORD, "alice")) == "TOKEN_INVALID"
    assert code(gateway, path, ("Authorization", "Basic !!")) == "TOKEN_INVALID"


@pytest.mark.parametrize("path", ALL)
def test_two_authorization_headers_are_refused(gateway: Gateway, token: str, path: str) -> None:
    good = f"Bearer {token}"
    for second in (good, "Bearer x", ""):
        answer = raw_request(
            gateway.url, "GET", path, {"Authorization": good, "authorization": second}
        )
        assert (answer.status, b"TOKEN_INVALID" in answer.body) == (401, True)


@pytest.mark.parametrize("path", ALL)
def test_same_token_in_two_places_counts_once(gateway: Gateway, token: str, path: str) -> None:
    given = (bearer(token), cookie(token))
    assert code(gateway, path, *given, params={"token": token, "access_token": token}) == "OK"


@pytest.mark.parametrize("path", ALL)
def test_no_token_at_all_is_said_so(gateway: Gateway, path: str) -> None:
    assert code(gateway, path) == "AUTH_REQUIRED"
    assert code(gateway, path, ("Cookie", "jwt_token=")) == "AUTH_REQUIRED"
    assert code(gateway, path, ("Cookie", "jwt_token_old=x")) == "AUTH_REQUIRED"


def test_no_token_reaches_comfyui_whatever_its_place(
    gateway: Gateway, token: str, jwt: str, forwarded: FakeComfyThread
) -> None:
    for headers in ((bearer(token),), (basic(token),), (cookie(jwt),), (bearer(jwt), cookie(jwt))):
        for query in (f"token={jwt}&a=1", f"%61ccess_token={token}"):
            Client(gateway.url).get(f"/workflow_templates?{query}", headers=dict(headers))
    Client(gateway.url).get(f"/workflow_templates?a=1&t%6Fken={token}&b=2")
    assert len(forwarded.requests) > 5
    secrets = (token, jwt, basic(token)[1].split()[1])
    for record in forwarded.requests:
        seen = f"{record.path} {record.headers} {record.text}"
        assert not any(secret in seen for secret in secrets)
    assert forwarded.requests[-1].path.endswith("workflow_templates?a=1&b=2")
