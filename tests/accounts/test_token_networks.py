"""API tokens that may be used from some networks only: on every lane, remembered or not."""

import base64
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from accounts.authentication import _networks
from accounts.identity import Auth, Identity
from tests.accounts.acting import Newcomer, app, mint, secrets_in
from tests.cast import Person
from tests.client import Client
from tests.gateway import Gateway
from tests.listener import Listener, Refused
from tests.refusals import check_refusal

MINT = "/mss-login/generate_token"
TOKENS = "/mss-login/api/tokens"
ME = "/mss-login/api/me"
# The API, the view lane, the stream lane.
PATHS = (ME, "/queue", "/extensions")
HOME, AWAY = "203.0.113.7", "198.51.100.9"

_numbers = count(1)


@pytest.fixture(scope="module", autouse=True)
def silent(fresh: Gateway) -> Iterator[None]:
    before = len(fresh.log())
    yield
    assert secrets_in(fresh.log()[before:]) == []


@pytest.fixture
def person(fresh: Gateway) -> Person:
    """Somebody at the gateway that believes its proxy."""
    made = Person(f"net-{next(_numbers)}", "user")
    fresh.run(
        "from accounts import models; models.User(username=name, role_id='user').save()",
        name=made.username,
    )
    return made


def coming(gateway: Gateway, address: str, token: str | None = None) -> Client:
    client = Client(gateway.url, token)
    client.headers["X-Forwarded-For"] = address
    return client


def row(gateway: Gateway, person: Person) -> dict[str, Any]:
    """The person's only token, as it is listed."""
    (found,) = app(gateway, person).get(TOKENS).json()["tokens"]
    return dict(found)


# --- where it works -------------------------------------------------------------------------


def test_phone_uses_its_token_at_home_and_a_thief_elsewhere_does_not(
    fresh: Gateway, person: Person
) -> None:
    token = mint(fresh, person, networks=["203.0.113.0/24"])
    home, away = coming(fresh, HOME, token), coming(fresh, AWAY, token)
    for _ in range(2):  # asked of the database, then remembered
        for path in PATHS:
            check_refusal(away.get(path), 403, "IP_BLOCKED")
            assert home.get(path).status_code == 200
        check_refusal(away.get("/nothing/here"), 403, "IP_BLOCKED")
    check_refusal(away.post("/prompt", json={}), 403, "IP_BLOCKED")
    assert home.post("/prompt", json={}).json().get("code") != "IP_BLOCKED"


def test_place_of_the_token_does_not_matter(fresh: Gateway, person: Person) -> None:
    token = mint(fresh, person, networks=[HOME])
    pair = base64.b64encode(f"x:{token}".encode()).decode()
    for given in (
        {"headers": {"Authorization": f"Basic {pair}"}},
        {"headers": {"Cookie": f"jwt_token={token}"}},
        {"params": {"token": token}},
    ):
        assert coming(fresh, HOME).get("/queue", **given).status_code == 200
        check_refusal(coming(fresh, AWAY).get("/queue", **given), 403, "IP_BLOCKED")


def test_socket_is_refused_from_elsewhere(fresh: Gateway, person: Person) -> None:
    client = Client(fresh.url, mint(fresh, person, networks=["203.0.113.0/24"]))
    bearer = {"Authorization": f"Bearer {client.token}"}
    Listener(client, headers=bearer | {"X-Forwarded-For": HOME}).close()
    with pytest.raises(Refused) as refused:
        Listener(client, headers=bearer | {"X-Forwarded-For": AWAY})
    assert (refused.value.status, refused.value.body["code"]) == (403, "IP_BLOCKED")


@pytest.mark.parametrize(
    ("networks", "address", "admitted"),
    [
        ([], AWAY, True),
        ([HOME, "198.51.100.0/25"], AWAY, True),
        ([HOME], "::ffff:203.0.113.7", True),
        (["::ffff:203.0.113.0/120"], HOME, True),
        (["::/0"], HOME, False),
        (["0.0.0.0/0"], "2001:db8::5", False),
        (["2001:db8::/32"], "2001:db8::5", True),
        # What the proxy says is no address: its own counts.
        ([HOME], "nonsense", False),
        (["127.0.0.0/8"], "nonsense", True),
        # The client's own claim stands further left.
        ([HOME], f"{HOME}, {AWAY}", False),
    ],
)
def test_network_holds_the_address_or_not(
    fresh: Gateway, person: Person, networks: list[str], address: str, admitted: bool
) -> None:
    token = mint(fresh, person, networks=networks)
    status = coming(fresh, address, token).get("/queue").status_code
    assert status == (200 if admitted else 403)


