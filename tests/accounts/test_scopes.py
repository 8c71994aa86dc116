"""A token is never more than its owner: role ∩ scopes, and a demotion works at once."""

import pytest

from tests.accounts.acting import Newcomer, app, browser, mint, session
from tests.browser import Browser
from tests.cast import Person
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

ME = "/mss-login/api/me"


@pytest.fixture(scope="module")
def admin_page(gateway: Gateway, newcomer: Newcomer) -> Browser:
    return browser(gateway, newcomer("admin"))


def held(client: Client) -> set[str]:
    permissions = client.get(ME).json()["permissions"]
    return {name for name, granted in permissions.items() if granted}


def change_page(gateway: Gateway, person: Person) -> str:
    code = "from accounts import models; result = models.User.objects.get(username=name).pk"
    return f"/admin/accounts/user/{gateway.run(code, name=person.username)}/change/"


def permission_keys(gateway: Gateway, *names: str) -> list[int]:
    code = """
from django.contrib.auth.models import Permission
result = list(Permission.objects.filter(codename__in=names).values_list("pk", flat=True))
"""
    return list(gateway.run(code, names=names))


def refusal(client: Client, method: str, path: str) -> tuple[int, str | None]:
    answer = client.request(method, path, json={})
    body = answer.json() if answer.status_code == 403 else {}
    return answer.status_code, body.get("permission")


