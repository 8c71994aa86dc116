"""Managing people in the admin: every change is checked, works at once and leaves its trace."""

import re
from typing import Any

import pytest

from tests.accounts.acting import Newcomer, app, browser, mint, session
from tests.browser import Browser, form_fields
from tests.cast import Person
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("log_without_secrets")

ME = "/mss-login/api/me"
USERS = "/admin/accounts/user/"
NEW_PASSWORD = "Another-77-secret"

USER = """
from accounts.models import AuditEntry, User
found = User.objects.filter(username=username).first()
result = found and {
    "pk": found.pk, "role": found.role_id, "active": found.is_active,
    "namespace": found.namespace, "usable": found.has_usable_password(),
}
"""
TRAIL = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(subject_name=username).order_by("id")
result = [[row.event, row.actor_name] for row in rows]
"""


@pytest.fixture(scope="module")
def adam(newcomer: Newcomer) -> Person:
    return newcomer("admin")


@pytest.fixture(scope="module")
def admin(gateway: Gateway, adam: Person) -> Browser:
    return browser(gateway, adam)


def user(gateway: Gateway, username: str) -> dict[str, Any]:
    return dict(gateway.run(USER, username=username) or {})


def page_of(gateway: Gateway, person: Person, action: str = "change") -> str:
    return f"{USERS}{user(gateway, person.username)['pk']}/{action}/"


def said(browser: Browser, path: str = USERS) -> str:
    """The message that the next page shows."""
    found = re.search(r'<ul class="messagelist">(.*?)</ul>', browser.get(path).text, re.DOTALL)
    return re.sub(r"<[^>]+>", "", found[1]).strip() if found else ""


def faults(html: str) -> list[str]:
    lists = re.findall(r'<ul class="errorlist[^>]*>(.*?)</ul>', html, re.DOTALL)
    return [re.sub(r"<[^>]+>", "", text) for text in lists]


def add(admin: Browser, **fields: str) -> Any:
    return admin.submit(USERS + "add/", **fields)


def test_admin_adds_a_user_who_can_log_in(gateway: Gateway, admin: Browser, adam: Person) -> None:
    answer = add(admin, username="nadia", password=NEW_PASSWORD, role="power")
    assert (answer.status_code, answer.headers["Location"]) == (302, USERS)
    made = user(gateway, "nadia")
    assert (made["role"], made["active"], len(made["namespace"])) == ("power", True, 12)
    assert gateway.run(TRAIL, username="nadia") == [["user.created", adam.username]]
    login = Client(gateway.url).post("/login", json={"username": "nadia", "password": NEW_PASSWORD})
    assert login.status_code == 200
    assert "nadia</a>" in admin.get(USERS + "?q=nad").text


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"username": ""}, "This field is required."),
        ({"username": "two words"}, "Enter a valid username."),
        ({"username": "ALICE"}, "accounts_username_any_case"),
        ({"username": "x" * 151}, "at most 150 characters"),
        ({"username": "nul\0"}, "Null characters are not allowed."),
        ({"password": ""}, "This field is required."),
        ({"password": "short-1"}, "too short"),
        ({"password": "12345678901"}, "entirely numeric"),
        ({"password": "Long-9" + "x" * 1100}, "too long"),
        ({"role": ""}, "This field is required."),
        ({"role": "emperor"}, "Select a valid choice."),
        ({"role": "owner"}, "Select a valid choice."),
    ],
)
def test_a_bad_form_says_what_is_wrong_and_makes_nobody(
    gateway: Gateway, admin: Browser, changes: dict[str, str], fault: str
) -> None:
    fields = {"username": "mallory", "password": NEW_PASSWORD, "role": "user"} | changes
    answer = add(admin, **fields)
    assert answer.status_code == 200
    assert fault in " ".join(faults(answer.text))
    assert user(gateway, "mallory") == {}


def test_admin_changes_name_and_overrides(
    gateway: Gateway, newcomer: Newcomer, admin: Browser
) -> None:
    person = newcomer()
    client = app(gateway, person)
    before = user(gateway, person.username)
    assert client.get(ME).json()["username"] == person.username
    page = page_of(gateway, person)
    renamed = admin.submit(page, username="renamed-person", sfw_enforced="true")
    assert renamed.status_code == 302
    me = client.get(ME).json()
    assert (me["username"], me["sfw_enforced"]) == ("renamed-person", True)
    assert user(gateway, "renamed-person")["namespace"] == before["namespace"]


def test_admin_changes_a_role_and_the_trail_says_who_did_it(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, adam: Person
) -> None:
    person = newcomer()
    assert admin.submit(page_of(gateway, person), role="power").status_code == 302
    assert user(gateway, person.username)["role"] == "power"
    assert gateway.run(TRAIL, username=person.username) == [["user.role", adam.username]]


def test_admin_sets_a_password_and_every_session_ends(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, adam: Person
) -> None:
    person = newcomer()
    client = app(gateway, person)
    assert client.get(ME).status_code == 200
    page = page_of(gateway, person, "password")
    for weak, fault in (
        ("short-1", "too short"),
        ("", "This field is required."),
        ("Long-9" + "x" * 1100, "too long"),
        ("a\0bcdefgh-77", "Null characters"),
    ):
        answer = admin.submit(page, new_password1=weak, new_password2=weak)
        assert (answer.status_code, fault in " ".join(faults(answer.text))) == (200, True)
    differ = admin.submit(page, new_password1=NEW_PASSWORD, new_password2=NEW_PASSWORD + "x")
    assert len(faults(differ.text)) == 1
    unusable = admin.submit(page, usable_password="false")
    assert unusable.status_code == 200
    assert (client.get(ME).status_code, user(gateway, person.username)["usable"]) == (200, False)

    done = admin.submit(page, new_password1=NEW_PASSWORD, new_password2=NEW_PASSWORD)
    assert done.status_code == 302
    assert said(admin, done.headers["Location"]).endswith("all sessions have ended.")
    assert client.get(ME).json()["code"] == "TOKEN_REVOKED"
    body = {"username": person.username, "password": NEW_PASSWORD}
    assert Client(gateway.url).post("/login", json=body).status_code == 200
    assert ["user.password", adam.username] in gateway.run(TRAIL, username=person.username)


def test_admin_logs_people_out_everywhere_but_leaves_their_tokens(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, adam: Person
) -> None:
    people = [newcomer(), newcomer()]
    sessions = [app(gateway, people[0]), app(gateway, people[0]), app(gateway, people[1])]
    token = Client(gateway.url, mint(gateway, people[0]))
    bystander = app(gateway, newcomer())
    assert {client.get(ME).status_code for client in (*sessions, token, bystander)} == {200}
    keys = [user(gateway, person.username)["pk"] for person in people]
    done = admin.submit(USERS, action="log_out_everywhere", confirmed="yes", _selected_action=keys)
    assert done.status_code == 302
    # Making the token above took a session too.
    assert said(admin) == "Ended 4 sessions."
    assert {client.get(ME).json()["code"] for client in sessions} == {"TOKEN_REVOKED"}
    assert {client.get(ME).status_code for client in (token, bystander)} == {200}
    assert ["sessions.ended", adam.username] in gateway.run(TRAIL, username=people[1].username)


@pytest.mark.parametrize("model", ["session", "apitoken"])
def test_admin_ends_a_single_session_or_token(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, model: str
) -> None:
    person = newcomer()
    # For the token a session is made first; only the newest row of the model is deleted.
    token = session(gateway, person) if model == "session" else mint(gateway, person)
    client = Client(gateway.url, token)
    assert client.get(ME).status_code == 200
    listed = admin.get(f"/admin/accounts/{model}/?q={person.username}").text
    page = re.search(rf'href="(/admin/accounts/{model}/[^/]+/)change/', listed)
    assert page is not None
    assert admin.submit(page[1] + "delete/").status_code == 302
    assert client.get(ME).json()["code"] in ("TOKEN_REVOKED", "TOKEN_INVALID")


def test_admin_sees_a_tokens_limits_and_its_last_use(
    gateway: Gateway, newcomer: Newcomer, admin: Browser
) -> None:
    person = newcomer()
    token = mint(gateway, person, networks=["127.0.0.0/8", "192.0.2.7"], in_path=True)
    assert Client(gateway.url, token).get(ME).status_code == 200
    listed = admin.get(f"/admin/accounts/apitoken/?q={person.username}").text
    page = re.search(r'href="(/admin/accounts/apitoken/[^/]+/change/)', listed)
    assert page is not None
    wait_until(lambda: ">127.0.0.1<" in admin.get(page[1]).text)
    shown = admin.get(page[1]).text
    assert "127.0.0.0/8" in shown and "192.0.2.7/32" in shown
    assert re.search(
        r"may stand in the address.*?>\s*check_small\s*<", shown, re.DOTALL | re.IGNORECASE
    )
    # It is looked at, not edited.
    assert not {"networks", "in_path"} & set(form_fields(shown))
    assert admin.post(page[1], data={"networks": "[]"}).status_code == 403


def test_roles_page_refuses_what_would_break(gateway: Gateway, admin: Browser) -> None:
    gateway.run("from django.contrib.auth.models import Group; Group.objects.create(name='crew-7')")
    form = {"title": "Crew", "slug": "crew-7", "rank": "30"}
    refused = admin.submit("/admin/accounts/role/add/", **form)
    assert (refused.status_code, faults(refused.text)) == (200, ["A team has this name."])
    for limit in ("-1", "x", "1.5"):
        answer = admin.submit(
            "/admin/accounts/role/add/", **form | {"slug": "x"}, max_waiting_prompts=limit
        )
        assert (answer.status_code, len(faults(answer.text))) == (200, 1), limit
    team = admin.submit("/admin/auth/group/add/", name="user")
    assert "already exists" in team.text
    made = "from accounts.models import Role; result = Role.objects.filter(slug__in=s).count()"
    assert gateway.run(made, s=["crew-7", "x"]) == 0


def test_teams_page_shows_no_role(gateway: Gateway, admin: Browser) -> None:
    gateway.run(
        "from django.contrib.auth.models import Group; Group.objects.get_or_create(name='crew-8')"
    )
    teams = admin.get("/admin/auth/group/").text
    listed = re.findall(r'/change/" class="[^"]*" ?>([^<]+)</a>', teams)
    assert "crew-8" in listed and not {"owner", "admin", "user", "guest"} & set(listed)
    key = gateway.run(
        "from accounts.models import Role; result = Role.objects.get(slug='owner').pk"
    )
    assert admin.get(f"/admin/auth/group/{key}/change/").status_code == 302
