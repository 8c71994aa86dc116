"""/join: one link makes one account, of the role it says, for as long as whoever made it may."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts import errors, links, proofs, services, tokens
from accounts.models import AccountLink, AuditEntry, Role, User
from tests.accounts.acting import COUNTS, Newcomer, invite, password_link
from tests.browser import Browser, form_fields
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("log_without_secrets")

RACERS = 5
VOID = "This link does not work any more. Ask for a new one."
LINK = """
from accounts import models, tokens
models.AccountLink.objects.filter(token_hash=tokens.token_hash(token)).update(**changes)
"""
TRAIL = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(event__startswith="invitation.", details__note=note)
result = [[row.event, row.actor_name, row.subject_name] for row in rows.order_by("id")]
"""
NAMED = """
from accounts.models import User
result = User.objects.filter(username__startswith=start).count()
"""


@pytest.fixture(scope="module")
def adam(newcomer: Newcomer) -> Person:
    return newcomer("admin")


def join(gateway: Gateway, token: str, name: str, **changes: Any) -> requests.Response:
    body = {"invite_token": token, "username": name, "password": PASSWORD} | changes
    return Client(gateway.url).post("/join", json=body)


# --- it works -------------------------------------------------------------------------------


def test_person_follows_the_link_chooses_a_name_and_is_in(gateway: Gateway, adam: Person) -> None:
    token = invite(gateway, adam, "power", note="for Ines")
    browser = Browser(gateway.url)
    page = browser.get(f"/join?invite_token={token}")
    assert page.status_code == 200
    assert "Power user" in page.text and adam.username not in page.text
    assert "for Ines" not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    fields = form_fields(page.text) | {"username": "ines", "password": PASSWORD}
    answer = browser.post("/join", data=fields)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    me = browser.get("/mss-login/api/me").json()
    assert (me["username"], me["role"]) == ("ines", "power")
    assert gateway.run(TRAIL, note="for Ines") == [
        ["invitation.created", adam.username, ""],
        ["invitation.accepted", "ines", "ines"],
    ]


@pytest.mark.parametrize("encoding", ["json", "data"])
def test_app_joins_and_gets_what_a_login_gives(
    gateway: Gateway, adam: Person, encoding: str
) -> None:
    name = f"joiner-{encoding}"
    body = {"invite_token": invite(gateway, adam), "username": name, "password": PASSWORD}
    answer = Client(gateway.url).post("/join", **{encoding: body})  # type: ignore[arg-type]
    assert sorted(answer.json()) == ["jwt_token", "message", "redirect_url"]
    assert "jwt_token=" in answer.headers["Set-Cookie"]
    assert answer.headers["Cache-Control"] == "no-store"
    me = Client(gateway.url, answer.json()["jwt_token"]).get("/mss-login/api/me").json()
    assert (me["username"], me["role"]) == (name, "user")
    login = Client(gateway.url).post("/login", json={"username": name, "password": PASSWORD})
    assert login.status_code == 200


def test_links_email_becomes_the_accounts(gateway: Gateway, adam: Person) -> None:
    token = invite(gateway, adam, email="emil@example.org")
    assert join(gateway, token, "emil").status_code == 200
    email = "from accounts.models import User; result = User.objects.get(username='emil').email"
    assert gateway.run(email) == "emil@example.org"


def test_looking_at_the_page_does_not_use_the_link_up(gateway: Gateway, adam: Person) -> None:
    """Mail programs and chats fetch links to preview them."""
    token = invite(gateway, adam)
    for method in ("GET", "HEAD", "GET"):
        assert Client(gateway.url).request(method, f"/join?invite_token={token}").status_code == 200
    assert join(gateway, token, "previewed").status_code == 200


# --- it works once, and not for everybody ---------------------------------------------------


