"""/reset: a link lets one person choose one password; nothing else gets in by it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone

from accounts import errors, links, lockout, proofs, services
from accounts.models import (
    AccountLink,
    ApiToken,
    AuditEntry,
    BackupCode,
    Role,
    TotpDevice,
    User,
)
from tests.accounts.acting import Newcomer, app, invite, mint, password_link
from tests.browser import Browser, form_fields
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("log_without_secrets")

ME = "/mss-login/api/me"
NEW = "Another-77-secret"
VOID = "This link does not work any more. Ask for a new one."
TRAIL = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(subject_name=username).order_by("id")
result = [[row.event, row.actor_name] for row in rows if "password" in row.event]
"""
HASH = "from accounts.models import User; result = User.objects.get(username=username).password"
LINK = """
from accounts import models, tokens
models.AccountLink.objects.filter(token_hash=tokens.token_hash(token)).update(**changes)
"""


@pytest.fixture(scope="module")
def adam(newcomer: Newcomer) -> Person:
    return newcomer("admin")


def reset(gateway: Gateway, token: str, **changes: Any) -> requests.Response:
    body = {"reset_token": token, "password": NEW} | changes
    return Client(gateway.url).post("/reset", json=body)


def login(gateway: Gateway, person: Person, password: str) -> int:
    body = {"username": person.username, "password": password}
    return Client(gateway.url).post("/login", json=body).status_code


# --- it works -------------------------------------------------------------------------------


def test_person_follows_the_link_and_logs_in_with_the_new_password(
    gateway: Gateway, newcomer: Newcomer, adam: Person
) -> None:
    person = newcomer(password=True)
    former, token = app(gateway, person), Client(gateway.url, mint(gateway, person))
    assert {client.get(ME).status_code for client in (former, token)} == {200}
    link = password_link(gateway, adam, person)
    browser = Browser(gateway.url)
    page = browser.get(f"/reset?reset_token={link}")
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert person.username in page.text and adam.username not in page.text
    fields = form_fields(page.text)
    assert fields == {"reset_token": link, "password": ""}
    answer = browser.post("/reset", data=fields | {"password": NEW})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")
    assert "jwt_token" not in answer.headers.get("Set-Cookie", "")
    assert "Your new password is set. Log in with it." in browser.get("/login").text
    assert "Your new password" not in browser.get("/login").text
    # Whatever somebody had got hold of before is worth nothing now.
    assert former.get(ME).json()["code"] == "TOKEN_REVOKED"
    assert token.get(ME).json()["code"] == "TOKEN_INVALID"
    assert (login(gateway, person, PASSWORD), login(gateway, person, NEW)) == (401, 200)
    assert gateway.run(TRAIL, username=person.username) == [
        ["password_link.created", adam.username],
        ["user.password", person.username],
        ["password_link.used", person.username],
    ]


@pytest.mark.parametrize(
    ("encoding", "ticked"), [("json", True), ("json", False), ("data", "on"), ("data", "")]
)
def test_tokens_stay_only_if_the_person_says_so(
    gateway: Gateway, newcomer: Newcomer, adam: Person, encoding: str, ticked: object
) -> None:
    person = newcomer()
    token = Client(gateway.url, mint(gateway, person))
    link = password_link(gateway, adam, person)
    body = {"reset_token": link, "password": NEW, "keep_tokens": ticked}
    answer = Client(gateway.url).post("/reset", **{encoding: body})  # type: ignore[arg-type]
    assert answer.json() == {"message": "Your new password is set. Log in with it."}
    assert "Set-Cookie" not in answer.headers
    assert token.get(ME).status_code == (200 if ticked else 401)


def test_looking_at_the_page_does_not_use_the_link_up(
    gateway: Gateway, newcomer: Newcomer, adam: Person
) -> None:
    link = password_link(gateway, adam, newcomer())
    for method in ("GET", "HEAD", "GET"):
        assert Client(gateway.url).request(method, f"/reset?reset_token={link}").status_code == 200
    assert reset(gateway, link).status_code == 200


# --- it works once, and not when it should not ----------------------------------------------


def check_void(gateway: Gateway, token: str) -> None:
    check_refusal(reset(gateway, token), 401, "TOKEN_INVALID")
    assert reset(gateway, token).json()["error"] == VOID
    browser = Browser(gateway.url)
    for page in (
        browser.get("/reset", params={"reset_token": token}),
        browser.post("/reset", data={"reset_token": token, "password": NEW}),
    ):
        assert (page.status_code, VOID in page.text, "<form" in page.text) == (401, True, False)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"


def test_unknown_and_foreign_links_are_void(gateway: Gateway, adam: Person) -> None:
    for token in ("wrong", "mss_link_" + "0" * 64, "ü", invite(gateway, adam)):
        check_void(gateway, token)
    assert Browser(gateway.url).get("/reset").status_code == 401


