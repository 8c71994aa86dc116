"""Ways around a second factor, a lockout or a new password, each tried as an attacker would."""

import re
from typing import Any

import pytest

from tests.accounts.acting import Newcomer, app, mint, session
from tests.accounts.factors import App, enrol, password_step
from tests.accounts.test_lockout import attempt, guarded, new_address, new_name, wait_of
from tests.accounts.test_mfa import SETUP, VERIFY, VERIFY_SETUP, set_on_user
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

__all__ = ["guarded"]  # a fixture

NEW = "another-Horse-8-staple"
CHANGES = {
    "new password": f"services.set_password(user, {NEW!r}, actor=None)",
    "disabled and enabled": (
        "services.set_active(user, False, actor=None)\nservices.set_active(user, True, actor=None)"
    ),
    "second factor reset": "mfa.reset(user, actor=None)",
    # Past the services, as a race would.
    "other hash": f"user.set_password({NEW!r}); user.save()",
}


@pytest.fixture
def person(newcomer: Newcomer) -> Person:
    return newcomer(password=True)


def change(gateway: Gateway, person: Person, how: str) -> None:
    gateway.run(
        "from accounts import mfa, models, services\n"
        "user = models.User.objects.select_related('role').get(username=username)\n"
        f"{CHANGES[how]}\nresult = None",
        username=person.username,
    )


def add_passkey(gateway: Gateway, person: Person, keep_session: str | None = None) -> None:
    """As registered with a device; what a browser would have signed is not looked at here."""
    gateway.run(
        "from accounts import mfa, models, tokens\n"
        "from django_otp_webauthn.models import WebAuthnCredential\n"
        "user = models.User.objects.get(username=username)\n"
        "row = WebAuthnCredential.objects.create(\n"
        "    user=user, name='key', credential_id=username.encode(), public_key=b'k', aaguid='a')\n"
        "keep = tokens.read_session_jwt(keep_session).hex if keep_session else None\n"
        "mfa.passkey_added(user, row, keep_session=keep, ip=None)\nresult = None",
        username=person.username,
        keep_session=keep_session,
    )


# --- temp tokens that outlive what they were given for ------------------------------------


@pytest.mark.parametrize("how", CHANGES)
def test_temp_token_dies_with_the_password_it_was_given_for(
    gateway: Gateway, person: Person, how: str
) -> None:
    phone = enrol(gateway, person)
    temp = password_step(gateway, person)["mfa_temp_token"]
    waiting = app(gateway, person).post("/mss-login/generate_token", json={}).json()
    change(gateway, person, how)
    for path, token in ((VERIFY, temp), ("/mss-login/generate_token", waiting["mfa_temp_token"])):
        body = {"mfa_temp_token": token, "backup_code": phone.backup_codes[0]}
        check_refusal(Client(gateway.url).post(path, json=body), 401, "TOKEN_INVALID")


@pytest.mark.parametrize("how", ["new password", "other hash"])
def test_setup_token_dies_with_the_password_it_was_given_for(
    gateway: Gateway, person: Person, how: str
) -> None:
    set_on_user(gateway, person, mfa_required=True)
    temp = {"mfa_temp_token": password_step(gateway, person)["mfa_temp_token"]}
    change(gateway, person, how)
    check_refusal(Client(gateway.url).post(SETUP, json=temp), 401, "TOKEN_INVALID")


def test_setup_token_is_void_once_there_is_a_passkey(gateway: Gateway, person: Person) -> None:
    set_on_user(gateway, person, mfa_required=True)
    temp = {"mfa_temp_token": password_step(gateway, person)["mfa_temp_token"]}
    anonymous = Client(gateway.url)
    assert anonymous.post(SETUP, json=temp).status_code == 200
    add_passkey(gateway, person)
    for path in (SETUP, VERIFY_SETUP):
        body = {**temp, "code": "123456"}
        check_refusal(anonymous.post(path, json=body), 401, "TOKEN_INVALID")
    page = Client(gateway.url)
    page.headers["Cookie"] = f"mss_mfa={temp['mfa_temp_token']}"
    for form in ({"begin": "1"}, {"code": "123456"}):
        assert page.post("/mfa", data=form).headers["Location"] == "/login"


