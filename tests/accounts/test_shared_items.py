"""/mss-login/api/{users,groups}/…/shared-items: who was given which models (API.md section 8)."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.accounts.acting import Newcomer, app, mint
from tests.accounts.factors import enrol
from tests.cast import Person
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("log_without_secrets")

USERS, GROUPS = "/mss-login/api/users", "/mss-login/api/groups"
A = {"folder": "loras", "item_name": "detail.safetensors"}
B = {"folder": "checkpoints", "item_name": "portraits/*"}
# A role of people who give models and administrate nothing; a team.
MAKE = """
from django.contrib.auth.models import Group, Permission
from accounts.models import Role
role, _ = Role.objects.get_or_create(slug="sharer", defaults={"title": "Sharer", "rank": 40})
names = ["can_manage_model_sharing", "can_have_api_tokens", "can_access_api"]
role.permissions.set(Permission.objects.filter(codename__in=names))
Role.objects.get_or_create(slug="shared", defaults={"title": "Shared", "rank": 30})
Group.objects.get_or_create(name="a team/of two")
"""
REMOVE = """
from django.contrib.auth.models import Group
from accounts.models import Role, User
User.objects.filter(role="sharer").delete()
Role.objects.get(slug="sharer").delete()
Role.objects.get(slug="shared").delete()
Group.objects.get(name="a team/of two").delete()
"""
ROWS = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(actor_name=name, event__startswith="grant.").order_by("id")
result = [[row.event, row.subject_name, row.ip, row.details] for row in rows]
"""


@pytest.fixture(scope="module", autouse=True)
def sharers(gateway: Gateway) -> Iterator[None]:
    gateway.run(MAKE)
    yield
    gateway.run(REMOVE)


@pytest.fixture(scope="module")
def sharer(newcomer: Newcomer, sharers: None) -> Person:
    return newcomer("sharer")


@pytest.fixture(scope="module")
def client(gateway: Gateway, sharer: Person) -> Client:
    return app(gateway, sharer)


@pytest.fixture
def person(newcomer: Newcomer) -> Person:
    return newcomer()


def path(person: Person) -> str:
    return f"{USERS}/{person.username}/shared-items"


def test_sharer_gives_lists_and_takes_away(
    gateway: Gateway, client: Client, sharer: Person, person: Person
) -> None:
    given = client.post(path(person), json=A)
    assert given.status_code == 200
    item = given.json()["item"]
    assert given.json() == {"status": "ok", "item": item}
    assert {k: v for k, v in item.items() if k != "created_at"} == {
        **A,
        "source_backend": "",
        "granted_by": sharer.username,
        "granted_by_role": "sharer",
    }
    # Again, by another: it stays as it is.
    admin = app(gateway, Person("adam", "admin"))
    assert admin.post(path(person), json=A).json() == given.json()
    assert client.get(path(person)).json() == {"items": [item]}
    assert admin.get(f"/api{USERS}/{person.username.upper()}/shared-items").json() == {
        "items": [item]
    }
    taken = client.delete(path(person), json=A)
    assert (taken.status_code, taken.json()) == (200, {"status": "ok", "removed": 1})
    check_refusal(client.delete(path(person), json=A), 404, "NOT_FOUND")
    assert client.get(path(person)).json() == {"items": []}
    details = {"holder": f"user {person.username}", "models": [f"loras/{A['item_name']}"]}
    rows = [row for row in gateway.run(ROWS, name=sharer.username) if row[1] == person.username]
    assert rows == [
        ["grant.added", person.username, "127.0.0.1", details | {"count": 1}],
        ["grant.removed", person.username, "127.0.0.1", details | {"count": 1}],
    ]


def test_many_are_given_and_taken_at_once_all_or_none(client: Client, person: Person) -> None:
    far = {**A, "source_backend": "http://far:8188"}
    answer = client.post(path(person), json={"items": [A, B, far, A]})
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert [(i["folder"], i["source_backend"]) for i in answer.json()["items"]] == [
        ("checkpoints", ""),
        ("loras", ""),
        ("loras", "http://far:8188"),
    ]
    bad = client.post(path(person), json={"items": [{**A, "item_name": "new"}, {**A, "folder": 5}]})
    check_refusal(bad, 400, "BAD_REQUEST", field="items")
    assert "Number 2" in bad.json()["error"]
    assert len(client.get(path(person)).json()["items"]) == 3
    nothing = {**A, "item_name": "none"}
    assert client.delete(path(person), json={"items": [A, nothing]}).json()["removed"] == 1
    check_refusal(client.delete(path(person), json={"items": [A]}), 404, "NOT_FOUND")
    assert client.post(path(person), json={"items": []}).json() == {"status": "ok", "items": []}
    names = [i["source_backend"] for i in client.get(path(person)).json()["items"]]
    assert names == ["", "http://far:8188"]


def test_forms_and_addresses_say_the_same_as_json(client: Client, person: Person) -> None:
    assert client.post(path(person), data={"folder": "unet", "item_name": "a\\b"}).status_code == (
        200
    )
    shown = [(i["folder"], i["item_name"]) for i in client.get(path(person)).json()["items"]]
    assert shown == [("diffusion_models", "a/b")]
    query = {"folder": "unet", "item_name": "a/b"}
    assert client.delete(path(person), params=query).status_code == 200
    check_refusal(client.delete(path(person), params=query), 404, "NOT_FOUND")


