"""Links in the admin: made within one's rank, shown once, taken back, and nowhere to be read."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import requests

from tests.accounts.acting import COUNTS, Newcomer, browser, invite, mint, password_link
from tests.browser import Browser, form_fields
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

LINKS = "/admin/accounts/accountlink/"
USERS = "/admin/accounts/user/"
ME = "/mss-login/api/me"
NEW = "Another-77-secret"

MAKE_HELPDESK = """
from django.contrib.auth.models import Permission
from accounts.models import Role
role = Role.objects.create(slug="frontdesk", title="Front desk", rank=50, is_staff=True)
manage = Permission.objects.filter(content_type__app_label__in=["accounts", "auth"])
role.permissions.set(manage.exclude(codename__startswith="can_"))
role.permissions.add(*Role.objects.get(slug="user").permissions.all())
watch = Role.objects.create(slug="watcher", title="Watcher", rank=50, is_staff=True)
watch.permissions.set(manage.filter(codename__startswith="view_"))
watch.permissions.add(*Role.objects.get(slug="user").permissions.all())
"""
REMOVE_HELPDESK = """
from accounts.models import Role, User
User.objects.filter(role__in=["frontdesk", "watcher"]).delete()
Role.objects.filter(slug__in=["frontdesk", "watcher"]).delete()
"""
KEYS = """
from accounts.models import AccountLink, Role, User
result = {
    "links": list(AccountLink.objects.values_list("pk", flat=True)),
    "roles": dict(Role.objects.values_list("slug", "pk")),
    "users": dict(User.objects.values_list("username", "pk")),
}
"""
TRAIL = """
from accounts.models import AuditEntry
row = AuditEntry.objects.filter(event=event).order_by("-id").first()
result = [row.actor_name, row.subject_name, row.details]
"""
DISABLE = """
from accounts.models import User
User.objects.filter(username=name).update(is_active=False)
"""


@pytest.fixture(scope="module")
def adam(newcomer: Newcomer) -> Person:
    return newcomer("admin")


@pytest.fixture(scope="module")
def admin(gateway: Gateway, adam: Person) -> Browser:
    return browser(gateway, adam)


@pytest.fixture(scope="module")
def desks(gateway: Gateway) -> Iterator[None]:
    gateway.run(MAKE_HELPDESK)
    yield
    gateway.run(REMOVE_HELPDESK)


def keys(gateway: Gateway) -> dict[str, Any]:
    return dict(gateway.run(KEYS))


def shown_link(page: requests.Response) -> str:
    """The link on the page that shows it once."""
    assert page.status_code == 200, (page.status_code, page.text[:300])
    found = re.search(r'<input id="link"[^>]* value="([^"]+)" readonly', page.text)
    assert found is not None, page.text
    return unescape(found[1])


def test_admin_invites_and_the_link_is_shown_once(
    gateway: Gateway, admin: Browser, adam: Person
) -> None:
    form = admin.get(LINKS + "add/")
    offered = re.findall(r'<option value="\d+"[^>]*>([^<]+)</option>', form.text)
    assert {"Admin", "Power user", "User", "Guest"} <= set(offered)
    assert "Owner" not in offered
    assert form_fields(form.text)["days"] == "7"
    chosen = str(keys(gateway)["roles"]["power"])
    page = admin.submit(LINKS + "add/", role=chosen, note="for Ada", days="3")
    link = shown_link(page)
    assert link.startswith(f"{gateway.url}/join?invite_token=")
    assert "mailed" not in page.text
    assert "no-store" in page.headers["Cache-Control"]
    token = link.partition("=")[2]
    for path in (
        LINKS,
        f"{LINKS}{keys(gateway)['links'][0]}/change/",
        "/admin/accounts/auditentry/",
    ):
        text = admin.get(path).text
        assert token not in text and "for Ada" in text
    actor, _, details = gateway.run(TRAIL, event="invitation.created")
    assert actor == adam.username
    assert details.pop("expires_at")
    assert details == {"role": "power", "note": "for Ada", "email": ""}
    body = {"invite_token": token, "username": "ada", "password": PASSWORD}
    assert Client(gateway.url).post("/join", json=body).status_code == 200
    assert "ada</a>" in admin.get(USERS + "?q=ada").text


@pytest.mark.parametrize(
    "changes",
    [
        {"days": "0"},
        {"days": "91"},
        {"days": "soon"},
        {"days": ""},
        {"role": ""},
        {"role": "owner-key"},
        {"email": "nobody"},
        {"email": "a@example.org\r\nBcc: b@example.org"},
        {"note": "x" * 101},
        {"note": "nul\0"},
    ],
    ids=str,
)
def test_a_bad_form_says_so_and_makes_no_link(
    gateway: Gateway, admin: Browser, changes: dict[str, str]
) -> None:
    if changes.get("role"):
        changes = {"role": str(keys(gateway)["roles"]["owner"])}
    before = keys(gateway)["links"]
    page = admin.submit(LINKS + "add/", **changes)
    assert (page.status_code, "errorlist" in page.text) == (200, True)
    assert "invite_token" not in page.text
    assert keys(gateway)["links"] == before


def test_staff_invites_within_its_rank_and_powers(
    gateway: Gateway, newcomer: Newcomer, desks: None
) -> None:
    desk = browser(gateway, newcomer("frontdesk"))
    offered = re.findall(r"<option[^>]*>([^<]+)</option>", desk.get(LINKS + "add/").text)
    assert {"User", "Guest", "Front desk"} <= set(offered)
    assert not {"Admin", "Owner", "Power user"} & set(offered)
    before = keys(gateway)["links"]
    for slug in ("admin", "owner", "power"):
        page = desk.submit(LINKS + "add/", role=str(keys(gateway)["roles"][slug]))
        assert "Select a valid choice" in page.text
    assert keys(gateway)["links"] == before
    shown_link(desk.submit(LINKS + "add/", role=str(keys(gateway)["roles"]["user"])))


def test_who_only_looks_makes_and_revokes_no_link(
    gateway: Gateway, newcomer: Newcomer, desks: None, adam: Person
) -> None:
    person = newcomer()
    invite(gateway, adam, note="to be seen")
    state = keys(gateway)
    watcher = browser(gateway, newcomer("watcher"))
    page = watcher.get(LINKS)
    assert "to be seen" in page.text and "accountlink/add/" not in page.text
    key = state["users"][person.username]
    assert "Make a password link" not in watcher.get(f"{USERS}{key}/change/").text
    csrf = {"csrfmiddlewaretoken": form_fields(page.text).get("csrfmiddlewaretoken") or "x"}
    for path in (
        LINKS + "add/",
        f"{LINKS}{state['links'][0]}/delete/",
        f"{USERS}{key}/password-link/",
    ):
        assert watcher.post(path, data=csrf).status_code == 403, path
    assert keys(gateway)["links"] == state["links"]


def test_nobody_but_staff_sees_links(gateway: Gateway, newcomer: Newcomer) -> None:
    for client in (browser(gateway, newcomer("power")), Browser(gateway.url)):
        for path in (LINKS, LINKS + "add/"):
            answer = client.get(path)
            assert answer.status_code == 302
            assert answer.headers["Location"].startswith("/admin/login/?")


@pytest.mark.parametrize("how", ["page", "action"])
def test_admin_revokes_a_link_and_it_is_void(
    gateway: Gateway, admin: Browser, adam: Person, how: str
) -> None:
    token = invite(gateway, adam, note=f"revoked by {how}")
    key = keys(gateway)["links"][0]
    if how == "page":
        answer = admin.submit(f"{LINKS}{key}/delete/")
    else:
        chosen = {"_selected_action": [key]}
        asked = admin.submit(LINKS, action="delete_selected", **chosen)
        assert "Are you sure" in asked.text
        answer = admin.submit(LINKS, action="delete_selected", post="yes", **chosen)
    assert answer.status_code == 302
    assert key not in keys(gateway)["links"]
    assert Client(gateway.url).get(f"/join?invite_token={token}").status_code == 401
    actor, _, details = gateway.run(TRAIL, event="invitation.revoked")
    assert (actor, details["note"], details["state"]) == (
        adam.username,
        f"revoked by {how}",
        "open",
    )


def test_staff_revokes_no_link_above_its_rank(
    gateway: Gateway, newcomer: Newcomer, desks: None, adam: Person
) -> None:
    invite(gateway, adam, "admin")
    password_link(gateway, adam, adam)
    state = keys(gateway)
    desk = browser(gateway, newcomer("frontdesk"))
    csrf = {
        "csrfmiddlewaretoken": form_fields(desk.get(LINKS + "add/").text)["csrfmiddlewaretoken"]
    }
    for key in state["links"][:2]:
        assert desk.post(f"{LINKS}{key}/delete/", data=csrf | {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": state["links"][:2], "post": "yes"}
    assert desk.post(LINKS, data=csrf | chosen).status_code in (302, 403)
    assert keys(gateway)["links"] == state["links"]


def test_nobody_edits_a_link_or_finds_it_by_its_hash(
    gateway: Gateway, admin: Browser, adam: Person
) -> None:
    invite(gateway, adam, note="as it is")
    key = keys(gateway)["links"][0]
    page = admin.get(f"{LINKS}{key}/change/")
    assert "as it is" in page.text
    csrf = {
        "csrfmiddlewaretoken": form_fields(admin.get(LINKS + "add/").text)["csrfmiddlewaretoken"]
    }
    answer = admin.post(f"{LINKS}{key}/change/", data=csrf | {"note": "changed"})
    assert answer.status_code == 403
    assert admin.get(f"{LINKS}?token_hash__startswith=a").status_code in (302, 400)
    assert "token_hash" not in page.text


# --- password links -------------------------------------------------------------------------


def make_link(page: Browser, key: object) -> requests.Response:
    """Press the button on the user's page."""
    change = page.get(f"{USERS}{key}/change/").text
    found = re.search(
        rf'<form method="post" action="({USERS}{key}/password-link/)">(.*?)</form>', change
    )
    assert found is not None
    return page.post(found[1], data=form_fields(f"<form>{found[2]}"))