USER = """
from accounts import models, services
user = models.User.objects.get(username=username)
maker = models.User.objects.get(username=maker)
"""


@pytest.mark.parametrize(
    "code",
    [
        "services.set_password(user, 'Something-88-else', actor=user)",
        "services.change_user(user, {'password': 'Something-88-else'}, actor=None)",
        "services.set_active(user, False, actor=None)",
        "services.set_active(user, False, actor=None); services.set_active(user, True, actor=None)",
        "services.set_active(user, False, actor=None, keep_tokens=True)",
        "services.delete_user(user, actor=None, keep_files=True)",
        "from accounts import links; links.create_password_link(user, actor=maker)",
        "services.set_active(maker, False, actor=None)",
        "services.set_role(maker, models.Role.objects.get(slug='user'), actor=None)",
        "services.delete_user(maker, actor=None, keep_files=True)",
        "user.is_active = False; user.save()",
        "user.shared = True; user.save()",
    ],
)
def test_link_is_void_after(gateway: Gateway, newcomer: Newcomer, code: str) -> None:
    person, maker = newcomer(), newcomer("admin")
    link = password_link(gateway, maker, person)
    gateway.run(USER + code, username=person.username, maker=maker.username)
    check_void(gateway, link)


def test_a_used_and_an_expired_link_are_void(
    gateway: Gateway, newcomer: Newcomer, adam: Person
) -> None:
    person = newcomer()
    link = password_link(gateway, adam, person)
    assert reset(gateway, link).status_code == 200
    check_void(gateway, link)
    late = password_link(gateway, adam, person)
    gateway.run(LINK, token=late, changes={"expires_at": str(timezone.now())})
    check_void(gateway, late)


def test_many_at_once_set_one_password(gateway: Gateway, newcomer: Newcomer, adam: Person) -> None:
    person = newcomer()
    link = password_link(gateway, adam, person)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda n: reset(gateway, link, password=f"Another-77-{n}x"), range(4))
        )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    won = next(n for n, answer in enumerate(answers) if answer.status_code == 200)
    assert login(gateway, person, f"Another-77-{won}x") == 200


# --- what is refused leaves it usable -------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"password": "short-1"}, "password"),
        ({"password": "password123"}, "password"),
        ({"password": ""}, "password"),
        ({"password": None}, "password"),
        ({"password": "Long-9" + "x" * 1100}, "password"),
        ({"keep_tokens": "yes"}, "keep_tokens"),
        ({"keep_tokens": None}, "keep_tokens"),
        ({"keep_tokens": 1}, "keep_tokens"),
        ({"reset_token": 5}, "reset_token"),
        ({"reset_token": ""}, "reset_token"),
    ],
    ids=str,
)
def test_a_bad_password_changes_nothing_and_keeps_the_link(
    gateway: Gateway, newcomer: Newcomer, adam: Person, changes: dict[str, Any], field: str
) -> None:
    person = newcomer()
    client = app(gateway, person)
    before = gateway.run(HASH, username=person.username)
    link = password_link(gateway, adam, person)
    check_refusal(reset(gateway, link, **changes), 400, "BAD_REQUEST", field=field)
    assert gateway.run(HASH, username=person.username) == before
    assert client.get(ME).status_code == 200
    page = Browser(gateway.url).post("/reset", data={"reset_token": link, "password": "short-1"})
    assert (page.status_code, "short-1" in page.text) == (400, False)
    assert form_fields(page.text) == {"reset_token": link, "password": ""}
    assert reset(gateway, link).status_code == 200


def test_another_site_resets_nothing(gateway: Gateway, newcomer: Newcomer, adam: Person) -> None:
    body = {"reset_token": password_link(gateway, adam, newcomer()), "password": NEW}
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = Client(gateway.url).post("/reset", data=body, headers=headers)
        check_refusal(answer, 403, "CROSS_ORIGIN")


# --- over the API and by the admin, tokens are treated alike --------------------------------


@pytest.mark.parametrize("keep", [True, False, None])
def test_admin_says_over_http_whether_tokens_stay(
    gateway: Gateway, newcomer: Newcomer, adam: Person, keep: bool | None
) -> None:
    admin = app(gateway, adam)
    for change in ({"password": NEW}, {"is_active": False}):
        person = newcomer()
        token = Client(gateway.url, mint(gateway, person))
        address = f"/mss-login/api/users/{person.username}"
        wanted = change if keep is None else change | {"keep_tokens": keep}
        assert admin.put(address, json=wanted).status_code == 200
        assert admin.put(address, json={"is_active": True}).status_code == 200
        assert token.get(ME).status_code == (200 if keep else 401)
    answer = admin.put(address, json={"keep_tokens": "yes", "password": NEW})
    check_refusal(answer, 400, "BAD_REQUEST", field="keep_tokens")


