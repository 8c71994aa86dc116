"""Staff below the admins, and admins below the owner: nobody touches who ranks above them."""

import re
from collections.abc import Iterator

import pytest

from tests.accounts.acting import Newcomer, app, browser, mint
from tests.browser import Browser
from tests.cast import Person
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

USERS = "/admin/accounts/user/"
ME = "/mss-login/api/me"
NEW_PASSWORD = "Another-77-secret"

# A role of the installation's own: staff that looks after users.
MAKE_HELPDESK = """
from django.contrib.auth.models import Permission
from accounts.models import Role
role = Role.objects.create(slug="helpdesk", title="Helpdesk", rank=50, is_staff=True)
manage = Permission.objects.filter(content_type__app_label__in=["accounts", "auth"])
role.permissions.set(manage.exclude(codename__startswith="can_"))
# Whoever gives a role must hold what it holds.
role.permissions.add(*Role.objects.get(slug="user").permissions.all())
strong = Role.objects.create(slug="strong", title="Strong", rank=30)
strong.permissions.add(Permission.objects.get(codename="can_manage_backend"))
"""
REMOVE_HELPDESK = """
from accounts.models import Role, User
User.objects.filter(role__in=["helpdesk", "strong"]).delete()
for role in Role.objects.filter(slug__in=["helpdesk", "strong"]):
    role.delete()
"""
COUNT_USERS = """
from accounts.models import User
result = User.objects.filter(username=username).count()
"""
ROLE_KEYS = """
from accounts.models import Role
result = dict(Role.objects.values_list("slug", "pk"))
"""
STATE = """
from accounts.models import User
user = User.objects.get(username=username)
result = [user.pk, user.role_id, user.is_active, user.password, user.email,
    sorted(user.user_permissions.values_list("codename", flat=True))]
"""


@pytest.fixture(scope="module", autouse=True)
def helpdesk_role(gateway: Gateway) -> Iterator[None]:
    gateway.run(MAKE_HELPDESK)
    yield
    gateway.run(REMOVE_HELPDESK)


@pytest.fixture(scope="module")
def helga(newcomer: Newcomer, helpdesk_role: None) -> Person:
    return newcomer("helpdesk")


@pytest.fixture(scope="module")
def helpdesk(gateway: Gateway, helga: Person) -> Browser:
    return browser(gateway, helga)


@pytest.fixture(scope="module")
def admin(gateway: Gateway, newcomer: Newcomer) -> Browser:
    return browser(gateway, newcomer("admin"))


def state(gateway: Gateway, username: str) -> list[object]:
    return list(gateway.run(STATE, username=username))


def attack(page: Browser, key: object) -> dict[str, int]:
    """Try everything against one account, past the pages that would not offer it."""
    csrf = {"csrfmiddlewaretoken": csrf_token(page)}
    change = {"username": "taken-over", "email": "x@example.org", "role": "guest"}
    new = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    chosen = {"_selected_action": [key], "post": "yes"}
    return {
        "change": page.post(f"{USERS}{key}/change/", data=csrf | change).status_code,
        "password page": page.get(f"{USERS}{key}/password/").status_code,
        "password": page.post(f"{USERS}{key}/password/", data=csrf | new).status_code,
        "delete": page.post(f"{USERS}{key}/delete/", data=csrf | {"post": "yes"}).status_code,
        "delete action": page.post(
            USERS, data=csrf | chosen | {"action": "delete_selected"}
        ).status_code,
    }


def csrf_token(page: Browser) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.get(USERS).text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("victim", ["admin", "owner"])
def test_helpdesk_cannot_touch_who_ranks_above(
    gateway: Gateway, newcomer: Newcomer, helpdesk: Browser, victim: str
) -> None:
    name = "olga" if victim == "owner" else newcomer("admin").username
    client = app(gateway, Person(name, victim))
    token = Client(gateway.url, mint(gateway, Person(name, victim)))
    before = state(gateway, name)
    assert set(attack(helpdesk, before[0]).values()) == {403}
    helpdesk.submit(
        USERS, action="log_out_everywhere", confirmed="yes", _selected_action=[before[0]]
    )
    assert state(gateway, name) == before
    assert [c.get(ME).status_code for c in (client, token)] == [200, 200]


