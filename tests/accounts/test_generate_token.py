"""POST generate_token: who gets an API token, how long it lives and what it may do."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.accounts.acting import Newcomer, app, mint, session, with_cookie
from tests.cast import ALICE, PASSWORD
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

PATH = "/mss-login/generate_token"
TOKENS = "/mss-login/api/tokens"
MAX_HOURS = 8760.0


@pytest.fixture(scope="module")
def user(gateway: Gateway, newcomer: Newcomer) -> Client:
    """An account of this module's own, with a session."""
    return app(gateway, newcomer())


def count(client: Client) -> int:
    return len(client.get(TOKENS).json()["tokens"])


@pytest.mark.parametrize(("path", "encoding"), [(PATH, "json"), ("/generate_token", "data")])
def test_app_exchanges_its_password_for_a_token(gateway: Gateway, path: str, encoding: str) -> None:
    body = {"username": ALICE.username, "password": PASSWORD, "label": "my phone"}
    made = Client(gateway.url).post(path, **{encoding: body})
    assert made.status_code == 200
    answer = made.json()
    expires = datetime.fromisoformat(answer.pop("expires_at"))
    assert abs(expires - datetime.now(UTC) - timedelta(hours=720)) < timedelta(minutes=1)
    assert expires.tzinfo is not None
    token = answer.pop("token")
    assert answer.pop("created_at")
    assert answer == {
        "message": "Keep this token; it is shown only now.",
        "jwt_token": token,
        "token_hash_prefix": answer["token_hash_prefix"],
        "label": "my phone",
        "scopes": None,
        "networks": [],
        "in_path": False,
        "expires_in_hours": 720.0,
        "last_used_at": None,
        "last_used_ip": None,
    }
    assert "Set-Cookie" not in made.headers
    me = Client(gateway.url, token).get("/mss-login/api/me").json()
    assert (me["username"], me["auth"], me["scopes"]) == ("alice", "api_token", None)


@pytest.mark.parametrize("path", [PATH, "/generate_token", "/api/mss-login/generate_token"])
def test_every_spelling_of_the_address_mints(user: Client, path: str) -> None:
    assert user.post(path, json={"label": path}).json()["label"] == path


def test_session_mints_by_header_and_by_its_own_pages_cookie(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    jwt = session(gateway, newcomer())
    page = with_cookie(gateway, jwt, Sec_Fetch_Site="same-origin")
    for client in (Client(gateway.url, jwt), page):
        assert client.post(PATH).status_code == 200
    assert count(Client(gateway.url, jwt)) == 2


def test_token_itself_is_stored_nowhere(gateway: Gateway, newcomer: Newcomer) -> None:
    token = mint(gateway, newcomer())
    files = [path for path in gateway.data_dir.rglob("*") if path.is_file()]
    holders = [path.name for path in files if token.encode() in path.read_bytes()]
    assert any(path.name == "gateway.sqlite3" for path in files) and holders == []


def test_api_token_mints_no_other(gateway: Gateway, newcomer: Newcomer) -> None:
    client = Client(gateway.url, mint(gateway, newcomer("admin")))
    for body in ({}, {"scopes": []}, {"require_password_reauth": False}):
        answer = client.post(PATH, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "PERMISSION_DENIED")
    assert count(client) == 1


def test_nobody_gets_a_token_without_proof(gateway: Gateway) -> None:
    for headers, expected in (
        ({}, "AUTH_REQUIRED"),
        ({"Authorization": "Bearer nonsense"}, "TOKEN_INVALID"),
        ({"Cookie": "jwt_token=nonsense", "Sec-Fetch-Site": "same-origin"}, "TOKEN_INVALID"),
    ):
        answer = Client(gateway.url).post(PATH, json={}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, expected)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_half_of_a_password_login_is_a_bad_request_though_the_session_is_good(
    user: Client,
) -> None:
    before = count(user)
    for body, field in (
        ({"username": "alice"}, "password"),
        ({"password": PASSWORD}, "username"),
    ):
        answer = user.post(PATH, json=body)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert count(user) == before


def test_a_wrong_password_is_refused_though_the_session_is_good(user: Client) -> None:
    answer = user.post(PATH, json={"username": "alice", "password": "wrong-Password-1"})
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_CREDENTIALS")


def test_password_can_be_asked_for_again(gateway: Gateway, newcomer: Newcomer) -> None:
    person = newcomer(password=True)
    client = app(gateway, person)
    body = {"require_password_reauth": True}
    refused = client.post(PATH, json=body)
    assert (refused.status_code, refused.json()["code"]) == (401, "AUTH_REQUIRED")
    assert count(client) == 0
    body |= {"username": person.username, "password": PASSWORD}
    assert client.post(PATH, json=body).status_code == 200


def test_guest_may_not_have_tokens(gateway: Gateway, newcomer: Newcomer) -> None:
    client = app(gateway, newcomer("guest"))
    answer = client.post(PATH, json={})
    assert answer.status_code == 403
    assert answer.json() == {
        "error": "Your role does not allow this.",
        "code": "PERMISSION_DENIED",
        "permission": "can_have_api_tokens",
    }
    assert count(client) == 0


# --- expire_hours ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (5, 5.0),
        (1.5, 1.5),
        ("48", 48.0),
        (0.001, 1.0),
        (-1, 1.0),
        (-1e300, 1.0),
        (8760, MAX_HOURS),
        (8761, MAX_HOURS),
        (1e10, MAX_HOURS),
        (1e300, MAX_HOURS),
    ],
)
def test_hours_are_clamped_between_one_and_the_maximum(
    user: Client, asked: object, granted: float
) -> None:
    answer = user.post(PATH, json={"expire_hours": asked}).json()
    assert answer["expires_in_hours"] == granted
    left = datetime.fromisoformat(answer["expires_at"]) - datetime.now(UTC)
    assert abs(left - timedelta(hours=granted)) < timedelta(minutes=1)


