"""The guest: anybody may look around, nobody changes anything for the others."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from accounts import errors, guests, proofs
from accounts.models import Role, Session, User
from tests.browser import Browser
from tests.cast import PASSWORD
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

RACERS = 6
ME = "/mss-login/api/me"
SESSIONS = "/mss-login/me/sessions"
REVOKE = "/mss-login/me/sessions/revoke"

SHARED = """
from accounts.models import User
result = list(User.objects.filter(shared=True).values_list("username", "role", "is_active"))
"""
REMOVE = (
    "from accounts.models import User; User.objects.filter(username__istartswith='guest').delete()"
)
CHANGE = """
from accounts.models import Role, User
User.objects.filter(shared=True).update(**changes)
Role.objects.filter(slug="guest").update(**role)
"""
PROMOTE = """
from django.contrib.auth.models import Permission
from accounts.models import Role
rows = Permission.objects.filter(codename__in=["can_have_api_tokens", "can_run"])
getattr(Role.objects.get(slug="guest").permissions, how)(*rows)
"""

MAKE_USERS = """
from accounts import services
for name in names:
    services.create_user(username=name, password=password, role="user", actor=None)
"""


@pytest.fixture
def house(welcoming: Gateway) -> Iterator[Gateway]:
    """A gateway that lets guests in and has not had one yet."""
    welcoming.run(REMOVE)
    yield welcoming
    welcoming.run(REMOVE)


def enter(gateway: Gateway, **more: Any) -> requests.Response:
    return Client(gateway.url).post("/login", json={"guest_login": True, **more})


def guest(gateway: Gateway) -> Client:
    answer = enter(gateway)
    assert answer.status_code == 200, answer.text
    return Client(gateway.url, answer.json()["jwt_token"])


def test_visitor_comes_in_as_the_guest_and_may_what_the_role_may(house: Gateway) -> None:
    answer = enter(house, next="/view?a=1")
    assert answer.json() == {
        "message": "You are logged in.",
        "jwt_token": answer.json()["jwt_token"],
        "redirect_url": "/view?a=1",
    }
    assert "jwt_token=" in answer.headers["Set-Cookie"]
    client = Client(house.url, answer.json()["jwt_token"])
    me = client.get(ME).json()
    assert (me["username"], me["role"], me["is_admin"]) == ("guest", "guest", False)
    assert client.get("/object_info").status_code == 200
    prompt = {"prompt": {"1": {"class_type": "EmptyImage", "inputs": {}}}}
    check_refusal(
        client.post("/prompt", json=prompt), 403, "PERMISSION_DENIED", permission="can_run"
    )
    check_refusal(
        client.post("/mss-login/generate_token", json={}),
        403,
        "PERMISSION_DENIED",
        permission="can_have_api_tokens",
    )
    assert house.run(SHARED) == [["guest", "guest", True]]


def test_browser_sees_the_button_and_goes_where_it_wanted(house: Gateway) -> None:
    browser = Browser(house.url)
    page = browser.get("/login?next=/view%3Fa%3D1")
    assert "Look around as a guest" in page.text
    answer = browser.submit("/login?next=/view%3Fa%3D1")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/view?a=1")
    assert browser.get(ME).json()["role"] == "guest"
    assert browser.get("/logout").status_code == 302
    assert browser.get(ME).status_code == 401


def test_without_guest_access_there_is_no_button_and_no_way(gateway: Gateway) -> None:
    before = gateway.run(SHARED)  # other tests' accounts
    assert "guest" not in Browser(gateway.url).get("/login").text
    check_refusal(enter(gateway), 403, "PERMISSION_DENIED")
    page = Browser(gateway.url).post("/login", data={"guest_login": "1"})
    assert (page.status_code, "Guest access is off." in page.text) == (403, True)
    assert gateway.run(SHARED) == before


@pytest.mark.parametrize("value", ["true", "1", 1, 0, None, [], {}, "", [True]])
def test_json_says_true_or_false_and_nothing_else(house: Gateway, value: object) -> None:
    answer = Client(house.url).post("/login", json={"guest_login": value})
    check_refusal(answer, 400, "BAD_REQUEST", field="guest_login")
    assert house.run(SHARED) == []


def test_no_guest_login_is_an_ordinary_login(house: Gateway) -> None:
    good = {"username": "alice", "password": PASSWORD}
    for how in ({"json": {**good, "guest_login": False}}, {"data": {**good, "guest_login": ""}}):
        jwt = Client(house.url).post("/login", **how).json()["jwt_token"]  # type: ignore[arg-type]
        assert Client(house.url, jwt).get(ME).json()["username"] == "alice"
    assert house.run(SHARED) == []


def test_another_site_makes_nobody_a_guest(house: Gateway) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = Client(house.url).post("/login", data={"guest_login": "1"}, headers=headers)
        check_refusal(answer, 403, "CROSS_ORIGIN")
    assert house.run(SHARED) == []


def test_many_first_guests_at_once_share_one_account_each_with_a_session(house: Gateway) -> None:
    with ThreadPoolExecutor(RACERS) as pool:
        clients = list(pool.map(lambda _: guest(house), range(RACERS)))
    assert {client.get(ME).json()["username"] for client in clients} == {"guest"}
    assert house.run(SHARED) == [["guest", "guest", True]]
    clients[0].post("/logout")
    assert [client.get(ME).status_code for client in clients] == [401] + [200] * (RACERS - 1)


def test_an_account_that_happens_to_be_called_guest_is_left_alone(house: Gateway) -> None:
    house.run(MAKE_USERS, names=["Guest", "guest-2"], password=PASSWORD)
    assert guest(house).get(ME).json()["username"] == "guest-3"
    assert house.run(SHARED) == [["guest-3", "guest", True]]


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        ({"is_active": False}, {}),
        ({"mfa_required": True}, {}),
        ({}, {"mfa_required": True}),
    ],
    ids=str,
)
def test_disabled_guest_and_one_who_needs_a_second_factor_stay_out(
    house: Gateway, changes: dict[str, Any], role: dict[str, Any]
) -> None:
    guest(house)
    house.run(CHANGE, changes=changes, role=role)
    try:
        check_refusal(enter(house), 403, "PERMISSION_DENIED")
    finally:
        house.run(CHANGE, changes={"is_active": True}, role={"mfa_required": False})


def test_a_guest_sees_and_ends_no_session_but_their_own(house: Gateway) -> None:
    first, second = guest(house), guest(house)
    (own,) = first.get(SESSIONS).json()["sessions"]
    (other,) = second.get(SESSIONS).json()["sessions"]
    assert own["is_current"] and other["is_current"] and own["jti"] != other["jti"]
    check_refusal(first.post(REVOKE, json={"jti": other["jti"]}), 404, "NOT_FOUND")
    assert first.post(REVOKE, json={"all_others": True}).json()["revoked"] == 0
    assert second.get(ME).status_code == 200
    assert first.post(REVOKE, json={"jti": own["jti"]}).json()["revoked"] == 1
    assert (first.get(ME).status_code, second.get(ME).status_code) == (401, 200)


def test_a_guest_has_no_tokens_even_if_the_role_may(house: Gateway) -> None:
    client = guest(house)
    house.run(PROMOTE, how="add")
    try:
        assert client.get(ME).json()["permissions"]["can_have_api_tokens"] is True
        check_refusal(client.post("/mss-login/generate_token", json={}), 403, "PERMISSION_DENIED")
        check_refusal(client.get("/mss-login/api/tokens"), 403, "PERMISSION_DENIED")
        body = {"token_hash_prefix": "00000000"}
        check_refusal(client.delete("/mss-login/api/tokens", json=body), 403, "PERMISSION_DENIED")
    finally:
        house.run(PROMOTE, how="remove")


@pytest.mark.parametrize("password", ["x", "!", "guest", PASSWORD])
def test_nobody_logs_in_as_the_guest_with_a_password(house: Gateway, password: str) -> None:
    guest(house)
    body = {"username": "guest", "password": password}
    check_refusal(Client(house.url).post("/login", json=body), 401, "INVALID_CREDENTIALS")


def test_an_admin_gives_the_guest_neither_a_password_nor_the_admin(house: Gateway) -> None:
    guest(house)
    login = {"username": "adam", "password": PASSWORD}
    jwt = Client(house.url).post("/login", json=login).json()["jwt_token"]
    admin, page = Client(house.url, jwt), Browser(house.url, jwt)
    for change in ({"password": "Another-77-secret"}, {"role": "admin"}):
        answer = admin.put("/mss-login/api/users/guest", json=change)
        check_refusal(answer, 403, "PERMISSION_DENIED")
    key = house.run("from accounts.models import User; result = User.objects.get(shared=True).pk")
    new = {"new_password1": "Another-77-secret", "new_password2": "Another-77-secret"}
    answer = page.submit(f"/admin/accounts/user/{key}/password/", **new)
    assert (answer.status_code, "Several people share" in answer.text) == (200, True)
    assert house.run(SHARED) == [["guest", "guest", True]]


# --- the verbs below ------------------------------------------------------------------------


@pytest.mark.django_db
def test_without_the_guests_role_nobody_comes_in(settings: Any) -> None:
    settings.MSS_GUEST_LOGIN = True
    Role.objects.get(slug="guest").delete()
    with pytest.raises(errors.PermissionDenied):
        guests.account()
    assert not User.objects.exists()


@pytest.mark.django_db
def test_guests_leave_when_guest_access_is_switched_off(settings: Any) -> None:
    settings.MSS_GUEST_LOGIN = True
    user = guests.account()
    session, _ = proofs.start_session(user, ip=None, user_agent="")
    guests.end_sessions_if_off()
    assert Session.objects.get(pk=session.pk).revoked_at is None
    settings.MSS_GUEST_LOGIN = False
    guests.end_sessions_if_off()
    assert Session.objects.get(pk=session.pk).revoked_at is not None
    with pytest.raises(errors.PermissionDenied):
        guests.account()
