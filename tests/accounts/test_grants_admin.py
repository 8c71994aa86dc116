"""The admin's list and form of model grants: who may, what is refused, the one row in the log."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.accounts.acting import Newcomer, browser
from tests.browser import Browser
from tests.cast import Person
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

GRANTS = "/admin/accounts/modelgrant/"
# Staff of the installation's own: some who give models, some who only look after users.
MAKE = """
from django.contrib.auth.models import Group, Permission
from accounts.models import Role
for slug, names in (("giver", ["can_manage_model_sharing"]), ("warden", ["view_user"])):
    role, _ = Role.objects.get_or_create(slug=slug, title=slug, rank=50, is_staff=True)
    role.permissions.set(Permission.objects.filter(codename__in=names))
Role.objects.get_or_create(slug="painting", title="Painting", rank=30)
Group.objects.get_or_create(name="team-of-grants")
"""
REMOVE = """
from django.contrib.auth.models import Group
from accounts.models import Role, User
slugs = ["giver", "warden", "painting"]
User.objects.filter(role__in=slugs).delete()
for role in Role.objects.filter(slug__in=slugs):
    role.delete()
Group.objects.filter(name="team-of-grants").delete()
"""
KEYS = """
from django.contrib.auth.models import Group
from accounts.models import Role, User
result = {
    "user": User.objects.get(username=username).pk,
    "role": Role.objects.get(slug="painting").pk,
    "team": Group.objects.get(name="team-of-grants").pk,
}
"""
HELD = """
from accounts.models import ModelGrant
rows = ModelGrant.objects.filter(user__username=username)
result = [[row.folder, row.item_name, row.source_backend, row.granted_by.username] for row in rows]
"""
GIVE = """
from accounts import granting, models
user = models.User.objects.get(username=username)
rows = granting.grant(user, [granting.item("loras", name) for name in names], actor=user)
result = [row.pk for row in rows]
"""
TOLD = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(actor_name=actor).exclude(event="login").order_by("id")
result = [[row.event, row.subject_name, row.ip, row.details] for row in rows]
"""


@pytest.fixture(scope="module", autouse=True)
def roles(gateway: Gateway) -> Iterator[None]:
    gateway.run(MAKE)
    yield
    gateway.run(REMOVE)


@pytest.fixture
def chief(newcomer: Newcomer) -> Person:
    return newcomer("admin")


@pytest.fixture
def admin(gateway: Gateway, chief: Person) -> Browser:
    return browser(gateway, chief)


@pytest.fixture
def person(newcomer: Newcomer) -> Person:
    return newcomer()


@pytest.fixture
def keys(gateway: Gateway, person: Person) -> dict[str, int]:
    return dict(gateway.run(KEYS, username=person.username))


def held(gateway: Gateway, person: Person) -> list[Any]:
    return list(gateway.run(HELD, username=person.username))


def said(page: Browser) -> str:
    found = re.search(r'<ul class="messagelist">(.*?)</ul>', page.get(GRANTS).text, re.DOTALL)
    return "" if found is None else re.sub(r"<[^>]+>", "", found[1]).strip()