def test_app_begun_in_a_stolen_session_is_void_once_there_is_a_passkey(
    gateway: Gateway, person: Person
) -> None:
    jwt = session(gateway, person)
    thief = Client(gateway.url, jwt)
    phone = App(thief.post(SETUP).json()["secret"])
    # The person adds a passkey in that very session, which therefore stays.
    add_passkey(gateway, person, keep_session=jwt)
    assert thief.get("/mss-login/api/me").json()["mfa_enabled"] is True
    refused = thief.post(VERIFY_SETUP, json={"code": phone.code()})
    check_refusal(refused, 400, "NO_SETUP")
    assert password_step(gateway, person)["methods"] == ["passkey", "backup_code"]


# --- a stolen session ---------------------------------------------------------------------


def test_stolen_session_changes_no_password_without_the_second_factor(
    gateway: Gateway, person: Person
) -> None:
    phone = enrol(gateway, person)
    client = app(gateway, person)
    body: dict[str, Any] = {"current_password": PASSWORD, "new_password": NEW}
    methods = ["totp", "backup_code"]
    refused = client.post("/account/password", json=body)
    check_refusal(refused, 400, "PROOF_REQUIRED", methods=methods)
    refused = client.post("/account/password", json={**body, "code": phone.wrong()})
    check_refusal(refused, 400, "INVALID_CODE")
    assert "mfa_required" in password_step(gateway, person)
    done = client.post("/account/password", json={**body, "code": phone.code()})
    assert done.status_code == 200
    assert client.get("/mss-login/api/me").status_code == 401


def test_stolen_session_adds_no_passkey_without_the_password(
    gateway: Gateway, person: Person
) -> None:
    client = app(gateway, person)
    client.headers["Host"] = f"localhost:{gateway.port}"
    path = "/mss-login/api/passkeys/options"
    check_refusal(client.post(path, json={}), 400, "PROOF_REQUIRED", methods=["password"])
    wrong = client.post(path, json={"password": "wrong-Guess-7"})
    check_refusal(wrong, 401, "INVALID_CREDENTIALS")
    assert client.post(path, json={"password": PASSWORD}).status_code == 200
    # With a second factor the password does not do.
    enrol(gateway, person)
    client = app(gateway, person)
    client.headers["Host"] = f"localhost:{gateway.port}"
    refused = client.post(path, json={"password": PASSWORD})
    check_refusal(refused, 400, "PROOF_REQUIRED", methods=["totp", "backup_code"])


@pytest.mark.parametrize("kind", ["session", "token"])
def test_administrators_token_changes_not_its_own_password_nor_its_exception(
    gateway: Gateway, newcomer: Newcomer, kind: str
) -> None:
    admin = newcomer("admin", password=True)
    token = session(gateway, admin) if kind == "session" else mint(gateway, admin)
    client = Client(gateway.url, token)
    for body in ({"password": NEW}, {"mfa_required": False}, {"mfa_required": None}):
        answer = client.put(f"/mss-login/api/users/{admin.username}", json=body)
        check_refusal(answer, 403, "PERMISSION_DENIED")
    assert "jwt_token" in password_step(gateway, admin)


