"""What the gateway logs and reports: whose request it was, and none of the secrets that people
send, on whatever route and however they send them."""

import base64
import gzip
import json
import secrets
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import brotli
import pytest
import requests

from tests.accounts.acting import session
from tests.cast import ADMIN, ALICE, PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import EMBEDDED, Gateway, serving
from tests.refusals import wait_until

# What a body's members are called that hold secrets, here or at ComfyUI's.
SECRET_NAMES: Final = (
    "password",
    "old_password",
    "new_password",
    "current_password",
    "confirm_password",
    "token",
    "code",
    "mfa_code",
    "mfa_temp_token",
    "backup_code",
    "secret",
    "api_key",
    "key",
    "civitai_api_key",
    "hf_token",
    "setup_token",
    "refresh_token",
    "api_key_comfy_org",
    "auth_token_comfy_org",
)
BREAK: Final = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("ALTER TABLE comfyproxy_promptrecord RENAME TO comfyproxy_moved")
"""


class Collector:
    """Stands in for Sentry: keeps what is reported."""

    def __init__(self) -> None:
        reports: list[str] = []
        self.reports = reports

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                encoding = self.headers.get("Content-Encoding", "")
                body = {"gzip": gzip.decompress, "br": brotli.decompress}[encoding](body)
                reports.append(body.decode())
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://public@127.0.0.1:{self._server.server_port}/1"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


@pytest.fixture(scope="module")
def talkative(
    tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread, collector: Collector
) -> Iterator[Gateway]:
    """A gateway that logs all that it can."""
    settings = {
        "MSS_LOG_LEVEL": "DEBUG",
        "MSS_LOG_FORMAT": "json",
        "MSS_ACCESS_LOG": "true",
        "SENTRY_DSN": collector.url,
        "MSS_TRUSTED_PROXIES": "127.0.0.1",
        # One of the tests takes a table away.
        EMBEDDED: "1",
    }
    folder = tmp_path_factory.mktemp("talkative")
    with serving(folder, comfy.url, (ALICE, ADMIN), **settings) as server:
        yield server


def lines(gateway: Gateway) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gateway.log().splitlines() if line.strip()]


class Secrets:
    """Values that nobody else makes, one for each place."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def token(self, before: str = "mss_") -> str:
        """One that looks like a token, with that before it."""
        return self._kept(before + secrets.token_urlsafe(32))

    def word(self) -> str:
        """One that looks like nothing: nobody can tell it from other words."""
        return self._kept(f"word-{secrets.token_hex(6)}")

    def _kept(self, value: str) -> str:
        self.sent.append(value)
        return value


def test_secrets_sent_to_every_route_are_in_no_line_and_no_report(
    talkative: Gateway, collector: Collector
) -> None:
    document = Client(talkative.url).get("/mss-login/api/schema").json()
    made = Secrets()
    asked = 0
    for path, methods in document["paths"].items():
        for method in methods:
            if path == "/logout":
                continue
            jwt = session(talkative, ADMIN)
            made.sent.append(jwt)
            for request in _requests(made, jwt):
                place = request.pop("below", "") + _filled(path)
                _ask(talkative, method.upper(), place, request)
                asked += 1
    assert asked > 800
    log = talkative.log()
    # Each of these requests has its line.
    assert log.count('"mssproject.access"') >= asked
    found = [value for value in made.sent if value in log or value in "".join(collector.reports)]
    assert found == []
    assert PASSWORD not in log
    assert lines(talkative)


def _requests(made: Secrets, jwt: str) -> Iterator[dict[str, Any]]:
    """Ways of sending secrets along: as a login that is good, and as such that are none."""
    body = {name: made.word() for name in SECRET_NAMES}
    body |= {"username": ADMIN.username, "prompt": {}, "extra_data": {"api_key": made.word()}}
    bearer = {"Authorization": f"Bearer {jwt}"}
    yield {"headers": bearer, "json": body, "params": {"q": made.word()}}
    yield {"headers": bearer, "data": {name: made.word() for name in SECRET_NAMES}}
    yield {"headers": {"Authorization": f"Bearer {made.token()}"}, "json": body}
    basic = base64.b64encode(f"{ADMIN.username}:{made.word()}".encode()).decode()
    made.sent.append(basic)
    yield {"headers": {"Authorization": f"Basic {basic}"}}
    cookie = f"jwt_token={jwt}; other={made.word()}"
    yield {"headers": {"Cookie": cookie}, "params": {"token": made.word(), "q": made.word()}}
    yield {"below": f"/t/{made.token()}", "params": {"access_token": made.token("")}}


def _filled(path: str) -> str:
    """The address with something in place of its parameters, which nobody has."""
    for part in path.split("/"):
        if part.startswith("{"):
            path = path.replace(part, "nobody", 1)
    return path


def _ask(gateway: Gateway, method: str, path: str, request: dict[str, Any]) -> None:
    with requests.request(
        method, gateway.url + path, timeout=60, allow_redirects=False, stream=True, **request
    ) as answer:
        assert answer.status_code != 500, (method, path)


def test_line_tells_whose_request_it_was_and_what_became_of_it(talkative: Gateway) -> None:
    alice = Client(talkative.url, session(talkative, ALICE))
    assert alice.get("/queue", headers={"X-Request-ID": "from-the-proxy-42"}).status_code == 200

    def found() -> list[dict[str, Any]]:
        return [line for line in lines(talkative) if line["request_id"] == "from-the-proxy-42"]

    wait_until(found)
    (line,) = (line for line in found() if line["logger"] == "mssproject.access")
    user = talkative.run(
        "from accounts.models import User\nresult = User.objects.get(username=name).pk",
        name=ALICE.username,
    )
    told = {name: line[name] for name in ("method", "path", "status", "user_id", "address")}
    assert told == {
        "method": "GET",
        "path": "/queue",
        "status": 200,
        "user_id": user,
        "address": "127.0.0.1",
    }
    assert 0 < line["ms"] < 60_000


def test_client_cannot_choose_its_own_request_id(tmp_path: Path, comfy: FakeComfyThread) -> None:
    settings = {"MSS_ACCESS_LOG": "true", "MSS_LOG_FORMAT": "json"}
    with serving(tmp_path, comfy.url, (), **settings) as server:
        Client(server.url).get("/queue", headers={"X-Request-ID": "from-a-stranger"})
        wait_until(lambda: "/queue" in server.log())
        assert "from-a-stranger" not in server.log()


def test_unexpected_error_is_reported_with_its_request_and_without_what_it_held(
    talkative: Gateway, collector: Collector
) -> None:
    jwt = session(talkative, ALICE)
    secret = "kept-to-oneself-42"
    alice = Client(talkative.url, jwt)
    talkative.run(BREAK)
    answer = alice.post(
        "/prompt",
        json={"prompt": {"1": {"class_type": "EmptyImage", "inputs": {"text": secret}}}},
        headers={"X-Request-ID": "the-one-that-broke"},
    )
    assert answer.status_code >= 500
    wait_until(lambda: "the-one-that-broke" in "".join(collector.reports), 10)
    # Each error that was logged on the way.
    report = "".join(each for each in collector.reports if "the-one-that-broke" in each)
    assert "stacktrace" in report
    told = [word for word in (secret, jwt, ALICE.username, "Authorization") if word in report]
    assert told == []
