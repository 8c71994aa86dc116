"""/mss-login/me/sessions: a person sees and ends their own sessions, and nobody else's."""

import uuid

import pytest

from tests.accounts.acting import Newcomer, app, mint, session
from tests.cast import PASSWORD
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("log_without_secrets")

LIST = "/mss-login/me/sessions"
REVOKE = "/mss-login/me/sessions/revoke"


def ids(client: Client) -> list[str]:
    return [row["jti"] for row in client.get(LIST).json()["sessions"]]


def test_person_sees_each_own_session_and_which_is_this_one(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person, other = newcomer(password=True), newcomer()
    session(gateway, other)
    older = session(gateway, person)
    credentials = {"username": person.username, "password": PASSWORD}
    answer = Client(gateway.url).post(
        "/login", json=credentials, headers={"User-Agent": "Phone 1.0"}
    )
    newer = Client(gateway.url, answer.json()["jwt_token"])
    first, second = newer.get(LIST).json()["sessions"]
    assert set(first) == {
        "jti",
        "created_at_iso",
        "exp_at_iso",
        "last_used_at_iso",
        "ip",
        "user_agent",
        "is_current",
    }
    assert (first["ip"], first["user_agent"], first["is_current"]) == (
        "127.0.0.1",
        "Phone 1.0",
        True,
    )
    assert (second["user_agent"], second["is_current"]) == ("tests", False)
    assert first["created_at_iso"] < first["exp_at_iso"]
    shown = Client(gateway.url, older).get(f"/api{LIST}").json()["sessions"]
    assert [row["is_current"] for row in shown] == [False, True]
    # A token has no session of its own, but its owner has.
    apps = Client(gateway.url, mint(gateway, person)).get(LIST).json()["sessions"]
    assert apps
    assert not any(row["is_current"] for row in apps)


def test_person_ends_one_session_and_it_is_worth_nothing_at_once(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer()
    mine, lost = (Client(gateway.url, session(gateway, person)) for _ in range(2))
    assert lost.get("/mss-login/api/me").status_code == 200
    target = next(row["jti"] for row in lost.get(LIST).json()["sessions"] if row["is_current"])
    assert mine.post(REVOKE, json={"jti": target}).json()["revoked"] == 1
    check_revoked(lost)
    assert target not in ids(mine)
    answer = mine.post(REVOKE, json={"jti": target})
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def check_revoked(client: Client) -> None:
    answer = client.get("/mss-login/api/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_REVOKED")


def test_person_ends_all_other_sessions_and_keeps_this_one(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person, other = newcomer(), newcomer()
    mine, *rest = (Client(gateway.url, session(gateway, person)) for _ in range(4))
    stranger = Client(gateway.url, session(gateway, other))
    assert mine.post(REVOKE, json={"all_others": True}).json()["revoked"] == 3
    for client in rest:
        check_revoked(client)
    assert len(ids(mine)) == 1
    assert stranger.get("/mss-login/api/me").status_code == 200


def test_nobody_ends_the_session_of_another(gateway: Gateway, newcomer: Newcomer) -> None:
    mine, theirs = (Client(gateway.url, session(gateway, newcomer())) for _ in range(2))
    (target,) = ids(theirs)
    foreign, unknown = (mine.post(REVOKE, json={"jti": jti}) for jti in (target, str(uuid.uuid4())))
    assert (foreign.status_code, foreign.json()) == (unknown.status_code, unknown.json())
    assert foreign.status_code == 404
    assert theirs.get("/mss-login/api/me").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"jti": 7},
        {"jti": "x"},
        {"jti": "\0"},
        {"all_others": False},
        {"all_others": "maybe"},
        {"jti": "6f2c1d3e-0000-4000-8000-000000000000", "all_others": True},
        [],
        None,
    ],
    ids=str,
)
def test_person_sends_nonsense_and_no_session_ends(
    body: object, gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer()
    mine, _ = (Client(gateway.url, session(gateway, person)) for _ in range(2))
    answer = mine.post(REVOKE, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert len(ids(mine)) == 2


def test_without_a_token_or_with_a_limited_one_no_session_is_touched(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer()
    client = app(gateway, person)
    for method, path in (("GET", LIST), ("POST", REVOKE)):
        check_refusal(Client(gateway.url).request(method, path, json={}), 401, "AUTH_REQUIRED")
    limited = Client(gateway.url, mint(gateway, person, scopes=["can_access_api"]))
    before = ids(client)
    check_refusal(limited.get(LIST), 403, "PERMISSION_DENIED")
    check_refusal(limited.post(REVOKE, json={"all_others": True}), 403, "PERMISSION_DENIED")
    assert ids(client) == before != []
