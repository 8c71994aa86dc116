"""Any body at all, at every endpoint that reads one: answered in one shape, never with a 500."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.accounts.acting import COUNTS, Newcomer, app, refused
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

LOGIN, TOKEN, TOKENS = "/login", "/mss-login/generate_token", "/mss-login/api/tokens"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def user(gateway: Gateway, newcomer: Newcomer) -> Client:
    return app(gateway, newcomer())


names = st.sampled_from(
    [
        "username",
        "password",
        "next",
        "guest_login",
        "setup_token",
        "label",
        "scopes",
        "expire_hours",
        "require_password_reauth",
        "token_hash_prefix",
        "jwt_token",
        "id",
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
bodies = st.one_of(
    st.binary(max_size=60),
    json_values.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    st.dictionaries(names, json_values, max_size=5).map(lambda value: json.dumps(value).encode()),
)


@given(
    endpoint=st.sampled_from([("POST", LOGIN), ("POST", TOKEN), ("DELETE", TOKENS)]),
    body=bodies,
    headers=st.sampled_from([JSON, FORM, {"Content-Type": "multipart/form-data; boundary=b"}]),
)
@example(("POST", LOGIN), b'{"username": "a", "password": "\\ud800"}', JSON)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_body_is_answered_and_only_tokens_are_made(
    gateway: Gateway, user: Client, endpoint: tuple[str, str], body: bytes, headers: dict[str, str]
) -> None:
    method, path = endpoint
    users, sessions, tokens, roles = gateway.run(COUNTS)
    answer = user.request(method, path, data=body, headers=headers)
    # A session may well get a token with a body that holds nothing but unknown fields.
    made = answer.status_code == 200
    assert gateway.run(COUNTS) == [users, sessions, tokens + made, roles]
    if made:
        assert (path, answer.json()["token"][:4]) == (TOKEN, "mss_")
        return
    assert refused(answer)[1] in {
        "BAD_REQUEST",
        "INVALID_JSON",
        "INVALID_CREDENTIALS",
        "INVALID_SCOPE",
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "AUTH_REQUIRED",
    }
