"""Caddy with deploy/Caddyfile, in front of nothing: what it writes down of requests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.deploy.tools import tool
from tests.gateway import ROOT, free_port
from tests.refusals import wait_until


@pytest.fixture
def front(tmp_path: Path) -> Iterator[str]:
    """Its address. Both of its logs are in `tmp_path`."""
    caddy = tool("caddy", "apt-get install caddy")
    port = free_port()
    text = (ROOT / "deploy" / "Caddyfile").read_text()
    for given, changed in (
        ("{\n\tservers", "{\n\tadmin off\n\tservers"),
        ("\ncomfy.example.org {", f"\nhttp://127.0.0.1:{port} {{"),
        ("reverse_proxy 127.0.0.1:8000", f"reverse_proxy 127.0.0.1:{free_port()}"),
        ("lb_try_duration 5s", "lb_try_duration 100ms"),
        ("/var/log/caddy/mss-login.log", str(tmp_path / "access.log")),
    ):
        assert given in text
        text = text.replace(given, changed)
    (tmp_path / "Caddyfile").write_text(text)
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin"}
    call = [caddy, "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    with (tmp_path / "own.log").open("wb") as log:
        process = subprocess.Popen(call, env=environ, stdout=log, stderr=log)
        try:
            wait_until(
                lambda: "serving initial configuration" in (tmp_path / "own.log").read_text()
            )
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def test_logs_hold_no_token_and_no_query_while_the_gateway_is_down(
    front: str, tmp_path: Path
) -> None:
    headers = {"Authorization": "Bearer mss_headersecret"}
    for path in ("/t/mss_pathsecret/queue?token=mss_querysecret", "/queue?token=mss_querysecret"):
        assert requests.get(front + path, headers=headers, timeout=10).status_code in (502, 503)
    own, access = tmp_path / "own.log", tmp_path / "access.log"
    for log in (own, access):
        wait_until(lambda log=log: log.read_text().count('"status":50') >= 2)
        assert "/t/***/queue" in log.read_text()
        assert "secret" not in log.read_text()
