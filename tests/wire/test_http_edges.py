"""Hosts, HTTPS and other origins: what is decided before anybody asks whose address it is."""

import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.accounts.acting import session
from tests.cast import ALICE, PASSWORD
from tests.client import Client, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.rawconnection import exchange
from tests.refusals import check_refusal, faults

pytestmark = pytest.mark.usefixtures("clean_log")

APP = "https://app.example"
HSTS = "max-age=31536000"
HTTPS = {"X-Forwarded-Proto": "https"}


# After which a gateway has asked what it wants to know.
QUIET_SECONDS = 0.5


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """HTTPS only, behind a trusted proxy, with one foreign origin that may call."""
    with serving(
        tmp_path_factory.mktemp("strict"),
        comfy.url,
        (ALICE,),
        MSS_FORCE_HTTPS="true",
        MSS_TRUSTED_PROXIES="127.0.0.1",
        MSS_CORS_ORIGINS=f"{APP}, http://localhost:3000",
        MSS_ALLOWED_HOSTS="127.0.0.1, gate.example, .wild.example",
    ) as server:
        _wait_for_first_questions(comfy)
        yield server
        assert faults(server.log(), [PASSWORD]) == []


def _wait_for_first_questions(comfy: FakeComfyThread) -> None:
    """A gateway that starts asks what ComfyUI has; here it is counted what it asks for others."""
    quiet_since, asked = time.monotonic(), len(comfy.requests)
    while time.monotonic() - quiet_since < QUIET_SECONDS:
        time.sleep(0.05)
        if len(comfy.requests) != asked:
            quiet_since, asked = time.monotonic(), len(comfy.requests)


@pytest.fixture(scope="module")
def token(strict: Gateway) -> str:
    return session(strict, ALICE)


@pytest.fixture
def secure(strict: Gateway, token: str) -> Client:
    """Alice, through the proxy that speaks HTTPS with her."""
    client = Client(strict.url, token)
    client.headers.update(HTTPS)
    return client


def http_paths(comfy: FakeComfyThread) -> list[str]:
    return [record.path for record in comfy.requests if record.kind == "http"]


# --- hosts ---------------------------------------------------------------------------------------


def ask_as(gateway: Gateway, token: str | None, *hosts: str, path: str = "/features") -> bytes:
    lines = [f"GET {path} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return exchange(gateway.url, "\r\n".join([*lines, "", ""]).encode())


@pytest.mark.parametrize("path", ["/features", "/login", "/mss-login/api/me", "/favicon.ico", "/"])
@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("",),
        ("evil.example",),
        ("127.0.0.1.evil.example",),
        ("evil.example:80",),
        ("127.0.0.1@evil.example",),
        ("evil.example#127.0.0.1",),
        ("localhost:port",),
        ("127.0.0.1", "evil.example"),
        ("evil.example", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1, evil.example",),
        ("[::1",),
        ("\xff\xfe",),
    ],
    ids=str,
)
def test_host_that_is_not_ours_is_refused_before_anything_else(
    gateway: Gateway,
    alice: Client,
    forwarded: FakeComfyThread,
    hosts: tuple[str, ...],
    path: str,
) -> None:
    head, _, body = ask_as(gateway, alice.token, *hosts, path=path).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert b'"code":"BAD_REQUEST"' in body
    assert http_paths(forwarded) == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:8000", "[::1]:9"]
)
def test_loopback_names_are_ours(gateway: Gateway, alice: Client, host: str) -> None:
    assert ask_as(gateway, alice.token, host).startswith(b"HTTP/1.1 200 ")


def test_configured_hosts_are_ours_and_no_others(strict: Gateway) -> None:
    for host, status in (
        ("gate.example", b"308"),
        ("a.wild.example", b"308"),
        ("wild.example", b"308"),
        ("localhost", b"400"),
        ("notgate.example", b"400"),
        ("wild.example.evil", b"400"),
    ):
        assert ask_as(strict, None, host).split()[1] == status, host


# --- HTTPS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "target",
    ["/", "/view?filename=a%20b&x", "/api/queue", "/login", "/mss-login/api/me", "/%zz", "//x"],
)
def test_plain_http_is_sent_to_https_and_goes_no_further(
    strict: Gateway, token: str, forwarded: FakeComfyThread, method: str, target: str
) -> None:
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-Proto": "http"}
    answer = raw_request(strict.url, method, target, headers)
    assert (answer.status, answer.body) == (308, b"")
    host = strict.url.removeprefix("http://")
    assert answer.header("location") == f"https://{host}{target}"
    assert answer.header("strict-transport-security") is None
    assert http_paths(forwarded) == []


def test_redirect_to_https_repeats_no_token(strict: Gateway) -> None:
    for spelling in ("token", "access_token", "%74oken"):
        answer = raw_request(strict.url, "GET", f"/view?a=1&{spelling}=mss_secret&b=2")
        assert (answer.header("location") or "").endswith("/view?a=1&b=2")