def test_grant_is_added_changed_and_deleted_each_with_one_row(
    gateway: Gateway, admin: Browser, chief: Person, person: Person, keys: dict[str, int]
) -> None:
    new = {"user": keys["user"], "folder": "unet", "item_name": "a\\b.gguf"}
    assert admin.submit(f"{GRANTS}add/", **new).status_code == 302
    assert held(gateway, person) == [["diffusion_models", "a/b.gguf", "", chief.username]]
    (key,) = set(
        re.findall(rf"{GRANTS}(\d+)/change/", admin.get(f"{GRANTS}?q={person.username}").text)
    )
    page = f"{GRANTS}{key}/change/"
    changed = {"item_name": "x/*", "source_backend": "http://far"}
    assert admin.submit(page, **changed).status_code == 302
    assert admin.submit(page).status_code == 302  # nothing changed: no row
    assert held(gateway, person) == [["diffusion_models", "x/*", "http://far", chief.username]]
    assert admin.submit(f"{GRANTS}{key}/delete/").status_code == 302
    assert held(gateway, person) == []
    rows = gateway.run(TOLD, actor=chief.username)
    holder = {"holder": f"user {person.username}"}
    before, after = "diffusion_models/a/b.gguf", "diffusion_models/x/*"
    assert rows == [
        [event, person.username, "127.0.0.1", holder | details]
        for event, details in (
            ("grant.added", {"models": [before], "count": 1}),
            ("grant.changed", {"before": before, "after": after}),
            ("grant.removed", {"models": [after], "count": 1}),
        )
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, "Choose one: a user, a role or a team."),
        ({"user": "user", "role": "painting"}, "Choose one: a user, a role or a team."),
        ({"user": "user", "folder": "a/b"}, "folder must name a model folder."),
        ({"user": "user", "item_name": "../x"}, "item_name leaves its folder."),
        ({"user": "user", "item_name": "*a*b*c*d*"}, "item_name may hold at most 4 stars."),
        ({"user": "user", "folder": ""}, "This field is required."),
        ({"user": 999_999}, "Select a valid choice."),
        ({"team": "role"}, "Select a valid choice."),
    ],
    ids=str,
)
def test_what_is_no_grant_is_said_at_its_field_and_not_kept(
    gateway: Gateway,
    admin: Browser,
    person: Person,
    keys: dict[str, int],
    change: dict[str, Any],
    complaint: str,
) -> None:
    # A role is a group as well, and no team.
    sent = {k: keys.get(v, v) if k in ("user", "team") else v for k, v in change.items()}
    answer = admin.submit(f"{GRANTS}add/", **{"folder": "loras", "item_name": "a", **sent})
    assert (answer.status_code, complaint in answer.text) == (200, True)
    assert held(gateway, person) == []


def test_giving_what_is_given_is_no_fault_and_changing_into_it_is_told(
    gateway: Gateway, admin: Browser, chief: Person, person: Person, keys: dict[str, int]
) -> None:
    first, _ = gateway.run(GIVE, username=person.username, names=["a", "b"])
    new = {"user": keys["user"], "folder": "loras", "item_name": "a"}
    assert admin.submit(f"{GRANTS}add/", **new).status_code == 302
    assert admin.submit(f"{GRANTS}{first}/change/", item_name="b").status_code == 302
    assert "They have this model already." in said(admin)
    assert [row[1] for row in held(gateway, person)] == ["a", "b"]
    assert gateway.run(TOLD, actor=chief.username) == []


def test_chosen_grants_are_deleted_with_a_row_for_each_holder(
    gateway: Gateway, admin: Browser, chief: Person, person: Person, newcomer: Newcomer
) -> None:
    other = newcomer()
    chosen = gateway.run(GIVE, username=person.username, names=["a", "b", "kept"])[:2]
    chosen += gateway.run(GIVE, username=other.username, names=["a"])
    form = {"action": "delete_selected", "_selected_action": chosen}
    asked = admin.submit(f"{GRANTS}?q=loras", **form)
    assert (asked.status_code, "Are you sure" in asked.text) == (200, True)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', asked.text)
    assert token is not None
    sent = form | {"post": "yes", "csrfmiddlewaretoken": token[1]}
    assert admin.post(GRANTS, data=sent).status_code == 302
    assert [row[1] for row in held(gateway, person) + held(gateway, other)] == ["kept"]
    rows = gateway.run(TOLD, actor=chief.username)
    assert sorted((row[0], row[1], row[3]["count"]) for row in rows) == sorted(
        [("grant.removed", person.username, 2), ("grant.removed", other.username, 1)]
    )


def pages(keys: dict[str, int], grant: int) -> list[str]:
    give = [f"{GRANTS}give/{kind}/{key}/" for kind, key in keys.items()]
    own = ["", "add/", f"{grant}/change/", f"{grant}/delete/", f"{grant}/history/"]
    return [*give, *(GRANTS + path for path in (*own, "matrix/", "import/", "export.csv"))]


