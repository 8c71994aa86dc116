"""The administration and second factors: it asks for them, resets those of others, unlocks."""

import re

import pytest

from tests.accounts.acting import Newcomer, app, browser, mint
from tests.accounts.factors import audited, enrol, password_step
from tests.accounts.test_admin_access import landing
from tests.browser import Browser, form_fields
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

USERS = "/admin/accounts/user/"
SESSION = """
from accounts import models, proofs
user = models.User.objects.get(username=username)
_, result = proofs.start_session(user, ip=None, user_agent="tests", second_factor=proved)
"""
REQUIRE = """
from accounts.models import User
result = User.objects.filter(username=username).update(mfa_required=True)
"""


def act(page: Browser, gateway: Gateway, action: str, person: Person) -> str:
    """Choose somebody in the list of users and do this; the messages of the page after it."""
    key = gateway.run(
        "from accounts.models import User\nresult = User.objects.get(username=username).pk",
        username=person.username,
    )
    form = form_fields(page.get(USERS).text)
    csrf = {"csrfmiddlewaretoken": form["csrfmiddlewaretoken"]}
    chosen = {"action": action, "_selected_action": [key], "confirmed": "yes"}
    answer = page.post(USERS, data=csrf | chosen)
    assert answer.status_code == 302, answer.text[:300]
    return page.get(answer.headers["Location"]).text


@pytest.mark.parametrize("why", ["enrolled", "required"])
def test_admin_needs_a_login_that_proved_the_second_factor(
    gateway: Gateway, newcomer: Newcomer, why: str
) -> None:
    person = newcomer("admin")
    if why == "enrolled":
        enrol(gateway, person)
    else:
        gateway.run(REQUIRE, username=person.username)
    for proved, place in ((False, "/login?next=%2Fadmin%2F"), (True, "/admin/")):
        jwt = str(gateway.run(SESSION, username=person.username, proved=proved))
        assert landing(Browser(gateway.url, jwt)) == place
    # The rest of the gateway goes on with the older session.
    old = str(gateway.run(SESSION, username=person.username, proved=False))
    assert Client(gateway.url, old).get("/mss-login/api/me").status_code == 200


def test_admin_with_a_second_factor_logs_in_to_where_they_wanted(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer("admin", password=True)
    phone = enrol(gateway, person)
    page = Browser(gateway.url)
    login = landing(page, USERS)
    answer = page.submit(login, username=person.username, password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/mfa")
    cookie = answer.headers["Set-Cookie"]
    for attribute in ("HttpOnly", "SameSite=Strict", "Path=/mfa", "Max-Age=600"):
        assert attribute in cookie
    assert landing(page, USERS).startswith("/login")
    answer = page.post("/mfa", data={"code": phone.code()})
    assert (answer.status_code, answer.headers["Location"]) == (302, USERS)
    assert landing(page, USERS) == USERS


def test_admin_resets_anothers_second_factor_and_everything_ends(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person, admin = newcomer(password=True), newcomer("admin")
    token = Client(gateway.url, mint(gateway, person))
    enrol(gateway, person)
    waiting = password_step(gateway, person)["mfa_temp_token"]
    client = app(gateway, person)
    page = act(browser(gateway, admin), gateway, "reset_second_factor", person)
    assert "Without a second factor at the next login: 1." in page
    assert client.get("/mss-login/api/me").status_code == 401
    assert token.get("/mss-login/api/me").status_code == 401
    assert "jwt_token" in password_step(gateway, person)
    body = {"mfa_temp_token": waiting, "code": "123456"}
    assert Client(gateway.url).post("/mss-login/api/mfa/verify", json=body).status_code == 401
    assert "mfa.reset" in audited(gateway, person)


def test_nobody_resets_their_own_or_that_of_somebody_above(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    admin = newcomer("admin")
    enrol(gateway, admin)
    page = Browser(gateway.url, str(gateway.run(SESSION, username=admin.username, proved=True)))
    assert "on your account page" in act(page, gateway, "reset_second_factor", admin)
    assert "mfa.reset" not in audited(gateway, admin)
    gateway.run(
        "from accounts.models import Role\nfrom django.contrib.auth.models import Permission\n"
        "role, _ = Role.objects.get_or_create(slug='desk', title='Desk', rank=50, is_staff=True)\n"
        "names = ['view_user', 'change_user']\n"
        "role.permissions.add(*Permission.objects.filter(codename__in=names))\nresult = None"
    )
    desk = newcomer("desk")
    said = act(browser(gateway, desk), gateway, "reset_second_factor", admin)
    assert "You may not change this account." in said
    assert "mfa.reset" not in audited(gateway, admin)


def test_list_shows_who_has_one_and_so_does_the_api(gateway: Gateway, newcomer: Newcomer) -> None:
    person, admin = newcomer(), newcomer("admin")
    enrol(gateway, person)
    page = browser(gateway, admin).get(f"{USERS}?q={person.username}").text
    assert re.search(r"(?s)field-has_second_factor.*?>\s*check_small\s*<", page)
    users = app(gateway, admin).get("/mss-login/api/users").json()["users"]
    found = {user["username"]: user["mfa_enabled"] for user in users}
    assert (found[person.username], found[admin.username]) == (True, False)


def test_admin_unlocks_a_person_and_forgets_single_failures(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person, admin = newcomer(password=True), newcomer("admin")
    for _ in range(2):
        body = {"username": person.username, "password": "wrong-Guess-7"}
        assert Client(gateway.url).post("/login", json=body).status_code == 401
    page = browser(gateway, admin)
    failures = f"/admin/axes/accessattempt/?q={person.username}"

    def listed() -> bool:
        return f">{person.username}</td>" in page.get(failures).text

    assert listed()
    assert "try again at once" in act(page, gateway, "unlock", person)
    assert not listed()
    assert audited(gateway, person)[-1] == "unlocked"


def test_own_password_is_changed_on_the_account_page_only(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    admin = newcomer("admin")
    page = browser(gateway, admin)
    assert page.get("/admin/password_change/").headers["Location"] == "/account"
    key = gateway.run(
        "from accounts.models import User\nresult = User.objects.get(username=username).pk",
        username=admin.username,
    )
    assert page.get(f"{USERS}{key}/password/").headers["Location"] == "/account"