@pytest.mark.parametrize("asked", [0, 0.0, -0.0, "0"])
def test_never_needs_its_capability(gateway: Gateway, newcomer: Newcomer, asked: object) -> None:
    refused = app(gateway, newcomer()).post(PATH, json={"expire_hours": asked})
    assert (refused.status_code, refused.json()["permission"]) == (
        403,
        "can_have_non_expiring_jwt",
    )
    admin = app(gateway, newcomer("admin"))
    answer = admin.post(PATH, json={"expire_hours": asked}).json()
    assert (answer["expires_in_hours"], answer["expires_at"]) == (None, None)
    assert [row["expires_at"] for row in admin.get(TOKENS).json()["tokens"]] == [None]


@pytest.mark.parametrize("asked", ["soon", "NaN", "Infinity", "", None, True, False, [], [5], {}])
def test_hours_that_are_no_number_are_a_bad_request(user: Client, asked: object) -> None:
    before = count(user)
    answer = user.post(PATH, json={"expire_hours": asked})
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert answer.json()["field"] == "expire_hours"
    assert count(user) == before


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_numbers_that_json_does_not_know_are_invalid_json(user: Client, literal: str) -> None:
    before = count(user)
    answer = user.post(
        PATH,
        data=f'{{"expire_hours": {literal}}}',
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_JSON")
    assert count(user) == before


# --- scopes and label -------------------------------------------------------------------------


def test_scopes_are_a_subset_of_what_the_caller_holds(user: Client) -> None:
    asked = ["can_upload", "can_access_api", "can_upload"]
    answer = user.post(PATH, json={"scopes": asked}).json()
    assert answer["scopes"] == ["can_access_api", "can_upload"]
    assert user.post(PATH, json={"scopes": []}).json()["scopes"] == []
    assert user.post(PATH, json={"scopes": None}).json()["scopes"] is None


def test_form_gives_scopes_by_repeating_the_field(user: Client) -> None:
    answer = user.post(PATH, data={"scopes": ["can_run", "can_upload"], "expire_hours": "2"})
    assert answer.json()["scopes"] == ["can_run", "can_upload"]
    assert answer.json()["expires_in_hours"] == 2.0


@pytest.mark.parametrize("scope", ["can_manage_backend", "can_fly", "", "CAN_RUN", "user_id"])
def test_scopes_beyond_the_callers_make_no_token(user: Client, scope: str) -> None:
    before = count(user)
    answer = user.post(PATH, json={"scopes": ["can_run", scope]})
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["field"]) == (
        "BAD_REQUEST" if scope == "" else "INVALID_SCOPE",
        "scopes",
    )
    assert count(user) == before


def test_label_is_kept_as_it_is(user: Client) -> None:
    label = "<b>Pixel 9</b> — küche 📱"
    made = user.post(PATH, json={"label": label}).json()
    listed = {r["token_hash_prefix"]: r["label"] for r in user.get(TOKENS).json()["tokens"]}
    assert made["label"] == listed[made["token_hash_prefix"]] == label
    assert user.post(PATH, json={"label": ""}).json()["label"] == ""


def test_other_methods_are_refused_as_json(user: Client) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        answer = user.request(method, PATH)
        assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