def test_admin_cannot_touch_the_owner(gateway: Gateway, admin: Browser, owner: Client) -> None:
    before = state(gateway, "olga")
    assert owner.get(ME).status_code == 200
    assert set(attack(admin, before[0]).values()) == {403}
    admin.submit(USERS, action="log_out_everywhere", confirmed="yes", _selected_action=[before[0]])
    assert state(gateway, "olga") == before
    assert owner.get(ME).status_code == 200


def test_owner_cannot_harm_the_ownership_by_mistake(gateway: Gateway, owner: Client) -> None:
    page = Browser(gateway.url, owner.token)
    before = state(gateway, "olga")
    key = before[0]
    page.submit(f"{USERS}{key}/change/", role="admin")
    page.submit(f"{USERS}{key}/change/", is_active=None)
    csrf = {"csrfmiddlewaretoken": csrf_token(page), "post": "yes"}
    assert page.post(f"{USERS}{key}/delete/", data=csrf).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [key]}
    assert page.post(USERS, data=csrf | chosen).status_code == 403
    assert state(gateway, "olga") == before


def test_owner_cannot_make_a_second_owner(
    gateway: Gateway, newcomer: Newcomer, owner: Client
) -> None:
    page = Browser(gateway.url, owner.token)
    heir = newcomer("admin")
    before = state(gateway, heir.username)
    page.submit(f"{USERS}{before[0]}/change/", role="owner")
    page.submit(USERS + "add/", username="second", password=NEW_PASSWORD, role="owner")
    assert state(gateway, heir.username) == before
    count = (
        "from accounts.models import User; result = User.objects.filter(username='second').count()"
    )
    assert gateway.run(count) == 0


def test_nobody_gives_a_role_above_their_own(
    gateway: Gateway, newcomer: Newcomer, helpdesk: Browser, helga: Person
) -> None:
    person = newcomer()
    for name in (person.username, helga.username):
        before = state(gateway, name)
        for role in ("power", "admin", "owner"):
            answer = helpdesk.submit(f"{USERS}{before[0]}/change/", role=role)
            assert (answer.status_code, "Select a valid choice" in answer.text) == (200, True)
        assert state(gateway, name) == before
    answer = helpdesk.submit(USERS + "add/", username="friend", password=NEW_PASSWORD, role="admin")
    assert "Select a valid choice" in answer.text


def test_helpdesk_gives_no_role_that_may_do_more_than_itself(
    gateway: Gateway, newcomer: Newcomer, helpdesk: Browser
) -> None:
    """`strong` ranks lower, and holds a capability that the helpdesk does not."""
    person = newcomer()
    before = state(gateway, person.username)
    helpdesk.submit(f"{USERS}{before[0]}/change/", role="strong")
    assert "This role may do more than you." in helpdesk.get(USERS).text
    assert state(gateway, person.username) == before
    helpdesk.submit(USERS + "add/", username="ally", password=NEW_PASSWORD, role="strong")
    assert gateway.run(COUNT_USERS, username="ally") == 0


def test_nobody_changes_their_own_role(gateway: Gateway, helpdesk: Browser, helga: Person) -> None:
    before = state(gateway, helga.username)
    helpdesk.submit(f"{USERS}{before[0]}/change/", role="user")
    assert "Nobody changes their own role." in helpdesk.get(USERS).text
    assert state(gateway, helga.username) == before


def test_helpdesk_gives_nobody_capabilities_it_lacks(
    gateway: Gateway, newcomer: Newcomer, helpdesk: Browser, helga: Person
) -> None:
    keys = gateway.run(
        """
from django.contrib.auth.models import Permission
result = list(Permission.objects.filter(codename__startswith="can_").values_list("pk", flat=True))
"""
    )
    assert len(keys) == 14
    for name in (newcomer().username, helga.username):
        key = state(gateway, name)[0]
        answer = helpdesk.submit(f"{USERS}{key}/change/", user_permissions=keys)
        assert answer.status_code == 302
        assert state(gateway, name)[-1] == []


