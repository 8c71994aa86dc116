"""The admin's doors: a staff member's cookie opens it and nothing else; no page breaks."""

import pytest

from tests.accounts.acting import Newcomer, browser, mint, session
from tests.browser import Browser, form_fields
from tests.cast import PASSWORD
from tests.client import Client
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

LOGIN = "/login?next=%2Fadmin%2F"


@pytest.fixture(scope="module")
def admin(gateway: Gateway, newcomer: Newcomer) -> Browser:
    return browser(gateway, newcomer("admin"))


def landing(client: Client, path: str = "/admin/") -> str:
    """Where a browser ends up: the path of the page it is shown at last."""
    for _ in range(4):
        answer = client.get(path, allow_redirects=False)
        if answer.status_code != 302:
            assert answer.status_code == 200
            return path
        path = answer.headers["Location"]
    raise AssertionError(path)


def test_admin_logs_in_through_our_page_and_lands_where_they_wanted(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer("admin", password=True)
    page = Browser(gateway.url)
    wanted = "/admin/accounts/user/?q=alice"
    login = landing(page, wanted)
    assert login.startswith("/login?next=")
    answer = page.submit(login, username=person.username, password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (302, wanted)
    assert landing(page, wanted) == wanted


def test_anonymous_is_sent_to_our_login(gateway: Gateway) -> None:
    assert landing(Browser(gateway.url)) == LOGIN


def test_form_sent_after_the_session_ended_leads_to_the_login(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    page = browser(gateway, newcomer("admin"))
    form = form_fields(page.get("/admin/accounts/user/add/").text)
    Client(gateway.url, page.cookies["jwt_token"]).post("/logout")
    answer = page.post("/admin/accounts/user/add/", data=form | {"username": "too-late"})
    assert answer.status_code == 302
    assert landing(page, answer.headers["Location"]).startswith("/login?next=%2Fadmin%2F")


@pytest.mark.parametrize("role", ["guest", "user", "power"])
def test_people_without_staff_role_are_sent_to_the_login_that_says_who_they_are(
    gateway: Gateway, newcomer: Newcomer, role: str
) -> None:
    person = newcomer(role)
    page = browser(gateway, person)
    for path in ("/admin/", "/admin/accounts/user/", "/admin/accounts/user/add/"):
        assert landing(page, path).startswith("/login?next=%2Fadmin%2F")
    assert f"<strong>{person.username}</strong>, who may not open" in page.get(LOGIN).text


def test_a_token_in_a_header_does_not_open_it(gateway: Gateway, newcomer: Newcomer) -> None:
    person = newcomer("admin")
    jwt = session(gateway, person)
    for token in (jwt, mint(gateway, person)):
        assert landing(Client(gateway.url, token)) == LOGIN
        assert landing(Client(gateway.url), f"/admin/?token={token}") != "/admin/"
    both = browser(gateway, person)
    both.headers["Authorization"] = f"Bearer {jwt}"
    assert landing(both) == LOGIN
    assert landing(browser(gateway, person)) == "/admin/"


def test_a_form_needs_its_csrf_token_and_our_own_origin(gateway: Gateway, admin: Browser) -> None:
    path = "/admin/accounts/user/add/"
    good = form_fields(admin.get(path).text) | {
        "username": "csrf-victim",
        "password": "Long-enough-77",
        "role": "user",
    }
    without = {k: v for k, v in good.items() if k != "csrfmiddlewaretoken"}
    attempts = [
        admin.post(path, data=without),
        admin.post(path, data=good | {"csrfmiddlewaretoken": "x" * 64}),
        admin.post(path, data=good, headers={"Origin": "http://evil.example"}),
        admin.post(path, data=good, headers={"Sec-Fetch-Site": "cross-site"}),
    ]
    assert [answer.status_code for answer in attempts] == [403] * 4
    assert "Nothing is like that" in admin.get("/admin/accounts/user/?q=csrf-victim").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/admin/accounts/user/?p=x", 200),
        ("/admin/accounts/user/?role__slug__exact=user", 200),
        ("/admin/accounts/modelgrant/?role__slug__exact=user", 200),
        ("/admin/accounts/modelgrant/?user__password__startswith=a", 400),
        ("/admin/accounts/modelgrant/export.csv?user__password__startswith=a", 400),
        ("/admin/accounts/modelgrant/export.json?foo=bar", 302),
        ("/admin/accounts/modelgrant/give/user/99999999999999999999999/", 302),
        ("/admin/accounts/modelgrant/give/user/x/", 302),
        ("/admin/accounts/modelgrant/matrix/?up=x&mp=-1&role=%00&folder=%ff", 200),
        ("/admin/accounts/role/?p=-1", 200),
        ("/admin/accounts/user/?o=99.x", 200),
        ("/admin/accounts/user/?q=%00%ff", 200),
        ("/admin/accounts/user/?foo=bar", 302),
        ("/admin/accounts/user/?is_active__exact=%00", 302),
        ("/admin/accounts/user/?_to_field=password", 400),
        ("/admin/accounts/user/?password__startswith=a", 400),
        ("/admin/accounts/session/?user__password__startswith=a", 400),
        ("/admin/accounts/apitoken/?user__password__startswith=a", 400),
        ("/admin/accounts/auditentry/?actor__password__startswith=a", 400),
        ("/admin/accounts/auditentry/?at__year=abc", 302),
        ("/admin/accounts/auditentry/?at__month=13&at__year=2026", 302),
        ("/admin/accounts/session/not-a-uuid/change/", 302),
        ("/admin/accounts/user/x/change/", 302),
        ("/admin/accounts/user/99999999999999999999999/change/", 302),
        ("/admin/accounts/user/x/password/", 403),
        ("/admin/accounts/user/999999/password/", 403),
        ("/admin/accounts/nothing/", 404),
        ("/admin/autocomplete/", 403),
    ],
)
def test_nonsense_in_an_address_is_no_server_error(
    gateway: Gateway, admin: Browser, path: str, status: int
) -> None:
    assert admin.get(path).status_code == status


def test_no_page_shows_a_password_hash_or_a_token_hash(
    gateway: Gateway, newcomer: Newcomer, admin: Browser
) -> None:
    person = newcomer(password=True)
    token = mint(gateway, person)
    keys = gateway.run(
        """
from accounts.models import User
from accounts import tokens
user, owner = User.objects.get(username=username), User.objects.get(role="owner")
token_hash = tokens.token_hash(token)
result = [user.pk, owner.pk, user.api_tokens.get().pk, user.password, owner.password, token_hash]
""",
        username=person.username,
        token=token,
    )
    pages = "".join(
        admin.get(path).text
        for path in (
            f"/admin/accounts/user/{keys[0]}/change/",
            f"/admin/accounts/user/{keys[1]}/change/",  # may only be looked at
            f"/admin/accounts/apitoken/{keys[2]}/change/",
            "/admin/accounts/user/",
            "/admin/accounts/apitoken/",
            "/admin/accounts/auditentry/",
        )
    )
    assert person.username in pages and keys[5][:12] in pages
    for secret in (*keys[3:5], keys[3].split("$")[-1], keys[5], token):
        assert secret not in pages
