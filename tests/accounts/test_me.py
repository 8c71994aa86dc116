"""/mss-login/api/me, the addresses around it, and the refusal of those that do not exist."""

import pytest

from accounts.capabilities import DEFAULT_ROLES, Capability
from tests.accounts.acting import Newcomer, app, mint
from tests.client import Client, raw_request
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")


@pytest.mark.parametrize("slug", ["admin", "power", "user", "guest"])
def test_everybody_learns_their_role_and_capabilities(
    gateway: Gateway, newcomer: Newcomer, slug: str
) -> None:
    expected = next(role for role in DEFAULT_ROLES if role.slug == slug)
    person = newcomer(expected.slug)
    assert app(gateway, person).get("/mss-login/api/me").json() == {
        "username": person.username,
        "role": expected.slug,
        "groups": [],
        "is_admin": expected.slug == "admin",
        "mfa_enabled": False,
        "sfw_enforced": False,
        "permissions": {str(cap): cap in expected.capabilities for cap in Capability},
        "auth": "session",
        "scopes": None,
        "quotas": {
            "max_waiting_prompts": 100 if slug == "user" else None,
            "max_prompt_bytes": None,
        },
        "nsfw": {"classifier": "none", "unknown": "show"},
    }


def test_owner_holds_everything(owner: Client) -> None:
    me = owner.get("/mss-login/api/me").json()
    assert (me["role"], me["is_admin"]) == ("owner", True)
    assert set(me["permissions"].values()) == {True}


def test_user_with_overrides_and_teams_sees_them(gateway: Gateway, newcomer: Newcomer) -> None:
    person = newcomer()
    gateway.run(
        """
from django.contrib.auth.models import Group, Permission
from accounts import models
user = models.User.objects.get(username=username)
user.sfw_enforced = True
user.save()
user.groups.set(Group.objects.get_or_create(name=name)[0] for name in ("zebra", "ant"))
user.user_permissions.add(Permission.objects.get(codename="can_manage_backend"))
""",
        username=person.username,
    )
    client = Client(gateway.url, mint(gateway, person, scopes=["can_manage_backend"]))
    me = client.get("/mss-login/api/me").json()
    assert (me["groups"], me["sfw_enforced"], me["scopes"], me["auth"]) == (
        ["ant", "zebra"],
        True,
        ["can_manage_backend"],
        "api_token",
    )
    assert [name for name, held in me["permissions"].items() if held] == ["can_manage_backend"]


def test_answer_is_json_whatever_is_accepted(alice: Client) -> None:
    for accept in ("text/html", "image/png", "application/xml", "nonsense", ""):
        answer = alice.get("/api/mss-login/api/me", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["username"]) == (200, "alice")
    assert alice.get("/mss-login/api/me?format=xml").json()["username"] == "alice"


@pytest.mark.parametrize(
    "path",
    [
        "/mss-login",
        "/mss-login/",
        "/mss-login/nothing",
        "/api/mss-login/nothing",
        "/mss-login/api/me/",
        "/mss-login/api/me/x",
        "/mss-login/API/me",
        "/mss-login/generate_token/",
        "/login/",
        "/logout/",
        "/generate_token/",
        "/register/x",
    ],
)
def test_unknown_addresses_are_404_as_json_for_everyone(
    gateway: Gateway, alice: Client, path: str
) -> None:
    page = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for headers in ({}, {"Authorization": f"Bearer {alice.token}"}, page):
            answer = raw_request(gateway.url, method, path, headers)
            assert answer.status == 404, method
            assert (answer.header("Content-Type") or "").startswith("application/json")
            assert answer.body == b'{"error":"There is nothing here.","code":"NOT_FOUND"}'


def test_head_and_options_give_nothing_away(gateway: Gateway) -> None:
    head = raw_request(gateway.url, "HEAD", "/mss-login/api/me")
    assert (head.status, head.body) == (401, b"")
    options = raw_request(gateway.url, "OPTIONS", "/mss-login/api/me", {"Origin": "http://evil"})
    assert (options.status, options.body) == (204, b"")
    assert not [name for name, _ in options.headers if name.lower().startswith("access-control")]