def test_helpdesk_keeps_what_an_admin_gave(
    gateway: Gateway, newcomer: Newcomer, helpdesk: Browser
) -> None:
    person = newcomer()
    gateway.run(
        """
from django.contrib.auth.models import Permission
from accounts.models import User
given = Permission.objects.get(codename="can_manage_backend")
User.objects.get(username=username).user_permissions.add(given)
""",
        username=person.username,
    )
    key = state(gateway, person.username)[0]
    assert helpdesk.submit(f"{USERS}{key}/change/", email="p@example.org").status_code == 302
    assert state(gateway, person.username)[-2:] == ["p@example.org", ["can_manage_backend"]]


def test_helpdesk_shapes_no_role(gateway: Gateway, helpdesk: Browser) -> None:
    roles = gateway.run(ROLE_KEYS)
    csrf = {"csrfmiddlewaretoken": csrf_token(helpdesk)}
    form = csrf | {"title": "X", "slug": "mine", "rank": "50", "is_staff": "on"}
    for path in ("add/", *(f"{key}/change/" for key in roles.values())):
        answer = helpdesk.post(f"/admin/accounts/role/{path}", data=form)
        assert answer.status_code == 403, path


def test_admin_neither_strips_the_owner_role_nor_makes_one_above(
    gateway: Gateway, admin: Browser
) -> None:
    key = gateway.run(
        "from accounts.models import Role; result = Role.objects.get(slug='owner').pk"
    )
    csrf = {"csrfmiddlewaretoken": csrf_token(admin)}
    form = csrf | {"title": "X", "slug": "above", "rank": "81", "blocked_node_classes": "[]"}
    attempts = [
        admin.post(f"/admin/accounts/role/{key}/change/", data=form),
        admin.post(f"/admin/accounts/role/{key}/delete/", data=csrf | {"post": "yes"}),
        admin.post("/admin/accounts/role/add/", data=form),
    ]
    assert [answer.status_code for answer in attempts] == [403, 403, 403]
    held = """
from accounts.models import Role
result = Role.objects.get(slug="owner").permissions.count()
"""
    assert gateway.run(held) == 14
    assert "above" not in gateway.run(ROLE_KEYS)


def test_helpdesk_manages_those_below(
    gateway: Gateway, newcomer: Newcomer, helpdesk: Browser
) -> None:
    """The counterpart of all these refusals: what the role is for does work."""
    person = newcomer()
    key = state(gateway, person.username)[0]
    assert helpdesk.submit(f"{USERS}{key}/change/", role="guest").status_code == 302
    assert state(gateway, person.username)[1] == "guest"
    done = helpdesk.submit(
        f"{USERS}{key}/password/", new_password1=NEW_PASSWORD, new_password2=NEW_PASSWORD
    )
    assert done.status_code == 302
    assert helpdesk.submit(f"{USERS}{key}/delete/", files="keep").status_code == 302
    assert gateway.run(COUNT_USERS, username=person.username) == 0


def test_helpdesk_puts_nobody_into_a_team_nor_frees_itself(
    gateway: Gateway, newcomer: Newcomer, helpdesk: Browser, helga: Person
) -> None:
    """A team's members have its models: to give these takes can_manage_model_sharing. What is
    kept from somebody, they do not allow themselves."""
    team = gateway.run(
        "from django.contrib.auth.models import Group\n"
        "result = Group.objects.create(name='rich').pk"
    )
    person = newcomer()
    for name in (person.username, helga.username):
        key = state(gateway, name)[0]
        answer = helpdesk.submit(f"{USERS}{key}/change/", groups=[team], sfw_enforced="false")
        assert answer.status_code == 302
    rest = (
        "from accounts.models import User\n"
        "user = User.objects.get(username=username)\n"
        "result = [user.groups.count(), user.sfw_enforced]"
    )
    assert gateway.run(rest, username=helga.username) == [0, None]
    # Of others it is theirs to decide.
    assert gateway.run(rest, username=person.username) == [0, False]
