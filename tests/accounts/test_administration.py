"""/mss-login/api/users and /groups: administration over HTTP, by the admin's own rules."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.accounts.acting import Newcomer, mint, session
from tests.cast import OWNER, PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("log_without_secrets")

USERS = "/mss-login/api/users"
GROUPS = "/mss-login/api/groups"

MAKE_ROLE = """
from accounts.models import Role
role, _ = Role.objects.get_or_create(slug="studio", defaults={"title": "Studio", "rank": 30})
role.permissions.clear()
Role.objects.filter(slug="studio").update(
    mfa_required=False, sfw_enforced=False, blocked_node_classes=[], max_waiting_prompts=None
)
"""
AUDIT = """
from accounts.models import AuditEntry
result = [
    [entry.event, entry.actor_name, entry.subject_name]
    for entry in AuditEntry.objects.filter(subject_name=name).order_by("id")
]
"""


@pytest.fixture(scope="module")
def chief(gateway: Gateway, newcomer: Newcomer) -> Person:
    return newcomer("admin")


@pytest.fixture
def admin(gateway: Gateway, chief: Person) -> Client:
    return Client(gateway.url, session(gateway, chief))


@pytest.fixture
def studio(gateway: Gateway) -> Iterator[str]:
    """A role that no other test uses."""
    gateway.run(MAKE_ROLE)
    yield "studio"
    gateway.run(MAKE_ROLE)


def listed(client: Client, username: str) -> dict[str, Any] | None:
    users = client.get(USERS).json()["users"]
    return next((user for user in users if user["username"] == username), None)


# --- users ---------------------------------------------------------------------------------


def test_admin_creates_changes_and_deletes_an_account(
    gateway: Gateway, admin: Client, chief: Person
) -> None:
    body = {"username": "Wilma", "password": PASSWORD, "role": "guest"}
    made = admin.post(f"/api{USERS}", json=body)
    assert made.status_code == 201
    assert made.json() == listed(admin, "Wilma")
    assert {key: made.json()[key] for key in ("username", "role", "is_active")} == {
        "username": "Wilma",
        "role": "guest",
        "is_active": True,
    }
    login = {"username": "wilma", "password": PASSWORD}
    wilma = Client(gateway.url, Client(gateway.url).post("/login", json=login).json()["jwt_token"])
    assert wilma.get("/mss-login/api/me").json()["role"] == "guest"

    # The name's case is no other account. A promotion works on the open session at once.
    changed = admin.put(f"{USERS}/wilma", json={"role": "user", "sfw_enforced": True})
    assert (changed.status_code, changed.json()) == (200, listed(admin, "Wilma"))
    me = wilma.get("/mss-login/api/me").json()
    assert (me["role"], me["sfw_enforced"]) == ("user", True)
    admin.put(f"{USERS}/Wilma", json={"sfw_enforced": None, "is_active": False})
    check_refusal(wilma.get("/mss-login/api/me"), 401, "TOKEN_REVOKED")
    assert wilma.get("/queue").status_code == 401

    assert admin.delete(f"{USERS}/Wilma").status_code == 200
    assert listed(admin, "Wilma") is None
    check_refusal(admin.delete(f"{USERS}/Wilma"), 404, "NOT_FOUND")
    events = [
        event for event, actor, _ in gateway.run(AUDIT, name="Wilma") if actor == chief.username
    ]
    assert events == [
        "user.created",
        "user.role",
        "user.overrides",
        "user.disabled",
        "user.overrides",
        "user.deleted",
    ]


def test_taken_name_in_any_case_is_a_conflict(admin: Client, newcomer: Newcomer) -> None:
    person = newcomer()
    answer = admin.post(USERS, json={"username": person.username.upper(), "password": PASSWORD})
    check_refusal(answer, 409, "USERNAME_TAKEN", field="username")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "username"),
        ({"username": "n1"}, "password"),
        ({"username": "n1", "password": "short"}, "password"),
        ({"username": "n1", "password": "12345678901"}, "password"),
        ({"username": "a b", "password": PASSWORD}, "username"),
        ({"username": "n1\0", "password": PASSWORD}, "username"),
        ({"username": ["n1"], "password": PASSWORD}, "username"),
        ({"username": "n1", "password": PASSWORD, "role": "nope"}, "role"),
        ({"username": "n1", "password": PASSWORD, "role": 7}, "role"),
    ],
    ids=str,
)
def test_malformed_account_is_refused_with_its_field(
    admin: Client, body: dict[str, Any], field: str
) -> None:
    before = len(admin.get(USERS).json()["users"])
    answer = admin.post(USERS, json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert len(admin.get(USERS).json()["users"]) == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": "nope"}, "role"),
        ({"is_active": "yes"}, "is_active"),
        ({"is_active": None}, "is_active"),
        ({"sfw_enforced": 1}, "sfw_enforced"),
        ({"mfa_required": "maybe"}, "mfa_required"),
        ({"password": "x"}, "password"),
    ],
    ids=str,
)
def test_malformed_change_changes_nothing(
    admin: Client, newcomer: Newcomer, change: dict[str, Any], field: str
) -> None:
    person = newcomer()
    before = listed(admin, person.username)
    # What came before the fault in the same request is undone too.
    answer = admin.put(f"{USERS}/{person.username}", json={"role": "guest", **change})
    if "role" in change:
        answer = admin.put(f"{USERS}/{person.username}", json={"is_active": False, **change})
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert listed(admin, person.username) == before


def test_nobody_becomes_a_second_owner_and_the_first_stays(admin: Client) -> None:
    body = {"username": "usurper", "password": PASSWORD, "role": "owner"}
    check_refusal(admin.post(USERS, json=body), 403, "PERMISSION_DENIED")
    before = listed(admin, OWNER.username)
    for change in ({"role": "user"}, {"is_active": False}, {"password": PASSWORD}):
        answer = admin.put(f"{USERS}/{OWNER.username}", json=change)
        check_refusal(answer, 403, "PERMISSION_DENIED")
    check_refusal(admin.delete(f"{USERS}/{OWNER.username}"), 403, "PERMISSION_DENIED")
    assert listed(admin, OWNER.username) == before


def test_admin_does_not_change_their_own_role(admin: Client, chief: Person) -> None:
    answer = admin.put(f"{USERS}/{chief.username}", json={"role": "user"})
    check_refusal(answer, 403, "PERMISSION_DENIED")
    assert admin.get("/mss-login/api/me").json()["role"] == "admin"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", USERS),
        ("POST", USERS),
        ("PUT", f"{USERS}/bob"),
        ("DELETE", f"{USERS}/bob"),
        ("GET", GROUPS),
        ("PUT", GROUPS),
    ],
)
def test_only_administrators_and_no_limited_token_administrate(
    gateway: Gateway,
    chief: Person,
    alice: Client,
    power: Client,
    anonymous: Client,
    method: str,
    path: str,
) -> None:
    limited = Client(gateway.url, mint(gateway, chief, scopes=["can_run"]))
    for client in (alice, power, limited):
        check_refusal(client.request(method, path, json={}), 403, "PERMISSION_DENIED")
    check_refusal(anonymous.request(method, path, json={}), 401, "AUTH_REQUIRED")
    assert listed(Client(gateway.url, session(gateway, chief)), "bob") is not None


# --- roles ---------------------------------------------------------------------------------


def test_admin_changes_a_role_and_its_holders_notice_at_once(
    gateway: Gateway, admin: Client, studio: str, newcomer: Newcomer
) -> None:
    person = newcomer(studio)
    holder = Client(gateway.url, session(gateway, person))
    check_refusal(holder.get("/queue"), 403, "PERMISSION_DENIED", permission="can_access_api")
    change = {
        "can_access_api": True,
        "can_run": True,
        "blocked_node_classes": ["EmptyImage"],
        "max_waiting_prompts": 3,
        "mfa_required": False,
    }
    answer = admin.put(GROUPS, json={"groups": {studio: change}})
    assert answer.status_code == 200
    groups = answer.json()["groups"]
    assert {"owner", "admin", "power", "user", "guest", studio} <= groups.keys()
    assert {name: groups[studio][name] for name in change} == change
    assert groups[studio]["can_upload"] is False
    assert holder.get("/queue").status_code == 200
    graph = {"1": {"class_type": "EmptyImage", "inputs": {}}}
    refused = holder.post("/prompt", json={"prompt": graph})
    assert (refused.status_code, refused.json()["code"]) == (403, "NODE_NOT_ALLOWED")

    # Partial, and without the wrapper: what is not named stays.
    answer = admin.put(GROUPS, json={studio: {"can_run": False}})
    assert answer.json()["groups"][studio] == {**groups[studio], "can_run": False}
    assert holder.post("/prompt", json={"prompt": graph}).status_code == 403
    assert admin.get(GROUPS).json() == answer.json()


@pytest.mark.parametrize(
    "body",
    [
        {"groups": []},
        {"groups": {"nope": {}}},
        {"studio": []},
        {"studio": {"can_fly": True}},
        {"studio": {"can_run": "yes"}},
        {"studio": {"can_run": None}},
        {"studio": {"rank": 100}},
        {"studio": {"max_waiting_prompts": -1}},
        {"studio": {"blocked_node_classes": "x"}},
        {"studio": {"blocked_node_classes": [7]}},
        {"studio": {"can_run": True}, "user": {"can_fly": True}},
        [],
    ],
    ids=str,
)
def test_malformed_role_changes_nothing(admin: Client, studio: str, body: object) -> None:
    before = admin.get(GROUPS).json()
    answer = admin.put(GROUPS, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert admin.get(GROUPS).json() == before


def test_nobody_changes_the_owners_role_nor_one_beside_it(admin: Client, studio: str) -> None:
    before = admin.get(GROUPS).json()
    body = {studio: {"can_run": True}, "owner": {"can_run": False}}
    check_refusal(admin.put(GROUPS, json=body), 403, "PERMISSION_DENIED")
    assert admin.get(GROUPS).json() == before