def test_staff_with_the_capability_may_and_others_of_the_staff_may_nothing(
    gateway: Gateway, newcomer: Newcomer, person: Person, keys: dict[str, int]
) -> None:
    giver, warden = (browser(gateway, newcomer(role)) for role in ("giver", "warden"))
    (grant,) = gateway.run(GIVE, username=person.username, names=["a"])
    every = pages(keys, grant)
    assert [giver.get(path).status_code for path in every] == [200] * len(every)
    assert [warden.get(path).status_code for path in every] == [403] * len(every)
    index = [page.get("/admin/").text.count(f'href="{GRANTS}"') > 0 for page in (giver, warden)]
    assert index == [True, False]
    csrf = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', warden.get("/admin/").text)
    token = {"csrfmiddlewaretoken": csrf[1] if csrf else ""}
    body = {"user": keys["user"], "folder": "loras", "item_name": "b", "do": "save", "before": "[]"}
    answers = [warden.post(path, data=token | body | {"m": "loras/b"}) for path in every]
    assert {answer.status_code for answer in answers} == {403}
    # Who may not look at users chooses from a plain list of names.
    assert giver.submit(f"{GRANTS}add/", **{k: body[k] for k in ("user", "folder", "item_name")})
    assert [row[1] for row in held(gateway, person)] == ["a", "b"]


@pytest.mark.parametrize("role", ["guest", "user", "power"])
def test_who_is_no_staff_is_sent_to_the_login(
    gateway: Gateway, newcomer: Newcomer, keys: dict[str, int], role: str
) -> None:
    page = browser(gateway, newcomer(role))
    for path in pages(keys, 1):
        answer = page.get(path)
        assert (answer.status_code, answer.headers["Location"][:10]) == (302, "/admin/log")


def test_holders_pages_lead_to_their_models(
    admin: Browser, gateway: Gateway, newcomer: Newcomer, keys: dict[str, int]
) -> None:
    places = {"user": "accounts/user", "role": "accounts/role", "team": "auth/group"}
    warden = browser(gateway, newcomer("warden"))
    for kind, place in places.items():
        address = f"/admin/{place}/{keys[kind]}/change/"
        link = f'href="{GRANTS}give/{kind}/{keys[kind]}/"'
        assert link in admin.get(address).text
        assert link not in warden.get(address).text
    listed = f"{GRANTS}?q=nothing-like-it"
    assert f'href="{GRANTS}matrix/"' in admin.get(listed).text
    for kind, key in (("user", 999_999), ("crew", keys["user"]), ("team", keys["role"])):
        assert admin.get(f"{GRANTS}give/{kind}/{key}/").status_code == 302
        assert said(admin) == "There is no such user, role or team."


@pytest.mark.parametrize(("kind", "place"), [("role", "accounts/role"), ("team", "auth/group")])
def test_deleting_a_holder_tells_how_many_grants_went_along(
    gateway: Gateway, admin: Browser, chief: Person, kind: str, place: str
) -> None:
    key = gateway.run(
        """
from django.contrib.auth.models import Group
from accounts import granting, models
if kind == "role":
    holder = models.Role.objects.create(slug="leaving", title="Leaving", rank=10)
else:
    holder = Group.objects.create(name="leaving")
granting.grant(holder, [granting.item("loras", name) for name in "abc"], actor=None)
result = holder.pk
""",
        kind=kind,
    )
    assert admin.submit(f"/admin/{place}/{key}/delete/").status_code == 302
    ((event, _, _, details),) = gateway.run(TOLD, actor=chief.username)
    assert (event, details["model_grants"]) == (
        "role.deleted" if kind == "role" else "admin.deleted",
        3,
    )
    left = "from accounts.models import ModelGrant as m; result = m.objects.filter(folder='loras', "
    left += "user=None, item_name__in='abc').count()"
    assert gateway.run(left) == 0