def test_what_is_no_address_is_refused_by_any_limit() -> None:
    def token(networks: object) -> Identity:
        limit = _networks(networks)
        return Identity(1, "a", "u-1", "user", 1, frozenset(), Auth.API_TOKEN, networks=limit)

    for nowhere in (None, "", "unix:", "203.0.113.7:80"):
        assert token([]).admits(nowhere) and token(None).admits(nowhere)
        assert not token(["0.0.0.0/0", "::/0"]).admits(nowhere)
    # What somebody wrote into the table by hand and nobody can read limits all the same.
    for unreadable in (["nowhere"], [5, None, ["10.0.0.0/8"]], {}, {"a": 1}, "", 0, False):
        assert not token(unreadable).admits(HOME)
    assert token(["nowhere", HOME]).admits(HOME)


def test_pages_take_it_for_no_login_and_do_not_break(fresh: Gateway, person: Person) -> None:
    token = mint(fresh, person, networks=[HOME])
    away = coming(fresh, AWAY)
    away.headers.update({"Cookie": f"jwt_token={token}", "Accept": "text/html"})
    assert away.get("/login").status_code == 200
    assert away.get("/admin/").status_code == 302
    assert away.get("/logout").status_code == 302
    assert coming(fresh, HOME, token).get(ME).status_code == 200


# --- how it is made -------------------------------------------------------------------------


def test_networks_are_kept_once_each_in_their_normal_form(fresh: Gateway, person: Person) -> None:
    asked = ["10.1.2.3/8", HOME, "::ffff:10.0.0.0/104", f" {HOME}/32 ", "2001:DB8::1/32"]
    made = app(fresh, person).post(MINT, json={"networks": asked, "in_path": True}).json()
    assert made["networks"] == ["10.0.0.0/8", f"{HOME}/32", "2001:db8::/32"]
    assert made["in_path"] is True
    listed = row(fresh, person)
    assert (listed["networks"], listed["in_path"]) == (made["networks"], True)


def test_form_gives_networks_by_repeating_the_field(fresh: Gateway, person: Person) -> None:
    made = app(fresh, person).post(MINT, data={"networks": [HOME, AWAY]}).json()
    assert (made["networks"], made["in_path"]) == ([f"{HOME}/32", f"{AWAY}/32"], False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("networks", HOME),
        ("networks", None),
        ("networks", {}),
        ("networks", [HOME, "nowhere"]),
        ("networks", ["10.0.0.0/33"]),
        ("networks", ["10.0.0.0/8,11.0.0.0/8"]),
        ("networks", [""]),
        ("networks", [5]),
        ("networks", [[HOME]]),
        ("networks", ["1" * 65]),
        ("networks", [f"10.0.0.{number}" for number in range(51)]),
        ("in_path", "true"),
        ("in_path", 1),
        ("in_path", None),
        ("in_path", []),
    ],
    ids=lambda value: str(value)[:30],
)
def test_malformed_limit_makes_no_token(
    gateway: Gateway, newcomer: Newcomer, field: str, value: object
) -> None:
    client = app(gateway, newcomer())
    check_refusal(client.post(MINT, json={field: value}), 400, "BAD_REQUEST", field=field)
    assert client.get(TOKENS).json() == {"tokens": []}


def test_fifty_networks_are_not_too_many(gateway: Gateway, newcomer: Newcomer) -> None:
    networks = [f"10.0.0.{number}" for number in range(50)]
    made = app(gateway, newcomer()).post(MINT, json={"networks": networks})
    assert len(made.json()["networks"]) == 50


# --- from where it was used -------------------------------------------------------------------


def test_owner_sees_from_where_a_token_was_used_and_not_from_where_somebody_tried(
    fresh: Gateway, person: Person
) -> None:
    token = mint(fresh, person, networks=["203.0.113.0/24"])
    coming(fresh, AWAY, token).get("/queue")
    time.sleep(0.3)
    assert (row(fresh, person)["last_used_at"], row(fresh, person)["last_used_ip"]) == (None, None)
    # The refusal left the token in the memory; a use is noted when it is read anew.
    time.sleep(5)
    coming(fresh, f"::ffff:{HOME}", token).get("/queue")
    deadline = time.monotonic() + 5
    while row(fresh, person)["last_used_ip"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert row(fresh, person)["last_used_ip"] == HOME
    assert row(fresh, person)["last_used_at"] is not None