def test_admin_makes_a_password_link_on_the_users_page(
    gateway: Gateway, admin: Browser, adam: Person, newcomer: Newcomer
) -> None:
    person = newcomer()
    key = keys(gateway)["users"][person.username]
    assert admin.get(f"{USERS}{key}/password-link/").status_code == 405
    page = make_link(admin, key)
    link = shown_link(page)
    assert link.startswith(f"{gateway.url}/reset?reset_token=")
    assert f"Password link for {person.username}" in page.text
    token = link.partition("=")[2]
    for path in (LINKS, f"{USERS}{key}/change/", f"{USERS}{key}/history/"):
        assert token not in admin.get(path).text
    assert gateway.run(TRAIL, event="password_link.created")[:2] == [
        adam.username,
        person.username,
    ]
    # A second press voids the first link.
    second = shown_link(make_link(admin, key)).partition("=")[2]
    body = {"password": NEW}
    answers = [
        Client(gateway.url).post("/reset", json=body | {"reset_token": given}).status_code
        for given in (token, second)
    ]
    assert answers == [401, 200]


def test_no_password_link_for_owner_disabled_or_those_above(
    gateway: Gateway, admin: Browser, newcomer: Newcomer, desks: None, owner: Client
) -> None:
    state = keys(gateway)
    desk = browser(gateway, newcomer("frontdesk"))
    disabled = newcomer()
    gateway.run(DISABLE, name=disabled.username)
    below = newcomer("admin")
    users = keys(gateway)["users"]
    csrf = {
        "csrfmiddlewaretoken": form_fields(admin.get(LINKS + "add/").text)["csrfmiddlewaretoken"]
    }
    for page, name, status in (
        (admin, "olga", 403),
        (desk, below.username, 403),
        (admin, disabled.username, 302),
    ):
        key = users[name]
        assert "password-link" not in page.get(f"{USERS}{key}/change/").text
        csrf = {
            "csrfmiddlewaretoken": form_fields(page.get(LINKS + "add/").text)["csrfmiddlewaretoken"]
        }
        assert page.post(f"{USERS}{key}/password-link/", data=csrf).status_code == status
    assert keys(gateway)["links"] == state["links"]
    # Nor for oneself: on the account page the present password is asked for.
    olga = Browser(gateway.url, owner.token)
    assert "password-link" not in olga.get(f"{USERS}{users['olga']}/change/").text
    csrf = {
        "csrfmiddlewaretoken": form_fields(olga.get(LINKS + "add/").text)["csrfmiddlewaretoken"]
    }
    own = olga.post(f"{USERS}{users['olga']}/password-link/", data=csrf)
    assert (own.status_code, own.headers["Location"]) == (302, "/account")
    assert keys(gateway)["links"] == state["links"]