def test_plain_socket_is_refused_where_https_is_forced(strict: Gateway, token: str) -> None:
    address = f"{strict.ws_url}/ws?token={token}"
    with pytest.raises(InvalidStatus) as refused, connect(address):
        pass
    assert refused.value.response.status_code == 403
    with connect(address, additional_headers={"X-Forwarded-Proto": "https"}) as socket:
        assert "sid" in str(socket.recv(10))


def test_every_https_answer_says_so_once(strict: Gateway, secure: Client, token: str) -> None:
    headers = {**HTTPS, "Authorization": f"Bearer {token}"}
    for method, target in (
        ("GET", "/"),
        ("GET", "/features"),
        ("GET", "/login"),
        ("GET", "/mss-login/api/me"),
        ("GET", "/favicon.ico"),
        ("GET", "/internal/logs"),
        ("GET", "/%zz"),
        ("POST", "/prompt"),
        ("OPTIONS", "/prompt"),
    ):
        answer = raw_request(strict.url, method, target, headers)
        sent = [value for name, value in answer.headers if name == "strict-transport-security"]
        assert sent == [HSTS], (method, target)


def test_gateway_without_forced_https_sends_no_hsts(gateway: Gateway, alice: Client) -> None:
    for path in ("/", "/features", "/login", "/internal/logs"):
        answer = alice.get(path, headers=HTTPS)
        assert "Strict-Transport-Security" not in answer.headers


# --- other origins -------------------------------------------------------------------------------


def grants(headers: dict[str, str]) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower().startswith("access-control")
    }


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}


@pytest.mark.parametrize(
    "path", ["/", "/prompt", "/api/prompt", "/free", "/nowhere", "/login", "/%zz", "/mss-login/x"]
)
def test_options_grants_nothing_and_goes_nowhere(
    anonymous: Client, admin: Client, forwarded: FakeComfyThread, path: str
) -> None:
    for client in (anonymous, admin):
        for headers in ({}, {"Origin": APP, **PREFLIGHT}, {"Origin": "null", **PREFLIGHT}):
            answer = client.options(path, headers=headers)
            assert (answer.status_code, answer.content) == (204, b"")
            assert grants(dict(answer.headers)) == {}
            assert "Allow" not in answer.headers
    assert http_paths(forwarded) == []


def test_no_answer_is_readable_for_another_origin_unless_configured(
    gateway: Gateway, alice: Client, anonymous: Client
) -> None:
    for path in ("/features", "/queue", "/view?filename=x", "/login", "/internal/logs"):
        for client in (alice, anonymous):
            answer = client.get(path, headers={"Origin": APP})
            assert grants(dict(answer.headers)) == {}


def test_configured_origin_may_ask_and_read(secure: Client) -> None:
    preflight = secure.options("/prompt", headers={"Origin": APP, **PREFLIGHT})
    assert (preflight.status_code, preflight.content) == (204, b"")
    told = grants(dict(preflight.headers))
    assert told.pop("access-control-allow-origin") == APP
    assert "POST" in told.pop("access-control-allow-methods")
    allowed = told.pop("access-control-allow-headers").lower().split(", ")
    assert {"authorization", "content-type"} <= set(allowed)
    assert set(told) == {"access-control-expose-headers", "access-control-max-age"}
    for path, status in (("/features", 200), ("/internal/logs", 403), ("/login", 200), ("/", 200)):
        answer = secure.get(path, headers={"Origin": APP})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Origin" in answer.headers["Vary"]


def test_configured_origin_without_a_token_reads_why_not(strict: Gateway) -> None:
    answer = Client(strict.url).get("/queue", headers={**HTTPS, "Origin": APP})
    check_refusal(answer, 401, "AUTH_REQUIRED")
    assert answer.headers["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.evil",
        "https://evil.example",
        "https://APP.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example/",
        "null",
        "*",
        f"{APP}, {APP}",
        "",
    ],
)
def test_origin_that_only_looks_configured_may_nothing(secure: Client, origin: str) -> None:
    for method in ("OPTIONS", "GET"):
        answer = secure.request(method, "/features", headers={"Origin": origin, **PREFLIGHT})
        assert grants(dict(answer.headers)) == {}


def test_cookie_never_counts_for_a_configured_origin(
    strict: Gateway, token: str, forwarded: FakeComfyThread
) -> None:
    client = Client(strict.url)
    headers = {**HTTPS, "Origin": APP, "Cookie": f"jwt_token={token}"}
    for more in ({}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.post("/queue", json={"clear": True}, headers={**headers, **more})
        check_refusal(answer, 403, "CROSS_ORIGIN")
    assert http_paths(forwarded) == []
