"""front: host names, whose address it is, static files; what meets every request first."""

import socket

import pytest

from tests.client import Client, raw_request
from tests.gateway import Gateway


def refusal(gateway: Gateway, target: str, **headers: str) -> tuple[int, str]:
    """Status and code, of an answer that must be JSON."""
    answer = raw_request(gateway.url, "GET", target, headers)
    kind = answer.header("Content-Type") or ""
    assert kind.startswith("application/json"), (answer.status, answer.body[:200])
    return answer.status, answer.body.decode().rpartition('"code":"')[2].partition('"')[0]


def hosted(gateway: Gateway, *hosts: str) -> tuple[int, bytes]:
    """Ask with exactly these Host headers."""
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    request = f"GET /mss-login/api/is-https HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(request.encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


def test_names_of_this_machine_are_answered_on_any_port(gateway: Gateway) -> None:
    for host in ("localhost", "LOCALHOST:1", f"127.0.0.1:{gateway.port}", "[::1]:8000"):
        assert hosted(gateway, host) == (200, b'{"is_https":false}')


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("",),
        ("evil.example",),
        ("localhost.evil.example",),
        ("evil.example:80@localhost",),
        ("localhost/",),
        ("localhost:x",),
        ("local host",),
        ("127.0.0.1\xff",),
        ("localhost", "localhost"),
        ("localhost", "evil.example"),
    ],
)
def test_any_other_host_is_refused_as_json(gateway: Gateway, hosts: tuple[str, ...]) -> None:
    status, body = hosted(gateway, *hosts)
    assert (status, b'"code":"BAD_REQUEST"' in body) == (400, True)


# --- static files ---------------------------------------------------------------------------


def test_our_pages_assets_are_public(gateway: Gateway) -> None:
    for path in (
        "/mss-login/static/mss/pages.css",
        "/mss-login/static/mss/login.js",
        "/mss-login/static/admin/css/base.css",
        "/api/mss-login/static/mss/icon.svg",
    ):
        answer = Client(gateway.url).get(path)
        assert (answer.status_code, len(answer.content) > 100) == (200, True), path


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/mss-login/static/../secret_key", (400, "BAD_PATH")),
        ("/mss-login/static/%2e%2e/secret_key", (400, "BAD_PATH")),
        ("/mss-login/static/..%2fsecret_key", (400, "BAD_PATH")),
        ("/mss-login/static/%252e%252e/secret_key", (400, "BAD_PATH")),
        ("/mss-login/static/..%5csecret_key", (400, "BAD_PATH")),
        ("/mss-login/static//secret_key", (404, "NOT_FOUND")),
        ("/mss-login/static/mss%2f..%2f..%2fsecret_key", (400, "BAD_PATH")),
        ("/mss-login/static/secret_key", (404, "NOT_FOUND")),
        ("/mss-login/static/nothing.css", (404, "NOT_FOUND")),
        ("/mss-login/static/", (404, "NOT_FOUND")),
        ("/mss-login/static", (404, "NOT_FOUND")),
        ("/mss-login/static/mss", (404, "NOT_FOUND")),
        ("/mss-login/static/mss/", (404, "NOT_FOUND")),
        ("/mss-login/static/" + "x" * 300, (404, "NOT_FOUND")),
        ("/mss-login/static/mss/pages.css%00.js", (400, "BAD_PATH")),
    ],
)
def test_nothing_outside_the_static_folder_is_served(
    gateway: Gateway, target: str, expected: tuple[int, str]
) -> None:
    # The key lies right above that folder.
    assert (gateway.data_dir / "static").is_dir() and (gateway.data_dir / "secret_key").is_file()
    assert refusal(gateway, target) == expected


def test_static_files_are_only_read(gateway: Gateway) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = Client(gateway.url).request(method, "/mss-login/static/mss/pages.css")
        assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")


# --- whose address --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/api/login", "/api/admin/", "/api/register", "/api/generate_token", "/Login", "/LOGOUT"],
)
def test_pages_have_one_address_each(gateway: Gateway, path: str) -> None:
    assert refusal(gateway, path) == (401, "AUTH_REQUIRED")


def test_encoded_letters_are_the_same_address_and_encoded_separators_are_not_ours(
    gateway: Gateway,
) -> None:
    assert Client(gateway.url).get("/%6cogin").status_code == 200
    assert refusal(gateway, "/mss-login/%61pi/me") == (401, "AUTH_REQUIRED")
    for target in ("//login", "/./login", "/x/../login", "/login\\x", "/api/api/login"):
        status, code = refusal(gateway, target)
        assert (status, code) in {(400, "BAD_PATH"), (404, "NOT_FOUND")}, target


def test_options_grants_nothing_to_any_origin(gateway: Gateway) -> None:
    for path in ("/login", "/admin/", "/prompt", "/mss-login/api/tokens"):
        for origin in ("http://evil.example", gateway.url, "null"):
            answer = raw_request(gateway.url, "OPTIONS", path, {"Origin": origin})
            names = [name.lower() for name, _ in answer.headers]
            assert answer.status == 204
            assert not [name for name in names if name.startswith("access-control")]