def test_another_site_presses_no_button(
    gateway: Gateway, admin: Browser, newcomer: Newcomer
) -> None:
    person = newcomer()
    key = keys(gateway)["users"][person.username]
    before = keys(gateway)["links"]
    assert admin.post(f"{USERS}{key}/password-link/").status_code == 403
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}
    assert admin.post(LINKS + "add/", data={"days": "7"}, headers=foreign).status_code == 403
    assert keys(gateway)["links"] == before


# --- tokens stay only if somebody says so ---------------------------------------------------


@pytest.mark.parametrize("keep", [None, "on"])
def test_admin_sets_a_password_or_disables_and_says_whether_tokens_stay(
    gateway: Gateway, admin: Browser, newcomer: Newcomer, keep: str | None
) -> None:
    for page, fields in (
        ("password", {"new_password1": NEW, "new_password2": NEW}),
        ("change", {"is_active": None}),
    ):
        person = newcomer()
        token = Client(gateway.url, mint(gateway, person))
        key = keys(gateway)["users"][person.username]
        done = admin.submit(f"{USERS}{key}/{page}/", **fields, keep_tokens=keep)  # type: ignore[arg-type]
        assert done.status_code == 302
        admin.submit(f"{USERS}{key}/change/", is_active="on")
        assert token.get(ME).status_code == (200 if keep else 401), page


def test_admin_pages_of_users_still_show_to_who_may_only_look(
    gateway: Gateway, newcomer: Newcomer, desks: None
) -> None:
    key = keys(gateway)["users"]["alice"]
    before = gateway.run(COUNTS)
    page = browser(gateway, newcomer("watcher")).get(f"{USERS}{key}/change/")
    assert (page.status_code, "alice" in page.text) == (200, True)
    assert gateway.run(COUNTS)[0] == before[0] + 1