# --- the verbs ------------------------------------------------------------------------------


def make(username: str, role: str = "user", **more: Any) -> User:
    user = User(username=username, role_id=role, **more)
    user.set_unusable_password()
    user.save()
    return user


@pytest.mark.django_db
def test_nobody_makes_a_link_for_an_account_that_is_not_theirs_to_manage() -> None:
    owner = services.create_owner(username="olga", password=PASSWORD)
    adam, paula, uwe = make("adam", "admin"), make("paula", "power"), make("uwe")
    shared, disabled = make("guest", "guest", shared=True), make("dora", is_active=False)
    for actor, user in (
        (adam, owner),
        (paula, uwe),
        (uwe, paula),
        (adam, shared),
        (owner, shared),
        (shared, shared),
        (owner, disabled),
        (disabled, disabled),
    ):
        with pytest.raises(errors.PermissionDenied):
            links.create_password_link(user, actor=actor)
    assert not AccountLink.objects.exists()
    for actor, user in ((adam, uwe), (owner, adam), (owner, owner)):
        _, token = links.create_password_link(user, actor=actor)
        assert links.open_password_link(token).user == user


@pytest.mark.django_db
def test_a_link_lasts_a_day_and_only_its_hash_is_kept() -> None:
    link, token = links.create_password_link(make("uwe"), actor=make("adam", "admin"))
    left = link.expires_at - timezone.now()
    assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
    assert token not in str(list(AccountLink.objects.values()))
    assert token not in str(list(AuditEntry.objects.values()))


@pytest.mark.django_db
def test_a_mailed_link_is_void_once_the_address_has_changed(settings: Any) -> None:
    settings.MSS_MAIL = True
    user, adam = make("uwe", email="old@example.org"), make("adam", "admin")
    _, token = links.create_password_link(user, actor=adam)
    assert links.open_password_link(token).email == "old@example.org"
    user.email = "new@example.org"
    user.save()
    with pytest.raises(errors.TokenInvalid):
        links.open_password_link(token)


@pytest.mark.django_db
def test_a_link_is_void_once_its_account_ranks_above_its_maker() -> None:
    user = make("uwe")
    _, token = links.create_password_link(user, actor=make("adam", "admin"))
    above = Role.objects.create(slug="above", title="Above", rank=90)
    services.set_role(user, above, actor=None)
    with pytest.raises(errors.TokenInvalid):
        links.set_forgotten_password(token, NEW)


@pytest.mark.django_db
def test_who_forgot_the_password_is_not_locked_out_with_the_new_one(settings: Any) -> None:
    settings.MSS_LOCKOUT_NAME_FAILURES = 2
    user = make("uwe")
    _, token = links.create_password_link(user, actor=make("adam", "admin"))
    for _ in range(5):
        lockout.failed("uwe", "192.0.2.1")
    with pytest.raises(errors.LockedOut):
        lockout.require_open("uwe", "192.0.2.7")
    links.set_forgotten_password(token, NEW)
    lockout.require_open("uwe", "192.0.2.7")


@pytest.mark.django_db
def test_the_second_factor_stays_what_it_is() -> None:
    user = make("uwe", mfa_required=True)
    TotpDevice.objects.create(user=user, name="app", secret="s", confirmed=True)
    BackupCode.objects.create(user=user, code_hash="x")
    _, token = links.create_password_link(user, actor=make("adam", "admin"))
    links.set_forgotten_password(token, NEW)
    assert TotpDevice.objects.filter(user=user, confirmed=True).count() == 1
    assert BackupCode.objects.filter(user=user, used_at=None).count() == 1
    assert User.objects.get(pk=user.pk).mfa_required is True


@pytest.mark.django_db
def test_the_trail_says_how_many_tokens_went() -> None:
    user = make("uwe")
    for _ in range(2):
        proofs.create_api_token(user, label="", scopes=None, expires_at=None, actor=user)
    _, token = links.create_password_link(user, actor=make("adam", "admin"))
    links.set_forgotten_password(token, NEW)
    assert AuditEntry.objects.get(event="user.password").details == {"tokens": 2}
    assert not ApiToken.objects.exists()
    used = AuditEntry.objects.get(event="password_link.used")
    assert (used.actor_name, used.details) == ("uwe", {"made_by": "adam"})


@pytest.mark.django_db
def test_state_is_told_in_a_word() -> None:
    adam, user = make("adam", "admin"), make("uwe")
    link, token = links.create_password_link(user, actor=adam)
    assert links.state(link) == "open"
    link.expires_at = timezone.now()
    assert links.state(link) == "expired"
    links.set_forgotten_password(token, NEW)
    assert links.state(AccountLink.objects.get(pk=link.pk)) == "used"
    invitation, _ = links.create_invitation(Role.objects.get(slug="user"), actor=adam)
    adam.is_active = False
    assert links.state(invitation) == "void"