def test_scoped_token_does_what_its_scopes_name_and_no_more(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer()
    reader = Client(gateway.url, mint(gateway, person, scopes=["can_access_api"]))
    assert held(reader) == {"can_access_api"}
    assert refusal(reader, "GET", "/queue") == (200, None)
    assert refusal(reader, "POST", "/queue") == (403, "can_run")
    assert refusal(reader, "POST", "/prompt") == (403, "can_run")
    assert refusal(reader, "POST", "/upload/image") == (403, "can_upload")
    runner = Client(gateway.url, mint(gateway, person, scopes=["can_run"]))
    assert refusal(runner, "POST", "/interrupt") == (200, None)
    assert refusal(runner, "GET", "/queue") == (403, "can_access_api")
    nothing = Client(gateway.url, mint(gateway, person, scopes=[]))
    assert held(nothing) == set()
    assert refusal(nothing, "GET", "/queue") == (403, "can_access_api")


def test_demoted_user_loses_at_once_what_role_and_token_gave(
    gateway: Gateway, newcomer: Newcomer, admin_page: Browser
) -> None:
    person = newcomer("power")
    full = Client(gateway.url, mint(gateway, person))
    scoped = Client(gateway.url, mint(gateway, person, scopes=["can_run", "can_download_models"]))
    both = app(gateway, person)
    # All three are in the server's memory.
    assert (len(held(full)), len(held(both))) == (9, 9)
    assert held(scoped) == {"can_run", "can_download_models"}
    page = change_page(gateway, person)

    assert admin_page.submit(page, role="user").status_code == 302
    user = {"can_run", "can_upload", "can_access_api", "can_modify_workflows"}
    assert held(full) == held(both) == user | {"can_have_api_tokens"}
    assert held(scoped) == {"can_run"}

    assert admin_page.submit(page, role="guest").status_code == 302
    assert (held(full), held(scoped)) == ({"can_access_api"}, set())
    assert refusal(full, "POST", "/queue") == (403, "can_run")

    assert admin_page.submit(page, role="power").status_code == 302
    assert (len(held(full)), held(scoped)) == (9, {"can_run", "can_download_models"})


def test_disabled_user_is_out_at_once_and_in_again_with_a_kept_token(
    gateway: Gateway, newcomer: Newcomer, admin_page: Browser
) -> None:
    person = newcomer()
    clients = [Client(gateway.url, mint(gateway, person)), app(gateway, person)]
    assert [client.get("/queue").status_code for client in clients] == [200, 200]
    page = change_page(gateway, person)
    assert admin_page.submit(page, is_active=None, keep_tokens="on").status_code == 302
    for path in ("/queue", ME):
        assert [c.get(path).json()["code"] for c in clients] == ["TOKEN_REVOKED"] * 2
    assert admin_page.submit(page, is_active="on").status_code == 302
    assert [client.get("/queue").status_code for client in clients] == [200, 401]


def test_a_single_capability_is_given_and_taken_at_once(
    gateway: Gateway, newcomer: Newcomer, admin_page: Browser
) -> None:
    person = newcomer()
    client = Client(gateway.url, mint(gateway, person))
    assert refusal(client, "POST", "/free") == (403, "can_manage_backend")
    page = change_page(gateway, person)
    admin_page.submit(page, user_permissions=permission_keys(gateway, "can_manage_backend"))
    assert "can_manage_backend" in held(client)
    admin_page.submit(page, user_permissions=[])
    assert refusal(client, "POST", "/free") == (403, "can_manage_backend")


def test_a_capability_taken_from_a_role_is_gone_for_all_its_users(
    gateway: Gateway, newcomer: Newcomer, admin_page: Browser
) -> None:
    granted = ("can_access_api", "can_run", "can_have_api_tokens")
    made = admin_page.submit(
        "/admin/accounts/role/add/",
        title="Tester",
        slug="tester",
        rank="30",
        permissions=permission_keys(gateway, *granted),
    )
    assert made.status_code == 302
    people = [newcomer("tester") for _ in range(2)]
    clients = [Client(gateway.url, session(gateway, person)) for person in people]
    assert [held(client) for client in clients] == [set(granted), set(granted)]
    key = gateway.run(
        "from accounts.models import Role; result = Role.objects.get(slug='tester').pk"
    )
    changed = admin_page.submit(f"/admin/accounts/role/{key}/change/", permissions=[])
    assert changed.status_code == 302
    assert [held(client) for client in clients] == [set(), set()]
    gateway.run(
        "from accounts.models import Role, User; User.objects.filter(role='tester').delete();"
        "Role.objects.get(slug='tester').delete()"
    )


def test_owner_is_offered_what_has_a_page_and_takes_nothing_away_unseen(
    gateway: Gateway, admin_page: Browser
) -> None:
    made = gateway.run(
        """
from django.contrib.auth.models import Permission
from accounts.models import Role
role = Role.objects.create(slug="odd", title="Odd", rank=5)
role.permissions.set(Permission.objects.filter(codename__in=["view_user", "view_contenttype"]))
result = role.pk
"""
    )
    page = f"/admin/accounts/role/{made}/change/"
    for address in ("/admin/accounts/role/add/", page):
        shown = admin_page.get(address).text
        for part in ("In ComfyUI", "passkeys", "teams", "failed logins", "users"):
            assert (
                f"<legend>{part if part[0] == 'I' else f'Administration: {part}'}</legend>" in shown
            )
        assert "WebAuthn" not in shown and "setup tokens" not in shown
        assert ("Administration: content types" in shown) == (address == page)
    assert admin_page.submit(page, title="Odder").status_code == 302
    kept = gateway.run(
        """
from accounts.models import Role
role = Role.objects.get(slug="odd")
result = [role.title, sorted(role.permissions.values_list("codename", flat=True))]
role.delete()
"""
    )
    assert kept == ["Odder", ["view_contenttype", "view_user"]]


def test_a_team_gives_no_capability(gateway: Gateway, newcomer: Newcomer) -> None:
    person = newcomer("guest")
    gateway.run(
        """
from django.contrib.auth.models import Group, Permission
from accounts import models
team = Group.objects.create(name="team-" + username)
team.permissions.set(Permission.objects.all())
models.User.objects.get(username=username).groups.add(team)
""",
        username=person.username,
    )
    client = app(gateway, person)
    assert held(client) == {"can_access_api"}
    assert browser(gateway, person).get("/admin/").status_code == 302


def test_limited_token_opens_neither_the_admin_nor_the_owners_other_tokens(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer("admin")
    limited = mint(gateway, person, scopes=["can_access_api"])
    whole = mint(gateway, person)
    for token in (limited, whole):
        # In the cookie's place, where only a session belongs.
        page = Browser(gateway.url, token).get("/admin/")
        assert (page.status_code, page.headers["Location"]) == (302, "/admin/login/?next=/admin/")
    tokens = "/mss-login/api/tokens"
    for method in ("GET", "DELETE"):
        refused = Client(gateway.url, limited).request(method, tokens, json={})
        assert (refused.status_code, refused.json()["code"]) == (403, "PERMISSION_DENIED")
    assert len(Client(gateway.url, whole).get(tokens).json()["tokens"]) == 2
