"""Who is refused how: JSON for clients, /login for people, one shape for every refusal."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.accounts.acting import app, session
from tests.cast import ALICE
from tests.client import Client, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.rawconnection import exchange
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

NAVIGATES = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def http_paths(comfy: FakeComfyThread) -> list[str]:
    return [record.path for record in comfy.requests if record.kind == "http"]


# --- no login -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [NAVIGATES, {"Accept": "text/html"}, {"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}],
    ids=["browser", "html", "fetch-mode"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "target",
    ["/view?filename=a%20b.png&type=input&x", "/assets/index.js", "/unlisted/page", "/user.css"],
)
def test_browser_without_login_is_sent_to_login_and_back(
    anonymous: Client, method: str, target: str, headers: dict[str, str]
) -> None:
    answer = anonymous.request(method, target, headers=headers)
    assert (answer.status_code, answer.content) == (302, b"")
    location = urlsplit(answer.headers["Location"])
    assert (location.scheme, location.netloc, location.path) == ("", "", "/login")
    assert parse_qs(location.query, strict_parsing=True) == {"next": [target]}
    assert answer.headers["Cache-Control"] == "no-store"


def test_browser_at_the_front_page_is_sent_to_login(anonymous: Client) -> None:
    answer = anonymous.get("/", headers=NAVIGATES)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")


def test_browser_with_a_bad_query_token_does_not_carry_it_to_login(anonymous: Client) -> None:
    for spelling in ("token", "access_token", "%74oken", "TOKEN"):
        target = f"/view?a=1&{spelling}=mss_stale&b=2"
        location = anonymous.get(target, headers=NAVIGATES).headers["Location"]
        assert parse_qs(urlsplit(location).query) == {"next": ["/view?a=1&b=2"]}


CLIENTS = {
    "nothing said": {"Accept": None},
    "anything": {"Accept": "*/*"},
    "json": {"Accept": "application/json"},
    "json and html": {"Accept": "text/html, application/json"},
    "a page's fetch": {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"},
    "an image": {"Accept": "image/avif,image/webp,*/*", "Sec-Fetch-Mode": "no-cors"},
}


@pytest.mark.parametrize("headers", CLIENTS.values(), ids=CLIENTS)
def test_client_without_login_gets_401_json(
    anonymous: Client, headers: dict[str, str | None]
) -> None:
    for target in ("/", "/view?filename=x.png", "/queue", "/system_stats", "/nowhere"):
        check_refusal(anonymous.get(target, headers=headers), 401, "AUTH_REQUIRED")


@pytest.mark.parametrize(
    "target", ["/api/view?filename=x", "/api/", "/api/queue", "/ws", "/api/ws", "/ws?clientId=1"]
)
@pytest.mark.parametrize("headers", [NAVIGATES, {"Sec-Fetch-Mode": "navigate"}])
def test_browser_under_api_and_ws_is_never_redirected(
    anonymous: Client, target: str, headers: dict[str, str]
) -> None:
    check_refusal(anonymous.get(target, headers=headers), 401, "AUTH_REQUIRED")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_browser_that_sends_something_is_never_redirected(anonymous: Client, method: str) -> None:
    for target in ("/prompt", "/upload/image", "/free", "/unlisted", "/"):
        answer = anonymous.request(
            method, target, data=b"{}", headers={**NAVIGATES, "Sec-Fetch-Mode": "navigate"}
        )
        check_refusal(answer, 401, "AUTH_REQUIRED")


def test_stranger_learns_nothing_about_routes_and_methods(
    anonymous: Client, forwarded: FakeComfyThread
) -> None:
    """401 comes before 403, 404 and 405."""
    for method, target in (
        ("GET", "/internal/logs"),
        ("GET", "/prompt/"),
        ("DELETE", "/prompt"),
        ("PROPFIND", "/"),
        ("TRACE", "/"),
        ("GET", "/no/such/thing"),
    ):
        check_refusal(anonymous.request(method, target), 401, "AUTH_REQUIRED")
    assert http_paths(forwarded) == []


def test_browser_whose_session_ended_is_sent_to_login_and_its_page_is_told(
    gateway: Gateway,
) -> None:
    client = app(gateway, ALICE)
    assert client.get("/queue").status_code == 200
    assert client.post("/logout").status_code == 200
    check_refusal(client.get("/queue"), 401, "TOKEN_REVOKED")
    assert client.get("/", headers=NAVIGATES).headers["Location"] == "/login"


def test_bad_query_token_is_401_whatever_the_cookie_says(gateway: Gateway) -> None:
    client = Client(gateway.url)
    client.cookies.set("jwt_token", session(gateway, ALICE))
    assert client.get("/queue").status_code == 200
    for target in ("/queue?token=bad", "/queue?token=", "/queue?access_token=bad", "/?token=bad"):
        check_refusal(client.get(target), 401, "TOKEN_INVALID")


@pytest.mark.parametrize(
    "target", ["/manifest.json", "/assets/manifest-Ab_1.json", "/site.webmanifest"]
)
def test_stranger_may_fetch_the_pages_manifest(
    anonymous: Client, forwarded: FakeComfyThread, target: str
) -> None:
    """Browsers ask for it without cookies."""
    assert anonymous.get(target).status_code == anonymous.head(target).status_code == 404
    check_refusal(anonymous.post(target), 401, "AUTH_REQUIRED")
    assert http_paths(forwarded) == [target, target]


def test_icon_is_the_gateways_own(anonymous: Client, forwarded: FakeComfyThread) -> None:
    icon = anonymous.get("/favicon.ico")
    assert (icon.status_code, icon.content[:4]) == (200, b"\0\0\1\0")
    check_refusal(anonymous.post("/favicon.ico"), 405, "METHOD_NOT_ALLOWED")
    check_refusal(anonymous.get("/mss-login/static/nothing.css"), 404, "NOT_FOUND")
    check_refusal(anonymous.get("/mss-login/static/"), 404, "NOT_FOUND")
    check_refusal(anonymous.get(f"/mss-login/static/{'x' * 300}"), 404, "NOT_FOUND")
    assert http_paths(forwarded) == []


@pytest.mark.parametrize(
    "target",
    [
        "/api/manifest.json",
        "/manifest.json/",
        "/manifest.json/x",
        "/assets/x/manifest.json",
        "/assets/manifest-x.js",
        "/extensions/manifest.json",
        "/manifest.json.js",
        "/manifest-%20.json",
    ],
)
def test_what_is_only_named_like_a_manifest_needs_a_login(
    anonymous: Client, forwarded: FakeComfyThread, target: str
) -> None:
    check_refusal(anonymous.get(target), 401, "AUTH_REQUIRED")
    assert http_paths(forwarded) == []


# --- no HTTP ------------------------------------------------------------------------------------


MALFORMED = {
    "no HTTP": b"HELLO\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "lower-case method": b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no path": b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "raw bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "length and chunked": b"POST /prompt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /prompt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\nhello",
    "negative length": b"POST /prompt HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "control in a header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: a\x00b\r\n\r\n",
    "folded first header": b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_http_is_refused_as_json_and_hung_up_on(
    gateway: Gateway, forwarded: FakeComfyThread, data: bytes
) -> None:
    head, _, body = exchange(gateway.url, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert body == b'{"error":"The request is not understood.","code":"BAD_REQUEST"}'
    assert http_paths(forwarded) == []


def test_endless_head_is_refused(gateway: Gateway) -> None:
    data = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 2_000_000
    try:
        answer = exchange(gateway.url, data)
    except ConnectionError:
        return  # hung up on while still sending
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_path_with_a_line_break_cannot_forge_a_log_line(gateway: Gateway, alice: Client) -> None:
    for target in ("/x%0aFORGED%20LINE", "/x%0d%0aFORGED%20LINE", "/x%e2%80%a8FORGED%20LINE"):
        raw_request(gateway.url, "GET", target, {"Authorization": f"Bearer {alice.token}"})
    forged = [line for line in gateway.log().splitlines() if line.startswith("FORGED")]
    assert forged == []
    assert "FORGED LINE" not in gateway.log()
