"""Bodies that no client should send: a 4xx of the contract, never a 500, and nothing changes."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.accounts.acting import COUNTS, Newcomer, app, refused
from tests.browser import Browser
from tests.client import Client, raw_request
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("log_without_secrets")

LOGIN, TOKEN, TOKENS = "/login", "/mss-login/generate_token", "/mss-login/api/tokens"
# Each with the method that reads a body, and a field that it cannot do without.
ENDPOINTS = [("POST", LOGIN, "username"), ("DELETE", TOKENS, "token_hash_prefix")]
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def user(gateway: Gateway, newcomer: Newcomer) -> Client:
    return app(gateway, newcomer())


@pytest.fixture(autouse=True)
def nothing_changes(gateway: Gateway, user: Client) -> Iterator[None]:
    before = gateway.run(COUNTS)
    yield
    assert gateway.run(COUNTS) == before


@pytest.mark.parametrize(("method", "path", "field"), [*ENDPOINTS, ("POST", TOKEN, "")])
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b"username=alice",
        b"\xff\xfe{}",
        b'{"username": "\xff"}',
        b'{"username": "\\ud800", "password": "x"}',
        b'{"a": NaN}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 100_000,
        b"\0",
        b"nul",
        b'{"a": "\n"}',
    ],
    ids=lambda body: str(body[:12]),
)
def test_what_is_not_json_is_invalid_json(
    user: Client, method: str, path: str, field: str, body: bytes
) -> None:
    answer = user.request(method, path, data=body, headers=JSON)
    assert refused(answer) == (400, "INVALID_JSON")


@pytest.mark.parametrize(("method", "path", "field"), [*ENDPOINTS, ("POST", TOKEN, "")])
@pytest.mark.parametrize("body", [b"[1]", b'["username"]', b'"text"', b"5", b"true"])
def test_json_that_is_no_object_is_a_bad_request(
    user: Client, method: str, path: str, field: str, body: bytes
) -> None:
    answer = user.request(method, path, data=body, headers=JSON)
    assert refused(answer) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(("method", "path", "field"), ENDPOINTS)
@pytest.mark.parametrize(
    "value", [None, 5, 1.5, True, [], ["alice"], {}, {"$ne": 1}, "", "nul\0", "x" * 200_000]
)
def test_a_field_of_the_wrong_kind_is_named(
    user: Client, method: str, path: str, field: str, value: Any
) -> None:
    body = {field: value, "password": "x"}
    answer = user.request(method, path, json=body)
    assert refused(answer) == (400, "BAD_REQUEST")
    assert answer.json()["field"] == field
    missing = user.request(method, path, json={"password": "x"})
    assert (refused(missing), missing.json()["field"]) == ((400, "BAD_REQUEST"), field)


@pytest.mark.parametrize("value", [None, 5, True, [], {}, "", "nul\0", "x" * 1025])
def test_a_password_of_the_wrong_kind_is_named_and_not_shown(user: Client, value: Any) -> None:
    for path in (LOGIN, TOKEN):
        answer = user.post(path, json={"username": "alice", "password": value})
        assert refused(answer) == (400, "BAD_REQUEST")
        assert answer.json()["field"] == "password"
        assert "xxxx" not in answer.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", 5),
        ("label", None),
        ("label", ["a"]),
        ("label", "x" * 101),
        ("label", "nul\0"),
        ("scopes", "can_run"),
        ("scopes", {"can_run": True}),
        ("scopes", [1]),
        ("scopes", [None]),
        ("scopes", [["can_run"]]),
        ("scopes", ["x" * 65]),
        ("scopes", ["can_run"] * 65),
        ("scopes", 5),
        ("scopes", True),
        ("require_password_reauth", "perhaps"),
        ("require_password_reauth", []),
        ("require_password_reauth", {}),
        ("require_password_reauth", None),
        ("expire_hours", "x" * 2000),
        ("expire_hours", {}),
    ],
)
def test_a_token_request_with_a_wrong_field_makes_no_token(
    user: Client, field: str, value: Any
) -> None:
    answer = user.post(TOKEN, json={field: value})
    assert refused(answer) == (400, "BAD_REQUEST")
    assert answer.json()["field"] == field


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/xml",
        "application/octet-stream",
        "nonsense",
        "",
        "application/json/x",
        "x" * 5000,
    ],
)
def test_other_content_types_are_a_bad_request(user: Client, content_type: str) -> None:
    for method, path, _ in (*ENDPOINTS, ("POST", TOKEN, "")):
        answer = user.request(
            method, path, data=b'{"a": 1}', headers={"Content-Type": content_type}
        )
        assert refused(answer) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("charset", ["punycode", "zlib", "utf-16", "idna", "nonsense", "\xe4"])
def test_a_strange_charset_changes_nothing(user: Client, charset: str) -> None:
    for kind, body in (("json", b'{"a": 1}'), ("x-www-form-urlencoded", b"a=1")):
        headers = {"Content-Type": f"application/{kind}; charset={charset}"}
        answer = user.post(LOGIN, data=body, headers=headers)
        assert (refused(answer), answer.json()["field"]) == ((400, "BAD_REQUEST"), "username")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM["Content-Type"], b"&".join(b"a%d=1" % n for n in range(1500))),
        (FORM["Content-Type"], b"%ff=%ff&username=%ff"),
        (FORM["Content-Type"], b"\xff\xff&&&==="),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=\xff", b"x"),
        ("multipart/form-data; boundary=b", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n--b--"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="username"; filename="f"\r\n\r\n'
            b"x\r\n--b--",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_broken_forms_are_a_bad_request(user: Client, content_type: str, body: bytes) -> None:
    for method, path, _ in ENDPOINTS:
        answer = user.request(method, path, data=body, headers={"Content-Type": content_type})
        assert refused(answer) == (400, "BAD_REQUEST")


def test_a_body_of_more_than_ten_megabytes_is_too_large(user: Client) -> None:
    body = b'{"username": "' + b"x" * (11 * 1024 * 1024) + b'"}'
    for data in (body, iter([body])):
        answer = user.post(LOGIN, data=data, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


def test_a_page_shows_the_refusal_of_a_broken_form(gateway: Gateway) -> None:
    page = Browser(gateway.url)
    for kind, body in (
        ("application/json", b"{"),
        ("application/json", b'{"username": "\\ud800"}'),
        ("application/json", b"[]"),
        ("text/plain", b"x"),
        ("multipart/form-data", b"x"),
    ):
        answer = page.post(LOGIN, data=body, headers={"Content-Type": kind})
        assert (answer.status_code, answer.headers["Content-Type"][:9]) == (400, "text/html")
        assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/login?next=%ff%00", 200),
        ("/login?%", 200),
        ("/mss-login/api/me?a=%zz", 401),
        ("/login?" + "a&" * 10_001, 400),
        ("/mss-login/api/tokens?" + "a&" * 10_001, 401),
    ],
)
def test_strange_queries_are_harmless(gateway: Gateway, target: str, status: int) -> None:
    assert raw_request(gateway.url, "GET", target).status == status
