"""GET and DELETE /mss-login/api/tokens: own tokens, listed without secrets, revoked at once."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.accounts.acting import Newcomer, app, mint, session, with_cookie
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

PATH = "/mss-login/api/tokens"
ME = "/mss-login/api/me"


def prefixes(client: Client) -> list[str]:
    return [row["token_hash_prefix"] for row in client.get(PATH).json()["tokens"]]


def prefix_of(gateway: Gateway, token: str) -> str:
    code = "from accounts import tokens; result = tokens.token_hash(token)[:12]"
    return str(gateway.run(code, token=token))


def test_owner_lists_tokens_newest_first_without_secrets(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer()
    client = app(gateway, person)
    assert client.get(PATH).json() == {"tokens": []}
    tokens = [
        mint(gateway, person, label="old", scopes=["can_run"]),
        mint(gateway, person, label="new"),
    ]
    Client(gateway.url, tokens[0]).get(ME)
    deadline = time.monotonic() + 5
    while client.get(PATH).json()["tokens"][1]["last_used_at"] is None:
        assert time.monotonic() < deadline  # it is written soon, not before the answer
        time.sleep(0.01)
    answer = client.get(PATH)
    rows = answer.json()["tokens"]
    now = datetime.now(UTC)
    for row in rows:
        assert now - datetime.fromisoformat(row.pop("created_at")) < timedelta(minutes=1)
        assert datetime.fromisoformat(row.pop("expires_at")) > now
    used = datetime.fromisoformat(rows[1].pop("last_used_at"))
    assert now - used < timedelta(minutes=1)
    assert rows == [
        {
            "token_hash_prefix": prefix_of(gateway, tokens[1]),
            "label": "new",
            "scopes": None,
            "networks": [],
            "in_path": False,
            "last_used_at": None,
            "last_used_ip": None,
        },
        {
            "token_hash_prefix": prefix_of(gateway, tokens[0]),
            "label": "old",
            "scopes": ["can_run"],
            "networks": [],
            "in_path": False,
            "last_used_ip": "127.0.0.1",
        },
    ]
    assert not any(token in answer.text for token in tokens)


def test_expired_tokens_are_not_listed(gateway: Gateway, newcomer: Newcomer) -> None:
    person = newcomer()
    token = mint(gateway, person)
    gateway.run(
        """
from datetime import timedelta
from django.utils import timezone
from accounts import models, tokens
row = models.ApiToken.objects.get(token_hash=tokens.token_hash(token))
row.expires_at = timezone.now() - timedelta(seconds=1)
row.save()
""",
        token=token,
    )
    assert app(gateway, person).get(PATH).json() == {"tokens": []}
    answer = Client(gateway.url, token).get(ME)
    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_EXPIRED")


@pytest.mark.parametrize("where", ["json", "data", "params"])
def test_owner_revokes_a_token_and_it_stops_at_once(
    gateway: Gateway, newcomer: Newcomer, where: str
) -> None:
    person = newcomer()
    client = app(gateway, person)
    kept, lost = mint(gateway, person), mint(gateway, person)
    thief = Client(gateway.url, lost)
    assert (thief.get(ME).status_code, thief.get("/queue").status_code) == (200, 200)
    prefix = prefix_of(gateway, lost)
    answer = client.delete(PATH, **{where: {"token_hash_prefix": prefix.upper()[:8]}})
    assert (answer.status_code, answer.json()) == (200, {"message": "The token is revoked."})
    assert thief.get(ME).json()["code"] == "TOKEN_INVALID"
    assert thief.get("/queue").json()["code"] == "TOKEN_INVALID"
    assert prefixes(client) == [prefix_of(gateway, kept)]
    assert client.delete(PATH, json={"token_hash_prefix": prefix}).status_code == 404


def test_nobody_sees_or_revokes_anothers_token(gateway: Gateway, newcomer: Newcomer) -> None:
    victim, attacker = newcomer(), app(gateway, newcomer("admin"))
    token = mint(gateway, victim)
    answer = attacker.delete(PATH, json={"token_hash_prefix": prefix_of(gateway, token)})
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    unknown = attacker.delete(PATH, json={"token_hash_prefix": "0" * 12})
    assert (unknown.status_code, unknown.content) == (answer.status_code, answer.content)
    assert attacker.get(PATH).json() == {"tokens": []}
    assert Client(gateway.url, token).get(ME).status_code == 200


@pytest.mark.parametrize(
    "prefix",
    ["", "a", "1234567", "x" * 65, None, 12345678, ["12345678"], {"a": 1}, True, "a\0bcdefg"],
)
def test_prefix_must_be_a_text_of_eight_characters(
    gateway: Gateway, newcomer: Newcomer, prefix: object
) -> None:
    person = newcomer()
    token = mint(gateway, person)
    client = app(gateway, person)
    answer = client.delete(PATH, json={"token_hash_prefix": prefix})
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert answer.json()["field"] == "token_hash_prefix"
    assert prefixes(client) == [prefix_of(gateway, token)]


@pytest.mark.parametrize("prefix", ["%%%%%%%%", "________", "zzzzzzzz", "' OR 1=1 --"])
def test_prefix_is_no_pattern(gateway: Gateway, newcomer: Newcomer, prefix: str) -> None:
    person = newcomer()
    mint(gateway, person)
    client = app(gateway, person)
    assert client.delete(PATH, json={"token_hash_prefix": prefix}).status_code == 404
    assert len(prefixes(client)) == 1


def test_a_prefix_of_several_tokens_revokes_none(gateway: Gateway, newcomer: Newcomer) -> None:
    person = newcomer()
    gateway.run(
        """
from accounts import models
user = models.User.objects.get(username=username)
for end in "ab":
    models.ApiToken.objects.create(user=user, token_hash="12345678" + end * 56)
""",
        username=person.username,
    )
    client = app(gateway, person)
    answer = client.delete(PATH, json={"token_hash_prefix": "12345678"})
    assert (answer.status_code, answer.json()["field"]) == (400, "token_hash_prefix")
    assert len(prefixes(client)) == 2
    assert client.delete(PATH, json={"token_hash_prefix": "12345678a"}).status_code == 200
    assert prefixes(client) == ["12345678bbbb"]


def test_without_a_token_there_is_no_list(gateway: Gateway) -> None:
    for method in ("GET", "DELETE"):
        answer = Client(gateway.url).request(method, PATH, json={"token_hash_prefix": "1" * 12})
        assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_REQUIRED")


def test_another_sites_page_revokes_nothing(gateway: Gateway, newcomer: Newcomer) -> None:
    person = newcomer()
    body = {"token_hash_prefix": prefix_of(gateway, mint(gateway, person))}
    page = with_cookie(gateway, session(gateway, person), Sec_Fetch_Site="cross-site")
    answer = page.delete(PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "CROSS_ORIGIN")
    assert len(prefixes(page)) == 1