@pytest.mark.parametrize("where", ["shared", "a%20team%2Fof%20two", "a team/of two", "user"])
def test_roles_and_teams_are_given_models_too(client: Client, where: str, person: Person) -> None:
    address = f"{GROUPS}/{where}/shared-items"
    marked = {**A, "item_name": f"only-{where[:1]}.safetensors"}
    assert client.post(address, json=marked).status_code == 200
    listed = [i["item_name"] for i in client.get(address).json()["items"]]
    assert marked["item_name"] in listed
    # Not in the list of a user who has the role: that is what they were given themselves.
    assert client.get(path(person)).json() == {"items": []}
    assert client.delete(address, json=marked).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("where", [f"{USERS}/nobody", f"{GROUPS}/nobody", f"{GROUPS}/x%2Fy"])
def test_unknown_holders_are_not_found(client: Client, method: str, where: str) -> None:
    answer = client.request(method, f"{where}/shared-items", json=A)
    check_refusal(answer, 404, "NOT_FOUND")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "folder"),
        ({"item_name": "a"}, "folder"),
        ({"folder": "loras"}, "item_name"),
        ({**A, "folder": "../x"}, "folder"),
        ({**A, "folder": None}, "folder"),
        ({**A, "item_name": ["a"]}, "item_name"),
        ({**A, "item_name": "a/../b"}, "item_name"),
        ({**A, "item_name": "x" * 501}, "item_name"),
        ({**A, "source_backend": {}}, "source_backend"),
        ({"items": A}, "items"),
        ({"items": [7]}, "items"),
        ({"items": [A] * 20_001}, "items"),
        ([A], None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_malformed_bodies_are_refused_with_their_field(
    client: Client, person: Person, method: str, body: object, field: str | None
) -> None:
    fields = {} if field is None else {"field": field}
    answer = client.request(method, path(person), json=body)
    check_refusal(answer, 400, "BAD_REQUEST", **fields)
    assert client.get(path(person)).json() == {"items": []}


def test_who_may_not_share_reads_no_list(
    gateway: Gateway, client: Client, person: Person, newcomer: Newcomer
) -> None:
    charlie = newcomer()
    client.post(path(person), json=A)
    own = app(gateway, person)
    for answer in (
        own.get(path(person)),
        own.post(path(person), json=B),
        own.delete(path(person), json=A),
        own.get(path(charlie)),
        own.get(f"{USERS}/nobody/shared-items"),
        own.get(f"{GROUPS}/user/shared-items"),
        own.get(f"{GROUPS}/nobody/shared-items"),
    ):
        check_refusal(answer, 403, "PERMISSION_DENIED", permission="can_manage_model_sharing")
    assert [i["item_name"] for i in client.get(path(person)).json()["items"]] == [A["item_name"]]


def test_list_says_when_a_model_was_given(client: Client, person: Person) -> None:
    began = datetime.now(UTC)
    client.post(path(person), json=A)
    (item,) = client.get(path(person)).json()["items"]
    assert began <= datetime.fromisoformat(item["created_at"]) <= datetime.now(UTC)


def test_methods_that_are_not_there_are_told_so(client: Client, person: Person) -> None:
    for where in (path(person), f"{GROUPS}/user/shared-items"):
        check_refusal(client.put(where, json=A), 405, "METHOD_NOT_ALLOWED")
        head = client.head(where)
        assert (head.status_code, head.content, head.headers["Cache-Control"]) == (
            200,
            b"",
            "no-store",
        )


def test_tokens_share_if_their_scopes_and_their_way_in_allow_it(
    gateway: Gateway, sharer: Person, person: Person
) -> None:
    scoped = Client(gateway.url, mint(gateway, sharer, scopes=["can_manage_model_sharing"]))
    assert scoped.post(path(person), json=A).status_code == 200
    other = Client(gateway.url, mint(gateway, sharer, scopes=["can_access_api"]))
    in_path = mint(gateway, sharer, in_path=True)
    for client in (other, Client(gateway.url, in_path), Client(f"{gateway.url}/t/{in_path}")):
        for method in ("GET", "POST", "DELETE"):
            answer = client.request(method, path(person), json=A)
            assert (answer.status_code, answer.json()["code"]) == (403, "PERMISSION_DENIED")
    assert [i["item_name"] for i in scoped.get(path(person)).json()["items"]] == [A["item_name"]]


def test_sharer_with_a_second_factor_must_have_shown_it(
    gateway: Gateway, newcomer: Newcomer, person: Person
) -> None:
    careful = newcomer("sharer")
    client = app(gateway, careful)
    assert client.get(path(person)).status_code == 200
    enrol(gateway, careful)
    before = app(gateway, careful)
    check_refusal(before.get(path(person)), 403, "PERMISSION_DENIED")
    proved = """
from accounts import models, proofs
user = models.User.objects.get(username=username)
_, result = proofs.start_session(user, ip=None, user_agent="tests", second_factor=True)
"""
    jwt = str(gateway.run(proved, username=careful.username))
    assert Client(gateway.url, jwt).post(path(person), json=A).status_code == 200
