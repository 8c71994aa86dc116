"""Tokens that nobody issued, or that stand no longer: every one is refused on every lane."""

import base64
import json
import time
from typing import Any
from uuid import uuid4

import jwt as pyjwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.accounts.acting import Newcomer, mint, session
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

PATHS = ("/mss-login/api/me", "/queue", "/extensions")


def codes(gateway: Gateway, token: str) -> set[str]:
    """How each lane answers a bearer of `token`."""
    found = set()
    for path in PATHS:
        answer = Client(gateway.url, token).get(path)
        assert answer.status_code in (200, 401), answer.text
        found.add("OK" if answer.status_code == 200 else answer.json()["code"])
    return found


def segment(data: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def good(gateway: Gateway, newcomer: Newcomer) -> str:
    token = session(gateway, newcomer())
    assert codes(gateway, token) == {"OK"}
    return token


@pytest.fixture(scope="module")
def claims(good: str) -> dict[str, Any]:
    return dict(pyjwt.decode(good, options={"verify_signature": False}))


@pytest.fixture(scope="module")
def key(gateway: Gateway) -> str:
    """What the server signs with; a test may know it to forge what must fail all the same."""
    return (gateway.data_dir / "secret_key").read_text().strip()


def test_session_says_no_more_than_it_must(claims: dict[str, Any]) -> None:
    assert set(claims) == {"token_type", "exp", "jti", "user_id"}


def test_the_same_claims_signed_otherwise_are_refused(
    gateway: Gateway, good: str, claims: dict[str, Any], key: str
) -> None:
    header, payload, signature = good.split(".")
    stranger = {**claims, "user_id": "1"}
    forged = {
        "other key": pyjwt.encode(claims, "another key that is long enough for it", "HS256"),
        "other algorithm": pyjwt.encode(claims, key.encode() * 2, "HS512"),
        "right key, other algorithm": pyjwt.encode(claims, key, "HS384"),
        "alg none": f"{segment({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "alg None": f"{segment({'alg': 'None'})}.{payload}.{signature}",
        "no alg": f"{segment({'typ': 'JWT'})}.{payload}.{signature}",
        "empty signature": f"{header}.{payload}.",
        "no signature": f"{header}.{payload}",
        "changed payload": f"{header}.{segment(stranger)}.{signature}",
        "cut": good[:-2],
        "longer": good + "A",
        "twice": good + good,
        "header is a list": f"{segment([])}.{payload}.{signature}",
        "alg is a list": f"{segment({'alg': ['HS256']})}.{payload}.{signature}",
        "kid is an object": f"{segment({'alg': 'HS256', 'kid': {}})}.{payload}.{signature}",
        "crit": f"{segment({'alg': 'HS256', 'crit': ['exp']})}.{payload}.{signature}",
        "points": "..",
        "key": key,
    }
    assert {name: codes(gateway, token) for name, token in forged.items()} == {
        name: {"TOKEN_INVALID"} for name in forged
    }


def test_the_servers_own_key_makes_no_session_that_is_not_stored(
    gateway: Gateway, claims: dict[str, Any], key: str
) -> None:
    """Whoever stole the key still needs a stored `jti`; odd claims are no error either."""
    later = int(time.time()) + 3600

    def signed(payload: dict[str, Any]) -> set[str]:
        return codes(gateway, pyjwt.encode(payload, key, "HS256"))

    assert signed(claims) == {"OK"}  # the key is the right one
    assert signed({**claims, "jti": uuid4().hex, "exp": later}) == {"TOKEN_REVOKED"}
    for jti in ("", "x", "' OR 1=1", None, 5, [], {}, "0" * 500):
        assert signed({**claims, "jti": jti}) <= {"TOKEN_INVALID", "TOKEN_REVOKED"}
    for changed in (
        {"token_type": "refresh"},
        {"token_type": None},
        {"exp": "soon"},
        {"iat": "x"},
    ):
        assert signed({**claims, **changed}) == {"TOKEN_INVALID"}
    for missing in ("jti", "token_type", "exp"):
        assert signed({k: v for k, v in claims.items() if k != missing}) == {"TOKEN_INVALID"}


def test_another_users_id_in_the_claims_changes_nothing(
    gateway: Gateway, claims: dict[str, Any], key: str
) -> None:
    token = pyjwt.encode({**claims, "user_id": "1"}, key, "HS256")
    original = pyjwt.encode(claims, key, "HS256")
    name = Client(gateway.url, original).get(PATHS[0]).json()["username"]
    assert Client(gateway.url, token).get(PATHS[0]).json()["username"] == name != "olga"


def test_an_expired_session_is_refused_by_its_claim_and_by_its_row(
    gateway: Gateway, newcomer: Newcomer, key: str
) -> None:
    token = session(gateway, newcomer())
    claims = pyjwt.decode(token, options={"verify_signature": False})
    past = pyjwt.encode({**claims, "exp": int(time.time()) - 1}, key, "HS256")
    assert codes(gateway, past) == {"TOKEN_EXPIRED"}
    gateway.run(
        """
from django.utils import timezone
from accounts import models
models.Session.objects.filter(jti=jti).update(expires_at=timezone.now())
""",
        jti=claims["jti"],
    )
    assert codes(gateway, token) == {"TOKEN_EXPIRED"}


def test_clocks_that_differ_open_nothing_and_break_nothing(
    gateway: Gateway, claims: dict[str, Any], key: str
) -> None:
    """The server's own key, and times that no server of ours would write."""
    now = int(time.time())
    invalid, expired = {"TOKEN_INVALID"}, {"TOKEN_EXPIRED"}
    odd: dict[str, tuple[dict[str, Any], set[str]]] = {
        "not yet": ({"nbf": now + 3600}, invalid),
        "made in the future": ({"iat": now + 3600}, invalid),
        "made long ago": ({"iat": 0, "nbf": 0}, {"OK"}),
        "before the epoch": ({"exp": -1}, expired),
        "at the epoch": ({"exp": 0}, expired),
        "a second ago": ({"exp": now - 1}, expired),
        "as text": ({"exp": str(now + 3600)}, invalid),
        "in milliseconds": ({"exp": now * 1000}, invalid),
        "beyond all years": ({"exp": 10**18}, invalid),
        "beyond all numbers": ({"exp": 10**400}, invalid),
        "infinite": ({"exp": float("inf")}, invalid),
        "no number": ({"exp": float("nan")}, invalid),
        "a list": ({"exp": [now + 3600]}, invalid),
        "made at no time": ({"iat": []}, invalid),
        "from no time on": ({"nbf": {}}, invalid),
        "true": ({"exp": True}, expired),
    }
    found = {
        name: codes(gateway, pyjwt.encode({**claims, **changed}, key, "HS256"))
        for name, (changed, _) in odd.items()
    }
    assert found == {name: expected for name, (_, expected) in odd.items()}


def test_later_end_in_the_claims_outlives_no_session(
    gateway: Gateway, newcomer: Newcomer, key: str
) -> None:
    token = session(gateway, newcomer())
    claims = pyjwt.decode(token, options={"verify_signature": False})
    longer = pyjwt.encode({**claims, "exp": int(time.time()) + 10**8}, key, "HS256")
    gateway.run(
        """
from django.utils import timezone
from accounts import models
models.Session.objects.filter(jti=jti).update(expires_at=timezone.now())
""",
        jti=claims["jti"],
    )
    assert codes(gateway, longer) == {"TOKEN_EXPIRED"}


@pytest.mark.parametrize(
    "form",
    ["{0}, {1}", "{0},{1}", "{0} {1}", "{0}, Bearer {1}", "{0};{1}", "{0}\t{1}", "Bearer {0}"],
)
def test_two_tokens_in_one_header_are_none(
    gateway: Gateway, newcomer: Newcomer, good: str, form: str
) -> None:
    other = mint(gateway, newcomer())
    for first, second in ((good, other), (other, good), (good, good), (good, "x"), ("x", good)):
        assert codes(gateway, form.format(first, second)) == {"TOKEN_INVALID"}


CHANGES = {
    "disabled": "services.set_active(user, False, actor=None)",
    "disabled, tokens kept": "services.set_active(user, False, actor=None, keep_tokens=True)",
    "deleted": "services.delete_user(user, actor=None, keep_files=True)",
    "sessions ended": "proofs.end_sessions(user)",
    "new password": "services.set_password(user, 'Another-77-secret', actor=None)",
    "new password, tokens kept": (
        "services.set_password(user, 'Another-77-secret', actor=None, keep_tokens=True)"
    ),
}
API_TOKEN_AFTER = {
    "disabled": "TOKEN_INVALID",
    "disabled, tokens kept": "TOKEN_REVOKED",
    "deleted": "TOKEN_INVALID",
    "new password": "TOKEN_INVALID",
}


@pytest.mark.parametrize("change", CHANGES)
def test_sessions_of_an_account_end_with_it(
    gateway: Gateway, newcomer: Newcomer, change: str
) -> None:
    """Changed from another process, and never seen by the server before."""
    person = newcomer()
    token, api_token = session(gateway, person), mint(gateway, person)
    gateway.run(
        f"""
from accounts import models, proofs, services
user = models.User.objects.get(username=username)
{CHANGES[change]}
""",
        username=person.username,
    )
    assert codes(gateway, token) == {"TOKEN_REVOKED"}
    # The mint above was answered a moment ago; nothing of it was remembered for the token.
    assert codes(gateway, api_token) == {API_TOKEN_AFTER.get(change, "OK")}


@given(
    token=st.one_of(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80),
        st.text("mss_-aAzZ09", max_size=60).map("mss_".__add__),
        st.text("mss_-aAzZ09", min_size=43, max_size=43),
        st.tuples(*[st.text("eyJhbGciOiIsInR5cCI6", max_size=30)] * 3).map(".".join),
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_nonsense_is_refused_and_never_an_error(gateway: Gateway, token: str) -> None:
    assert codes(gateway, token) == {"TOKEN_INVALID"}