def test_administration_over_the_api_wants_the_second_factor_too(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    admin, person = newcomer("admin"), newcomer()
    client, token = app(gateway, admin), Client(gateway.url, mint(gateway, admin))
    assert client.get("/mss-login/api/users").status_code == 200
    set_on_user(gateway, admin, mfa_required=True)
    for caller in (client, token):
        for answer in (
            caller.get("/mss-login/api/users"),
            caller.put(f"/mss-login/api/users/{person.username}", json={"password": NEW}),
            caller.put("/mss-login/api/groups", json={}),
            caller.put("/mss-login/api/ip-lists", json={}),
        ):
            check_refusal(answer, 403, "PERMISSION_DENIED")


def test_token_that_may_stand_in_an_address_administrates_nothing(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    admin = newcomer("admin")
    token = mint(gateway, admin, in_path=True)
    for client, path in (
        (Client(gateway.url), f"/t/{token}/mss-login/api/users"),
        (Client(gateway.url, token), "/mss-login/api/users"),
    ):
        check_refusal(client.get(path), 403, "PERMISSION_DENIED")


def test_limited_token_sees_no_sessions(gateway: Gateway, person: Person) -> None:
    client = Client(gateway.url, mint(gateway, person, scopes=["can_run"]))
    check_refusal(client.get("/mss-login/me/sessions"), 403, "PERMISSION_DENIED")


# --- other sites --------------------------------------------------------------------------


def test_another_site_finishes_no_login_of_its_own_in_a_visitors_browser(
    gateway: Gateway, person: Person
) -> None:
    phone = enrol(gateway, person)
    temp = password_step(gateway, person)["mfa_temp_token"]
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for path in (VERIFY, VERIFY_SETUP):
        form = {"mfa_temp_token": temp, "backup_code": phone.backup_codes[0], "code": "1"}
        answer = Client(gateway.url).post(path, data=form, headers=foreign)
        check_refusal(answer, 403, "CROSS_ORIGIN")
    assert (
        Client(gateway.url)
        .post(VERIFY, json={"mfa_temp_token": temp, "backup_code": phone.backup_codes[0]})
        .status_code
        == 200
    )


@pytest.mark.parametrize(
    "goal",
    [
        "/logout",
        "/logout?x=1",
        "/logout#x",
        "/%6cogout",
        "/LogOut",
        "/x/../logout",
        "/x/%2e%2E/logout",
        "/./logout",
        "/x\\..\\logout",
        "/log\tout",
        "/t/mss_x/",
        "/t/mss_x",
        "/%74/mss_x/",
        "/login?next=/logout",
        "//logout",
    ],
)
def test_link_to_the_login_leads_nowhere_that_does_something(gateway: Gateway, goal: str) -> None:
    page = Client(gateway.url).get("/login", params={"next": goal}, headers={"Accept": "text/html"})
    assert re.findall(r'name="next" value="([^"]*)"', page.text) == ["/"]


# --- lockout ------------------------------------------------------------------------------


def test_token_from_a_session_forgives_no_wrong_passwords(guarded: Gateway) -> None:
    name = new_name(guarded)
    jwt = guarded.run(
        "from accounts import models, proofs\n"
        "user = models.User.objects.get(username=name)\n"
        "_, result = proofs.start_session(user, ip=None, user_agent='x')",
        name=name,
    )
    thief = Client(guarded.url, str(jwt))
    thief.headers["X-Forwarded-For"] = new_address()
    for guess in range(5):
        body = {"current_password": f"wrong-Guess-{guess}", "new_password": NEW}
        check_refusal(thief.post("/account/password", json=body), 401, "INVALID_CREDENTIALS")
        assert thief.post("/mss-login/generate_token", json={}).status_code == 200
    wait_of(thief.post("/account/password", json={"current_password": "x", "new_password": NEW}))


def test_names_that_look_alike_share_no_count(guarded: Gateway) -> None:
    number = new_name(guarded).rpartition("-")[2]
    victim, twin = f"jessie{number}", f"jeßie{number}"
    guarded.run(
        "from accounts import services\n"
        "for name in (victim, twin):\n"
        "    services.create_user(username=name, password=password, role='user', actor=None)\n"
        "result = None",
        victim=victim,
        twin=twin,
        password=PASSWORD,
    )
    for _ in range(5):
        check_refusal(attempt(guarded, victim, new_address()), 401, "INVALID_CREDENTIALS")
        assert attempt(guarded, twin, new_address(), PASSWORD).status_code == 200
    wait_of(attempt(guarded, victim, new_address()))


def test_addresses_of_one_ipv6_network_count_as_one(guarded: Gateway) -> None:
    network = f"2001:db8:0:{new_address().rpartition('.')[2]}"
    for number in range(12):
        answer = attempt(guarded, f"guess-v6-{network[-4:]}-{number}", f"{network}::{number + 1}")
        check_refusal(answer, 401, "INVALID_CREDENTIALS")
    wait_of(attempt(guarded, "guess-v6-last", f"{network}::ffff"))
    other = attempt(guarded, "guess-v6-last", "2001:db8:ffff:1::1")
    check_refusal(other, 401, "INVALID_CREDENTIALS")
