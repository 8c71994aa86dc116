"""Second factors over the API: set up, asked for, used once, turned off; and who plays tricks."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.accounts.acting import Newcomer, app, mint, session
from tests.accounts.factors import App, audited, enrol, password_step
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("log_without_secrets")

VERIFY = "/mss-login/api/mfa/verify"
SETUP = "/mss-login/api/mfa/setup"
VERIFY_SETUP = "/mss-login/api/mfa/verify-setup"
DISABLE = "/mss-login/api/mfa/disable"
CODES = "/mss-login/api/mfa/backup-codes"
MINT = "/mss-login/generate_token"
WRONG = "The code is wrong, or was used already. Try the next one."


@pytest.fixture
def person(newcomer: Newcomer) -> Person:
    return newcomer(password=True)


def verify(gateway: Gateway, temp: str, **proof: Any) -> requests.Response:
    return Client(gateway.url).post(VERIFY, json={"mfa_temp_token": temp, **proof})


def set_on_user(gateway: Gateway, person: Person, **fields: Any) -> None:
    gateway.run(
        "from accounts.models import User\n"
        "user = User.objects.get(username=username)\n"
        "for name, value in fields.items(): setattr(user, name, value)\n"
        "user.save()\nresult = None",
        username=person.username,
        fields=fields,
    )


# --- setting it up ------------------------------------------------------------------------


def test_person_sets_an_app_up_and_is_asked_for_its_code(gateway: Gateway, person: Person) -> None:
    phone, laptop = app(gateway, person), app(gateway, person)
    setup = phone.post(SETUP).json()
    assert set(setup) == {"provisioning_uri", "qr_svg", "secret", "backup_codes", "backup_code"}
    assert setup["backup_code"] == setup["backup_codes"][0]
    assert len(set(setup["backup_codes"])) == 10
    assert f"secret={setup['secret']}" in setup["provisioning_uri"]
    assert setup["provisioning_uri"].startswith(f"otpauth://totp/MSS-Login%3A{person.username}?")
    assert setup["qr_svg"].startswith("<svg") and "http" not in setup["qr_svg"]
    # Begun is not done: the login is as before.
    assert phone.get("/mss-login/api/me").json()["mfa_enabled"] is False
    assert "jwt_token" in password_step(gateway, person)

    phone_app = App(setup["secret"])
    done = phone.post(VERIFY_SETUP, json={"code": phone_app.code()})
    assert (done.status_code, done.json()["mfa_enabled"]) == (200, True)
    assert phone.get("/mss-login/api/me").json()["mfa_enabled"] is True
    # A session that was open elsewhere never proved the factor.
    assert laptop.get("/mss-login/api/me").status_code == 401

    waiting = password_step(gateway, person)
    assert waiting["mfa_required"] is True
    assert "jwt_token" not in waiting and waiting["methods"] == ["totp", "backup_code"]
    logged_in = verify(gateway, waiting["mfa_temp_token"], code=phone_app.code())
    assert logged_in.status_code == 200
    assert set(logged_in.json()) == {"message", "jwt_token", "redirect_url"}
    assert logged_in.headers["Set-Cookie"].startswith("jwt_token=")
    jwt = logged_in.json()["jwt_token"]
    assert Client(gateway.url, jwt).get("/mss-login/api/me").status_code == 200
    assert "mfa.enabled" in audited(gateway, person)


def test_secret_and_codes_are_not_in_the_database_as_they_are(
    gateway: Gateway, person: Person
) -> None:
    phone = enrol(gateway, person)
    kept = gateway.run(
        "from accounts.models import BackupCode, TotpDevice\n"
        "devices = TotpDevice.objects.filter(user__username=username)\n"
        "codes = BackupCode.objects.filter(user__username=username)\n"
        "result = [d.secret for d in devices] + [c.code_hash for c in codes]",
        username=person.username,
    )
    assert len(kept) == 11 and kept[0].startswith("v1:")
    for secret in (phone.secret, *phone.backup_codes):
        assert not any(secret in text or secret.replace("-", "") in text for text in kept)


def test_wrong_first_code_leaves_the_app_out_of_force(gateway: Gateway, person: Person) -> None:
    client = app(gateway, person)
    setup = App(client.post(SETUP).json()["secret"])
    check_refusal(client.post(VERIFY_SETUP, json={"code": setup.wrong()}), 400, "INVALID_CODE")
    assert client.get("/mss-login/api/me").json()["mfa_enabled"] is False
    assert client.post(VERIFY_SETUP, json={"code": setup.code()}).status_code == 200


def test_setting_up_again_voids_the_first_secret(gateway: Gateway, person: Person) -> None:
    client = app(gateway, person)
    first = App(client.post(SETUP).json()["secret"])
    second = App(client.post(SETUP).json()["secret"])
    assert client.post(VERIFY_SETUP, json={"code": first.code()}).status_code == 400
    assert client.post(VERIFY_SETUP, json={"code": second.code()}).status_code == 200
    check_refusal(client.post(SETUP), 400, "PROOF_REQUIRED", methods=["totp", "backup_code"])
    again = client.post(SETUP, json={"code": second.code()})
    check_refusal(again, 409, "MFA_ENABLED")


def test_nobody_sets_up_or_confirms_without_a_login(gateway: Gateway, person: Person) -> None:
    anonymous = Client(gateway.url)
    check_refusal(anonymous.post(SETUP), 401, "AUTH_REQUIRED")
    check_refusal(anonymous.post(VERIFY_SETUP, json={"code": "123456"}), 401, "AUTH_REQUIRED")
    check_refusal(app(gateway, person).post(VERIFY_SETUP, json={"code": "123456"}), 400, "NO_SETUP")
    token = Client(gateway.url, mint(gateway, person))
    for path in (SETUP, VERIFY_SETUP, DISABLE, CODES):
        body = {"code": "123456", "password": PASSWORD}
        check_refusal(token.post(path, json=body), 403, "PERMISSION_DENIED")


# --- required -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["user", "admin"])
def test_who_must_have_one_sets_it_up_at_the_next_login(
    gateway: Gateway, newcomer: Newcomer, role: str
) -> None:
    person = newcomer(role, password=True)
    set_on_user(gateway, person, mfa_required=True)
    waiting = password_step(gateway, person)
    assert (waiting["mfa_setup_required"], "jwt_token" in waiting) == (True, False)
    temp = {"mfa_temp_token": waiting["mfa_temp_token"]}
    anonymous = Client(gateway.url)
    phone = App(anonymous.post(SETUP, json=temp).json()["secret"])
    wrong = anonymous.post(VERIFY_SETUP, json={**temp, "code": phone.wrong()})
    check_refusal(wrong, 400, "INVALID_CODE")
    done = anonymous.post(VERIFY_SETUP, json={**temp, "code": phone.code()})
    assert done.status_code == 200, done.text
    jwt = done.json()["jwt_token"]
    assert Client(gateway.url, jwt).get("/mss-login/api/me").json()["mfa_enabled"] is True
    used = Client(gateway.url).post(VERIFY_SETUP, json={**temp, "code": phone.code()})
    check_refusal(used, 401, "TOKEN_INVALID")


def test_a_role_requires_it_and_a_user_may_be_excepted(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer(password=True)
    gateway.run(
        "from accounts.models import Role, User\n"
        "role = Role.objects.create(slug='careful', title='Careful', mfa_required=True)\n"
        "User.objects.filter(username=username).update(role=role)\nresult = None",
        username=person.username,
    )
    assert password_step(gateway, person)["mfa_setup_required"] is True
    set_on_user(gateway, person, mfa_required=False)
    assert "jwt_token" in password_step(gateway, person)


def test_setup_token_logs_nobody_in_who_is_enrolled_already(
    gateway: Gateway, person: Person
) -> None:
    set_on_user(gateway, person, mfa_required=True)
    thief = password_step(gateway, person)["mfa_temp_token"]
    enrol(gateway, person)
    for path in (SETUP, VERIFY_SETUP):
        body = {"mfa_temp_token": thief, "code": "123456"}
        check_refusal(Client(gateway.url).post(path, json=body), 401, "TOKEN_INVALID")


# --- codes --------------------------------------------------------------------------------


def test_code_works_once_in_its_window(gateway: Gateway, person: Person) -> None:
    phone = enrol(gateway, person)
    code = phone.code()
    first = password_step(gateway, person)["mfa_temp_token"]
    second = password_step(gateway, person)["mfa_temp_token"]
    assert verify(gateway, first, code=code).status_code == 200
    check_refusal(verify(gateway, second, code=code), 400, "INVALID_CODE")
    assert verify(gateway, second, code=phone.code()).status_code == 200


def test_an_older_code_does_not_work_after_a_newer_one(gateway: Gateway, person: Person) -> None:
    phone = enrol(gateway, person)
    newer, older = phone.at(phone.now() + 1), phone.at(phone.now())
    temp = password_step(gateway, person)["mfa_temp_token"]
    assert verify(gateway, temp, code=newer).status_code == 200
    temp = password_step(gateway, person)["mfa_temp_token"]
    check_refusal(verify(gateway, temp, code=older), 400, "INVALID_CODE")


@pytest.mark.parametrize("steps", [-3, -2, 3, 4])
def test_a_clock_far_off_is_refused(gateway: Gateway, person: Person, steps: int) -> None:
    phone = enrol(gateway, person)
    temp = password_step(gateway, person)["mfa_temp_token"]
    answer = verify(gateway, temp, code=phone.at(phone.now() + steps))
    check_refusal(answer, 400, "INVALID_CODE")


def test_many_requests_with_one_code_make_one_login(gateway: Gateway, person: Person) -> None:
    phone = enrol(gateway, person)
    temps = [password_step(gateway, person)["mfa_temp_token"] for _ in range(4)]
    code = phone.code()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda temp: verify(gateway, temp, code=code), temps))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]


def test_backup_code_works_once_in_any_spelling(gateway: Gateway, person: Person) -> None:
    code = enrol(gateway, person).backup_codes[3]
    spelt = f" {code.upper().replace('-', ' - ')} "
    temp = password_step(gateway, person)["mfa_temp_token"]
    assert verify(gateway, temp, backup_code=spelt).status_code == 200
    temp = password_step(gateway, person)["mfa_temp_token"]
    check_refusal(verify(gateway, temp, backup_code=code), 400, "INVALID_CODE")
    assert "mfa.backup_code_used" in audited(gateway, person)


def test_anothers_backup_code_does_not_work(gateway: Gateway, newcomer: Newcomer) -> None:
    one, other = newcomer(password=True), newcomer(password=True)
    enrol(gateway, one)
    foreign = enrol(gateway, other).backup_codes[0]
    temp = password_step(gateway, one)["mfa_temp_token"]
    check_refusal(verify(gateway, temp, backup_code=foreign), 400, "INVALID_CODE")


def test_fresh_backup_codes_void_the_old_ones(gateway: Gateway, person: Person) -> None:
    phone = enrol(gateway, person)
    client = app(gateway, person)
    check_refusal(client.post(CODES), 400, "PROOF_REQUIRED", methods=["totp", "backup_code"])
    check_refusal(client.post(CODES, json={"code": phone.wrong()}), 400, "INVALID_CODE")
    fresh = client.post(CODES, json={"code": phone.code()}).json()
    assert fresh["backup_code"] == fresh["backup_codes"][0]
    temp = password_step(gateway, person)["mfa_temp_token"]
    old = verify(gateway, temp, backup_code=phone.backup_codes[0])
    check_refusal(old, 400, "INVALID_CODE")
    assert verify(gateway, temp, backup_code=fresh["backup_code"]).status_code == 200


# --- temp tokens --------------------------------------------------------------------------


def test_temp_token_is_void_after_five_wrong_codes(gateway: Gateway, person: Person) -> None:
    phone = enrol(gateway, person)
    temp = password_step(gateway, person)["mfa_temp_token"]
    for _ in range(5):
        check_refusal(verify(gateway, temp, code=phone.wrong()), 400, "INVALID_CODE")
    check_refusal(verify(gateway, temp, code=phone.code()), 401, "TOKEN_INVALID")
    assert audited(gateway, person).count("mfa.failed") == 5


def test_many_wrong_codes_at_once_get_no_more_than_five_tries(
    gateway: Gateway, person: Person
) -> None:
    phone = enrol(gateway, person)
    temp = password_step(gateway, person)["mfa_temp_token"]
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda _: verify(gateway, temp, code=phone.wrong()).status_code, range(12))
        )
    assert sorted(answers) == [400] * 5 + [401] * 7


def test_stolen_temp_token_opens_nothing(gateway: Gateway, person: Person) -> None:
    enrol(gateway, person)
    temp = password_step(gateway, person)["mfa_temp_token"]
    thief = Client(gateway.url, temp)
    for path in ("/mss-login/api/me", "/queue", "/mss-login/api/tokens", f"/queue?token={temp}"):
        check_refusal(thief.get(path), 401, "TOKEN_INVALID")
    cookie = Client(gateway.url)
    cookie.headers["Cookie"] = f"jwt_token={temp}"
    check_refusal(cookie.get("/queue"), 401, "TOKEN_INVALID")
    # It is for a login: neither a token nor a new second factor comes of it.
    body = {"mfa_temp_token": temp, "code": "000000"}
    for path in (MINT, SETUP, VERIFY_SETUP):
        check_refusal(Client(gateway.url).post(path, json=body), 401, "TOKEN_INVALID")


def test_what_is_no_temp_token_is_401(gateway: Gateway, person: Person) -> None:
    jwt, token = session(gateway, person), mint(gateway, person)
    for wrong in (jwt, token, "mfa_guess", "x", "ü" * 9):
        check_refusal(verify(gateway, wrong, code="123456"), 401, "TOKEN_INVALID")
    anonymous = Client(gateway.url)
    missing = anonymous.post(VERIFY, json={"code": "123456"})
    check_refusal(missing, 400, "BAD_REQUEST", field="mfa_temp_token")
    for body in ([], "x", {"mfa_temp_token": 7}, {"mfa_temp_token": ""}):
        assert anonymous.post(VERIFY, json=body).status_code == 400
    no_code = verify(gateway, password_for(gateway, person), code=123456)
    check_refusal(no_code, 400, "BAD_REQUEST", field="code")


def password_for(gateway: Gateway, person: Person) -> str:
    enrol(gateway, person)
    return str(password_step(gateway, person)["mfa_temp_token"])


def test_temp_token_expires_and_dies_with_its_user(gateway: Gateway, newcomer: Newcomer) -> None:
    one, other = newcomer(password=True), newcomer(password=True)
    phone = enrol(gateway, one)
    temp = password_step(gateway, one)["mfa_temp_token"]
    gateway.run(
        "from accounts.models import Challenge\n"
        "from django.utils import timezone\n"
        "rows = Challenge.objects.filter(user__username=username)\n"
        "result = rows.update(expires_at=timezone.now())",
        username=one.username,
    )
    check_refusal(verify(gateway, temp, code=phone.code()), 401, "TOKEN_EXPIRED")
    phone = enrol(gateway, other)
    temp = password_step(gateway, other)["mfa_temp_token"]
    set_on_user(gateway, other, is_active=False)
    check_refusal(verify(gateway, temp, code=phone.code()), 401, "TOKEN_INVALID")


def test_old_temp_tokens_do_not_pile_up(gateway: Gateway, person: Person) -> None:
    enrol(gateway, person)
    for _ in range(12):
        gateway.run(
            "from accounts import challenges, models\n"
            "user = models.User.objects.get(username=username)\n"
            "result = challenges.begin(user, 'login', {'next': '/'})",
            username=person.username,
        )
    kept = gateway.run(
        "from accounts.models import Challenge\n"
        "result = Challenge.objects.filter(user__username=username).count()",
        username=person.username,
    )
    assert kept == 10


# --- API tokens ---------------------------------------------------------------------------


def test_password_alone_makes_no_token_for_who_is_enrolled(
    gateway: Gateway, person: Person
) -> None:
    phone = enrol(gateway, person)
    anonymous = Client(gateway.url)
    body = {
        "username": person.username,
        "password": PASSWORD,
        "label": "phone",
        "scopes": ["can_run"],
        "expire_hours": 5,
    }
    waiting = anonymous.post(MINT, json=body).json()
    assert waiting["mfa_required"] is True and "token" not in waiting
    temp = {"mfa_temp_token": waiting["mfa_temp_token"]}
    check_refusal(anonymous.post(MINT, json={**temp, "code": phone.wrong()}), 400, "INVALID_CODE")
    # The same call again, with the code: what was asked for the first time holds.
    made = anonymous.post(MINT, json={**temp, "code": phone.code()})
    assert made.status_code == 200, made.text
    got = made.json()
    assert (got["label"], got["scopes"], got["expires_in_hours"]) == ("phone", ["can_run"], 5)
    again = anonymous.post(MINT, json={**body, **temp, "code": phone.code()})
    check_refusal(again, 401, "TOKEN_INVALID")


def test_repeated_call_may_carry_everything_again(gateway: Gateway, person: Person) -> None:
    code = enrol(gateway, person).backup_codes[0]
    anonymous = Client(gateway.url)
    body = {"username": person.username, "password": PASSWORD, "label": "tablet"}
    waiting = anonymous.post(MINT, json=body).json()
    again = {**body, "mfa_temp_token": waiting["mfa_temp_token"], "backup_code": code}
    assert anonymous.post(MINT, json=again).json()["label"] == "tablet"


def test_session_of_who_is_enrolled_proves_it_again_for_a_token(
    gateway: Gateway, person: Person
) -> None:
    phone = enrol(gateway, person)
    client = app(gateway, person)
    waiting = client.post(MINT, json={}).json()
    assert waiting["mfa_required"] is True
    body = {"mfa_temp_token": waiting["mfa_temp_token"], "code": phone.code()}
    token = client.post(MINT, json=body).json()["token"]
    assert Client(gateway.url, token).get("/mss-login/api/me").json()["auth"] == "api_token"


def test_second_call_cannot_ask_for_more_than_is_held(gateway: Gateway, person: Person) -> None:
    phone = enrol(gateway, person)
    waiting = app(gateway, person).post(MINT, json={"scopes": ["can_run"]}).json()
    body = {
        "mfa_temp_token": waiting["mfa_temp_token"],
        "code": phone.code(),
        "scopes": ["can_manage_backend"],
    }
    answer = Client(gateway.url).post(MINT, json=body)
    check_refusal(answer, 400, "INVALID_SCOPE", field="scopes")


def test_who_must_enrol_gets_no_token_before(gateway: Gateway, person: Person) -> None:
    set_on_user(gateway, person, mfa_required=True)
    body = {"username": person.username, "password": PASSWORD}
    assert Client(gateway.url).post(MINT, json=body).json()["mfa_setup_required"] is True
    assert app(gateway, person).post(MINT, json={}).json()["mfa_setup_required"] is True


# --- turning it off -----------------------------------------------------------------------


def test_person_turns_it_off_with_password_and_code(gateway: Gateway, person: Person) -> None:
    phone = enrol(gateway, person)
    client, elsewhere = app(gateway, person), app(gateway, person)
    wrong = {"password": "not-this-one-9", "code": phone.code()}
    check_refusal(client.post(DISABLE, json=wrong), 401, "INVALID_CREDENTIALS")
    wrong = {"password": PASSWORD, "code": phone.wrong()}
    check_refusal(client.post(DISABLE, json=wrong), 400, "INVALID_CODE")
    check_refusal(
        client.post(DISABLE, json={"password": PASSWORD}),
        400,
        "PROOF_REQUIRED",
        methods=["totp", "backup_code"],
    )
    assert client.get("/mss-login/api/me").json()["mfa_enabled"] is True
    done = client.post(DISABLE, json={"password": PASSWORD, "code": phone.code()})
    assert done.status_code == 200, done.text
    assert client.get("/mss-login/api/me").json()["mfa_enabled"] is False
    assert elsewhere.get("/mss-login/api/me").status_code == 401
    assert "jwt_token" in password_step(gateway, person)
    again = client.post(DISABLE, json={"password": PASSWORD, "code": phone.code()})
    check_refusal(again, 400, "MFA_OFF")


def test_who_must_have_one_cannot_turn_it_off(gateway: Gateway, person: Person) -> None:
    phone = enrol(gateway, person)
    set_on_user(gateway, person, mfa_required=True)
    answer = app(gateway, person).post(
        DISABLE, json={"password": PASSWORD, "backup_code": phone.backup_codes[0]}
    )
    check_refusal(answer, 403, "PERMISSION_DENIED")
    assert password_step(gateway, person)["mfa_required"] is True
    # The code was not used up by the refusal.
    temp = password_step(gateway, person)["mfa_temp_token"]
    assert verify(gateway, temp, backup_code=phone.backup_codes[0]).status_code == 200


# --- bad input ----------------------------------------------------------------------------


ODD = ["", " ", "12345", "1234567", "abcdef", "\uff11" * 6, "0x1234", "-12345", "\x00" * 6]


@pytest.mark.parametrize("code", ODD)
def test_odd_codes_are_refused_and_count(gateway: Gateway, person: Person, code: str) -> None:
    enrol(gateway, person)
    temp = password_step(gateway, person)["mfa_temp_token"]
    answer = verify(gateway, temp, code=code)
    assert answer.status_code == 400
    assert answer.json()["code"] in ("INVALID_CODE", "BAD_REQUEST")
    assert answer.json()["code"] == "BAD_REQUEST" or answer.json()["error"] == WRONG
