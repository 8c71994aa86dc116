"""What an admin does in the admin leaves a row: which model, which object, before and after."""

import re
from typing import Any

import pytest

from tests.accounts.acting import Newcomer, browser
from tests.browser import Browser
from tests.cast import Person
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

LOG = "/admin/accounts/auditentry/"
ROWS = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(actor_name=actor).exclude(event="login").order_by("id")
result = [[row.event, row.subject_name, row.ip, row.details] for row in rows]
"""
MAKE = """
from django.contrib.auth.models import Group, Permission
from accounts.models import User
user = User.objects.get(username=username)
teams = [Group.objects.get_or_create(name=name)[0].pk for name in ("blue", "green")]
single = list(Permission.objects.filter(codename__in=["can_run", "can_upload"]).order_by(
    "codename").values_list("pk", flat=True))
user.groups.set(teams[:1])
user.user_permissions.set(single[:1])
result = [user.pk, teams, single]
"""
PK = """
from django.apps import apps
result = apps.get_model(model).objects.get(**{field: value}).pk
"""


@pytest.fixture
def adam(newcomer: Newcomer) -> Person:
    return newcomer("admin")


@pytest.fixture
def admin(gateway: Gateway, adam: Person) -> Browser:
    return browser(gateway, adam)


def rows(gateway: Gateway, person: Person) -> list[list[Any]]:
    return list(gateway.run(ROWS, actor=person.username))


def listed(admin: Browser, query: str) -> str:
    """The list of rows that the page shows, without what surrounds it."""
    return admin.get(LOG + query).text.partition('id="result_list"')[2].partition("</table>")[0]


def key(gateway: Gateway, model: str, field: str, value: str) -> int:
    return int(gateway.run(PK, model=model, field=field, value=value))


def test_every_edited_field_of_an_account_is_in_one_row_and_the_role_in_its_own(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, adam: Person
) -> None:
    person = newcomer()
    pk, teams, single = gateway.run(MAKE, username=person.username)
    page = f"/admin/accounts/user/{pk}/change/"
    form: dict[str, Any] = {
        "username": f"{person.username}-new",
        "email": "new@example.org",
        "role": "power",
        "mfa_required": "true",
        "groups": teams,
        "user_permissions": single[1:],
    }
    assert admin.submit(page, **form).status_code == 302
    assert admin.submit(page).status_code == 302  # nothing changed: no row
    role, rest = sorted(rows(gateway, adam), key=lambda row: row[0], reverse=True)
    subject = f"{person.username}-new"
    assert role == ["user.role", subject, "127.0.0.1", {"before": "user", "after": "power"}]
    assert rest == [
        "admin.changed",
        subject,
        "127.0.0.1",
        {
            "model": "user",
            "object": subject,
            "changes": {
                "username": {"before": person.username, "after": subject},
                "email": {"before": "", "after": "new@example.org"},
                "mfa_required": {"before": None, "after": True},
                "groups": {"before": ["blue"], "after": ["blue", "green"]},
                "user_permissions": {"before": ["can_run"], "after": ["can_upload"]},
            },
        },
    ]


def test_password_and_refused_changes_are_not_told(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, adam: Person, owner: Client
) -> None:
    person = newcomer()
    pk = key(gateway, "accounts.User", "username", person.username)
    secret = "Another-77-secret"
    page = f"/admin/accounts/user/{pk}/"
    assert admin.submit(
        f"{page}password/", new_password1=secret, new_password2=secret
    ).status_code == (302)
    # A change that a service refuses is undone, and so is its row.
    mine = f"/admin/accounts/user/{key(gateway, 'accounts.User', 'username', adam.username)}/"
    refused = admin.submit(f"{mine}change/", role="user", email="x@example.org")
    assert refused.status_code == 302
    assert "Nobody changes their own role." in admin.get(LOG).text
    assert [row[:2] for row in rows(gateway, adam)] == [["user.password", person.username]]
    assert secret not in str(rows(gateway, adam))


def test_new_accounts_have_the_services_row_alone(
    gateway: Gateway, admin: Browser, adam: Person
) -> None:
    added = {"username": f"by-{adam.username}", "password": "Another-77-secret", "role": "guest"}
    assert admin.submit("/admin/accounts/user/add/", **added).status_code == 302
    pk = key(gateway, "accounts.User", "username", added["username"])
    assert admin.submit(f"/admin/accounts/user/{pk}/delete/", files="keep").status_code == 302
    assert [row[0] for row in rows(gateway, adam)] == ["user.created", "user.deleted"]


MODELS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], tuple[str, str, str]]] = {
    "group": (
        "auth.Group",
        "/admin/auth/group/",
        {"name": "red"},
        {"name": "crimson"},
        ("admin.added", "admin.changed", "admin.deleted"),
    ),
    "rule for routes": (
        "comfyproxy.RouteRule",
        "/admin/comfyproxy/routerule/",
        {"pattern": "/audited/list", "capability": "can_run", "methods": "GET"},
        {"capability": "can_upload"},
        ("admin.added", "admin.changed", "admin.deleted"),
    ),
    "event for all": (
        "comfyproxy.BroadcastEvent",
        "/admin/comfyproxy/broadcastevent/",
        {"event_type": "audited.monitor"},
        {"note": "a monitor"},
        ("admin.added", "admin.changed", "admin.deleted"),
    ),
    "role": (
        "accounts.Role",
        "/admin/accounts/role/",
        {"slug": "audited", "title": "Audited", "rank": "5"},
        {"title": "Audited well"},
        ("role.created", "role.changed", "role.deleted"),
    ),
    "IP rule": (
        "accounts.IpRule",
        "/admin/accounts/iprule/",
        {"network": "203.0.113.0/24", "kind": "deny", "expires_at_0": "", "expires_at_1": ""},
        {"note": "a nuisance"},
        ("ip_rules.changed",) * 3,
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("how", ["page", "action"])
def test_what_is_added_changed_and_deleted_has_its_rows(
    gateway: Gateway, admin: Browser, adam: Person, name: str, how: str
) -> None:
    model, path, new, change, events = MODELS[name]
    field = next(iter(new))
    assert admin.submit(f"{path}add/", **new).status_code == 302
    pk = key(gateway, model, field, new[field])
    assert admin.submit(f"{path}{pk}/change/", **change).status_code == 302
    if how == "page" or name == "IP rule":  # which has no action
        assert admin.submit(f"{path}{pk}/delete/").status_code == 302
    else:
        chosen = {"action": "delete_selected", "_selected_action": [pk]}
        assert admin.submit(path, **chosen, post="yes").status_code == 302
    added, changed, deleted = (row for row in rows(gateway, adam))
    assert (added[0], changed[0], deleted[0]) == events
    for row in (added, changed, deleted):
        assert (row[2], row[3]["model"], bool(row[3]["object"])) == ("127.0.0.1", name, True)
    assert added[3]["changes"][field]["after"] == new[field]
    ((edited, value),) = change.items()
    assert changed[3]["changes"] == {edited: {"before": new.get(edited, ""), "after": value}}


def test_capabilities_of_a_role_are_told_by_name(
    gateway: Gateway, admin: Browser, adam: Person
) -> None:
    gateway.run(
        "from accounts.models import Role; Role.objects.get_or_create(slug='told', title='Told')"
    )
    pk = key(gateway, "accounts.Role", "slug", "told")
    single = gateway.run(
        "from django.contrib.auth.models import Permission;"
        "result = Permission.objects.get(codename='can_run').pk"
    )
    form = {"permissions": [single], "max_waiting_prompts": "3"}
    assert admin.submit(f"/admin/accounts/role/{pk}/change/", **form).status_code == 302
    ((event, _, _, details),) = rows(gateway, adam)
    assert (event, details["role"]) == ("role.changed", "told")
    assert details["changes"] == {
        "permissions": {"before": [], "after": ["can_run"]},
        "max_waiting_prompts": {"before": None, "after": 3},
    }


def test_admin_reads_filters_and_searches_the_log_and_changes_nothing_in_it(
    gateway: Gateway, newcomer: Newcomer, admin: Browser, adam: Person
) -> None:
    person = newcomer()
    pk = key(gateway, "accounts.User", "username", person.username)
    admin.submit(f"/admin/accounts/user/{pk}/change/", email="shown@example.org")
    # Whoever tries names writes into the log that an admin reads.
    tried = "no-such-name-4711<script>alert(1)</script>"
    Client(gateway.url).post("/login", json={"username": tried, "password": "x"})

    found = listed(admin, f"?q={adam.username}&event=admin.changed")
    assert "email: (none) → shown@example.org" in found and "role.changed" not in found
    shown = listed(admin, "?q=no-such-name-4711")
    assert "username: no-such-name-4711&lt;script&gt;" in shown and "<script>" not in shown
    assert "no-such-name-4711" not in listed(admin, "?q=no-such-name-4711&event=login")

    row = re.search(rf'href="({LOG}\d+/)change/', found)
    assert row is not None
    page = admin.get(f"{row[1]}change/").text
    assert "email: (none) → shown@example.org" in page and 'name="_save"' not in page
    csrf = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', admin.get("/admin/").text)
    assert csrf is not None
    form = {"csrfmiddlewaretoken": csrf[1], "post": "yes", "event": "login"}
    chosen = form | {"action": "delete_selected", "_selected_action": row[1].split("/")[-2]}
    attempts = [admin.post(f"{row[1]}{action}/", data=form) for action in ("change", "delete")]
    attempts += [admin.post(f"{LOG}add/", data=form)]
    assert {answer.status_code for answer in attempts} == {403}
    admin.post(LOG, data=chosen)  # an action that this list does not have
    assert "email: (none) → shown@example.org" in admin.get(f"{row[1]}change/").text