def check_void(gateway: Gateway, token: str) -> None:
    """For everybody alike, with or without an account of that name."""
    before = gateway.run(COUNTS)
    for name in ("alice", "somebody-new"):
        answer = join(gateway, token, name)
        check_refusal(answer, 401, "TOKEN_INVALID")
        assert answer.json()["error"] == VOID
    check_refusal(
        Client(gateway.url).get("/join", params={"invite_token": token}), 401, "TOKEN_INVALID"
    )
    browser = Browser(gateway.url)
    fields = {"invite_token": token, "username": "somebody-new", "password": PASSWORD}
    for page in (
        browser.get("/join", params={"invite_token": token}),
        browser.post("/join", data=fields),
    ):
        assert (page.status_code, page.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
        assert VOID in page.text and "<form" not in page.text
        assert page.headers["Cache-Control"] == "no-store"
    assert gateway.run(COUNTS) == before


@pytest.mark.parametrize(
    "token", ["wrong", "mss_link_" + "0" * 64, "ä" * 20, "'; --", "mss_link_"], ids=str
)
def test_an_unknown_link_makes_nobody(gateway: Gateway, token: str) -> None:
    check_void(gateway, token)


def test_a_link_without_token_says_what_to_do(gateway: Gateway) -> None:
    page = Browser(gateway.url).get("/join")
    assert (page.status_code, VOID in page.text) == (401, True)


def test_a_used_link_is_void(gateway: Gateway, adam: Person) -> None:
    token = invite(gateway, adam)
    assert join(gateway, token, "first-come").status_code == 200
    check_void(gateway, token)


def test_an_expired_link_is_void(gateway: Gateway, adam: Person) -> None:
    token = invite(gateway, adam)
    gateway.run(LINK, token=token, changes={"expires_at": str(timezone.now())})
    check_void(gateway, token)


def test_a_password_link_invites_nobody(gateway: Gateway, adam: Person) -> None:
    check_void(gateway, password_link(gateway, adam, adam))


def test_a_link_to_a_role_that_is_gone_is_void(gateway: Gateway, adam: Person) -> None:
    gateway.run(
        "from accounts.models import Role; Role.objects.create(slug='brief', title='B', rank=10)"
    )
    token = invite(gateway, adam, "brief")
    gateway.run("from accounts.models import Role; Role.objects.get(slug='brief').delete()")
    check_void(gateway, token)


MAKER = "from accounts.models import Role, User; user = User.objects.get(username=name)\n"


@pytest.mark.parametrize(
    "code",
    [
        "user.is_active = False; user.save()",
        "user.role_id = 'user'; user.save()",
        "user.delete()",
    ],
)
def test_a_link_ends_with_the_right_to_make_it(
    gateway: Gateway, newcomer: Newcomer, code: str
) -> None:
    maker = newcomer("admin")
    # Not a word about ranks: a user may not invite another user either.
    token = invite(gateway, maker, "user")
    gateway.run(MAKER + code, name=maker.username)
    check_void(gateway, token)


def test_many_at_once_make_one_account(gateway: Gateway, adam: Person) -> None:
    token = invite(gateway, adam)
    with ThreadPoolExecutor(RACERS) as pool:
        answers = list(pool.map(lambda n: join(gateway, token, f"racer-{n}"), range(RACERS)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    assert gateway.run(NAMED, start="racer-") == 1


# --- what is refused leaves it usable -------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"username": ""}, 400, "BAD_REQUEST", "username"),
        ({"username": "two words"}, 400, "BAD_REQUEST", "username"),
        ({"username": "nul\0"}, 400, "BAD_REQUEST", "username"),
        ({"username": "x" * 151}, 400, "BAD_REQUEST", "username"),
        ({"username": 5}, 400, "BAD_REQUEST", "username"),
        ({"username": "ALICE"}, 409, "USERNAME_TAKEN", "username"),
        ({"password": "short-1"}, 400, "BAD_REQUEST", "password"),
        ({"password": "password123"}, 400, "BAD_REQUEST", "password"),
        ({"password": "83719283747"}, 400, "BAD_REQUEST", "password"),
        ({"password": "Long-9" + "x" * 1100}, 400, "BAD_REQUEST", "password"),
        ({"password": None}, 400, "BAD_REQUEST", "password"),
        ({"invite_token": "x" * 201}, 400, "BAD_REQUEST", "invite_token"),
        ({"invite_token": ["x"]}, 400, "BAD_REQUEST", "invite_token"),
    ],
    ids=str,
)
def test_a_bad_name_or_password_makes_nobody_and_keeps_the_link(
    gateway: Gateway, adam: Person, changes: dict[str, Any], status: int, code: str, field: str
) -> None:
    token = invite(gateway, adam)
    before = gateway.run(COUNTS)
    check_refusal(join(gateway, token, "nobody-yet", **changes), status, code, field=field)
    assert gateway.run(COUNTS) == before
    assert Client(gateway.url).get(f"/join?invite_token={token}").status_code == 200


def test_the_form_comes_again_with_name_and_role_but_not_the_password(
    gateway: Gateway, adam: Person
) -> None:
    token = invite(gateway, adam)
    browser = Browser(gateway.url)
    page = browser.submit(f"/join?invite_token={token}", username="again", password="weak-1")
    assert (page.status_code, 'role="alert"' in page.text) == (400, True)
    assert "weak-1" not in page.text and "<strong>User</strong>" in page.text
    assert form_fields(page.text) == {"invite_token": token, "username": "again", "password": ""}
    taken = browser.post(
        "/join", data=form_fields(page.text) | {"username": "Alice", "password": PASSWORD}
    )
    assert (taken.status_code, "This user name is taken." in taken.text) == (409, True)
    done = browser.post(
        "/join", data=form_fields(taken.text) | {"username": "again", "password": PASSWORD}
    )
    assert (done.status_code, done.headers["Location"]) == (302, "/")


def test_another_site_joins_nobody(gateway: Gateway, adam: Person) -> None:
    """Login CSRF: the victim would work in the attacker's account without noticing."""
    body = {"invite_token": invite(gateway, adam), "username": "lured", "password": PASSWORD}
    before = gateway.run(COUNTS)
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = Client(gateway.url).post("/join", data=body, headers=headers)
        check_refusal(answer, 403, "CROSS_ORIGIN")
    assert gateway.run(COUNTS) == before


# --- the verbs ------------------------------------------------------------------------------


def make(username: str, role: str = "admin") -> User:
    user = User(username=username, role_id=role)
    user.set_unusable_password()
    user.save()
    return user


def role(slug: str) -> Role:
    return Role.objects.get(slug=slug)


@pytest.mark.django_db
def test_only_the_hash_is_kept() -> None:
    link, token = links.create_invitation(role("user"), actor=make("adam"))
    row = AccountLink.objects.filter(pk=link.pk).values().get()
    assert token not in str(row) and row["token_hash"] == tokens.token_hash(token)
    assert len(bytes.fromhex(token.removeprefix("mss_link_"))) == 32
    assert token not in str(list(AuditEntry.objects.values()))


@pytest.mark.django_db
def test_nobody_invites_above_themselves_nor_an_owner() -> None:
    owner = services.create_owner(username="olga", password=PASSWORD)
    strong = Role.objects.create(slug="strong", title="Strong", rank=90, is_staff=True)
    attempts = [
        (owner, "owner"),
        (make("adam"), "owner"),
        (User.objects.get(username="adam"), strong.slug),
        (make("paula", "power"), "guest"),
        (make("uwe", "user"), "user"),
    ]
    for actor, slug in attempts:
        with pytest.raises(errors.PermissionDenied):
            links.create_invitation(role(slug), actor=actor)
    User.objects.filter(username="adam").update(is_active=False)
    with pytest.raises(errors.PermissionDenied):
        links.create_invitation(role("user"), actor=User.objects.get(username="adam"))
    assert not AccountLink.objects.exists()
    assert not AuditEntry.objects.filter(event="invitation.created").exists()


@pytest.mark.django_db
def test_a_role_that_grew_beyond_its_inviter_is_not_given() -> None:
    adam = make("adam")
    _, token = links.create_invitation(role("user"), actor=adam)
    assert links.open_invitation(token)
    Role.objects.filter(slug="user").update(rank=81)
    with pytest.raises(errors.TokenInvalid):
        links.accept_invitation(token, username="eve", password=PASSWORD)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"days": 0}, "days"),
        ({"days": 91}, "days"),
        ({"days": -1}, "days"),
        ({"email": "no-address"}, "email"),
        ({"email": "a@example.org\nBcc: b@example.org"}, "email"),
        ({"email": "a@example.org, b@example.org"}, "email"),
        ({"email": "x" * 250 + "@example.org"}, "email"),
        ({"note": "x" * 101}, "note"),
    ],
    ids=str,
)
def test_a_malformed_invitation_is_not_made(wanted: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        links.create_invitation(role("user"), actor=make("adam"), **wanted)
    assert refused.value.fields == {"field": field}
    assert not AccountLink.objects.exists()


@pytest.mark.django_db
def test_an_invitation_lasts_as_long_as_it_says() -> None:
    adam = make("adam")
    for days in (1, 7, 90):
        link, _ = links.create_invitation(role("user"), actor=adam, days=days)
        left = link.expires_at - timezone.now()
        assert timedelta(days=days, minutes=-1) < left <= timedelta(days=days)
    assert links.create_invitation(role("user"), actor=adam)[0].expires_at < (
        timezone.now() + timedelta(days=7)
    )


@pytest.mark.django_db
def test_a_revoked_link_is_void_and_only_who_could_make_it_revokes_it() -> None:
    owner = services.create_owner(username="olga", password=PASSWORD)
    link, token = links.create_invitation(role("admin"), actor=owner, note="two\nlines")
    assert link.note == "two lines"
    with pytest.raises(errors.PermissionDenied):
        links.revoke(link, actor=make("paula", "power"))
    assert links.open_invitation(token)
    links.revoke(link, actor=owner)
    with pytest.raises(errors.TokenInvalid):
        links.open_invitation(token)
    entry = AuditEntry.objects.get(event="invitation.revoked")
    assert entry.details == {"state": "open", "role": "admin", "note": "two lines"}


@pytest.mark.django_db
def test_housekeeping_forgets_links_a_month_after_their_end() -> None:
    adam = make("adam")
    for days in (-31, -29, 1):
        link, _ = links.create_invitation(role("user"), actor=adam, note=str(days))
        link.expires_at = timezone.now() + timedelta(days=days)
        link.save()
    assert proofs.remove_stale() == 1
    assert set(AccountLink.objects.values_list("note", flat=True)) == {"-29", "1"}


class AnyToken(TestCase):
    @given(st.text(max_size=300))
    def test_no_text_is_a_link_by_chance(self, text: str) -> None:
        for find in (links.open_invitation, links.open_password_link):
            with pytest.raises(errors.TokenInvalid):
                find(text)
