"""HTTPS and client addresses behind a proxy: believed from a trusted one, from nobody else."""

from collections.abc import Iterator

import pytest

from tests.accounts.acting import session
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway

IS_HTTPS = "/mss-login/api/is-https"
PERSON = Person("pat", "user")
HTTPS = {"X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def proxied(fresh: Gateway) -> Iterator[Gateway]:
    """The gateway that trusts 127.0.0.1, with one account."""
    fresh.run(
        "from accounts import services;"
        "services.create_user(username=name, password=password, role='user', actor=None)",
        name=PERSON.username,
        password=PASSWORD,
    )
    yield fresh
    fresh.run("from accounts import models; models.User.objects.all().delete()")


def is_https(gateway: Gateway, **headers: str) -> bool:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Client(gateway.url).get(IS_HTTPS, headers=named)
    assert answer.status_code == 200
    assert list(answer.json()) == ["is_https"]
    return bool(answer.json()["is_https"])


def test_https_is_what_a_trusted_proxy_says(proxied: Gateway) -> None:
    assert is_https(proxied) is False
    assert is_https(proxied, X_Forwarded_Proto="https") is True
    assert is_https(proxied, X_Forwarded_Proto="HTTPS") is True
    assert is_https(proxied, X_Forwarded_Proto="http") is False
    # The nearest proxy's word is the last one.
    assert is_https(proxied, X_Forwarded_Proto="https, http") is False
    assert is_https(proxied, X_Forwarded_Proto="http, https") is True
    for nonsense in ("ftp", "", "on", "https://", "ws"):
        assert is_https(proxied, X_Forwarded_Proto=nonsense) is False
    for other in ("X_Forwarded_Ssl", "Front_End_Https", "X_Url_Scheme", "Forwarded"):
        assert is_https(proxied, **{other: "on;proto=https"}) is False


def test_nobody_elses_word_counts(gateway: Gateway) -> None:
    assert is_https(gateway, X_Forwarded_Proto="https") is False


def test_is_https_needs_no_login_and_answers_under_api_too(gateway: Gateway) -> None:
    answer = Client(gateway.url, "nonsense").get("/api" + IS_HTTPS)
    assert answer.json() == {"is_https": False}


def test_cookie_is_secure_on_https_only(proxied: Gateway) -> None:
    body = {"username": PERSON.username, "password": PASSWORD}
    flags = {}
    for name, headers in {"http": {}, "https": HTTPS}.items():
        cookie = Client(proxied.url).post("/login", json=body, headers=headers)
        parts = [part.strip() for part in cookie.headers["Set-Cookie"].split(";")]
        flags[name] = {part for part in parts if "=" not in part}
    assert flags == {"http": {"HttpOnly"}, "https": {"HttpOnly", "Secure"}}


def test_own_origin_is_https_behind_a_proxy_that_says_so(proxied: Gateway) -> None:
    jwt = session(proxied, PERSON)
    host = proxied.url.removeprefix("http://")
    for origin, headers, status in (
        (f"https://{host}", HTTPS, 200),
        (f"http://{host}", HTTPS, 403),
        (f"https://{host}", {}, 403),
        (f"http://{host}", {}, 200),
    ):
        answer = Client(proxied.url).post(
            "/mss-login/generate_token",
            headers={"Cookie": f"jwt_token={jwt}", "Origin": origin, **headers},
        )
        assert answer.status_code == status


LAST_ADDRESS = """
from accounts import models
result = models.AuditEntry.objects.filter(event="login.failed").first().ip
"""


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (None, "127.0.0.1"),
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 127.0.0.1", "203.0.113.9"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("nonsense", "127.0.0.1"),
        ("203.0.113.9, nonsense", "127.0.0.1"),
    ],
)
def test_audit_trail_names_the_client_and_not_the_proxy(
    proxied: Gateway, forwarded: str | None, expected: str
) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    body = {"username": PERSON.username, "password": "wrong-Password-1"}
    Client(proxied.url).post("/login", json=body, headers=headers)
    assert proxied.run(LAST_ADDRESS) == expected


def test_audit_trail_does_not_believe_an_untrusted_client(gateway: Gateway) -> None:
    body = {"username": "nobody", "password": "wrong-Password-1"}
    Client(gateway.url).post("/login", json=body, headers={"X-Forwarded-For": "203.0.113.9"})
    assert gateway.run(LAST_ADDRESS) == "127.0.0.1"
