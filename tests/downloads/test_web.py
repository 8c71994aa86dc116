"""Where requests go, and what they carry: public addresses, HTTPS, credentials at home only."""

import resource
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from downloads.connect import checked_addresses
from downloads.errors import BlockedAddress, Cancelled, DownloadError, SourceDown, Stalled
from downloads.publicaddress import is_public, parse
from downloads.stream import arriving
from downloads.urls import host_of
from downloads.web import MAX_METADATA, Web
from tests.downloads.servers import Reply, Server, dripping, json_reply, redirect

KEY = {"Authorization": "Bearer secret"}
REFUSED = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "127.0.0.1", "127.9.9.9"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::"),
    *("2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0"),
    *("fec0::1", "ff02::1"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "104.18.0.1", "2606:4700::1111", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    address = parse(text)
    assert address is not None
    assert not is_public(address)
    with pytest.raises(BlockedAddress):
        checked_addresses("models.example", 443, False, lambda host, port: ["1.1.1.1", text])


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_taken(text: str) -> None:
    assert checked_addresses("a.example", 443, False, lambda host, port: [text]) == [text]


class Dialled(OSError):
    """The connection that would have been made."""


class Names:
    """A resolver of this test's own, and a dialler that only notes whom it was to call."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []

    def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0)

    def connect(self, address: tuple[str, int], timeout: float | None) -> socket.socket:
        self.dialled.append(address)
        raise Dialled("not really")

    def web(self, **changes: Any) -> Web:
        return Web(
            ["https://models.example"],
            user_agent="t",
            resolve=self.resolve,
            connect=self.connect,
            **changes,
        )


def test_a_name_with_a_private_address_is_never_connected_to() -> None:
    names = Names(["93.184.216.34", "10.0.0.5"])
    with pytest.raises(BlockedAddress):
        names.web().get("https://models.example/x")
    assert names.dialled == []


def test_the_address_that_was_judged_is_the_one_connected_to() -> None:
    names = Names(["93.184.216.34"], ["127.0.0.1"])
    with pytest.raises(SourceDown):
        names.web().get("https://models.example/x")
    assert names.asked == ["models.example"]
    assert names.dialled == [("93.184.216.34", 443)]


def test_an_answer_that_changes_is_judged_anew_for_a_new_connection() -> None:
    names = Names(["93.184.216.34"], ["127.0.0.1"])
    web = names.web()
    with pytest.raises(SourceDown):
        web.get("https://models.example/x")
    with pytest.raises(BlockedAddress):
        web.get("https://models.example/x")
    assert len(names.dialled) == 1


def test_every_address_of_a_name_is_tried_in_turn() -> None:
    names = Names(["1.1.1.1", "2606:4700::1111"])
    with pytest.raises(SourceDown):
        names.web().get("https://models.example/x")
    assert [host for host, _ in names.dialled] == ["1.1.1.1", "2606:4700::1111"]


def test_an_unknown_name_is_worth_another_try() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    web = Web(["https://models.example"], user_agent="t", resolve=unknown)
    with pytest.raises(SourceDown) as caught:
        web.get("https://models.example/x")
    assert not caught.value.permanent


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    names = Names(["1.1.1.1"])
    with pytest.raises(SourceDown):
        names.web().get("https://models.example/x")
    assert names.dialled == [("1.1.1.1", 443)]


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/",
        "http://models.example/",
        "https://models.example:8443/",
        "https://models.example@other.example/",
        "https://user:pass@models.example/",
        "https://models.example\\@other.example/",
        "https://models.example.other.example/",
        "ftp://models.example/",
        "file:///etc/passwd",
        "//models.example/",
        "https:///x",
        "https://[::1/",
        "https://models.example:99999/",
        "https://models.example:0/",
        "",
    ],
)
def test_only_the_sources_are_asked(url: str) -> None:
    names = Names(["1.1.1.1"])
    with pytest.raises(BlockedAddress):
        names.web(allow_loopback_http=True).get(url)
    assert names.asked == []


def test_plain_http_on_this_machine_needs_leave(site: Server) -> None:
    with pytest.raises(BlockedAddress):
        Web([site.url], user_agent="t").get(site.url)
    assert site.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "https://0x7f.1/",
        "https://2130706433/",
        "http://10.0.0.1/",
        "http://models.example/",
        "https://user@1.1.1.1/",
        "gopher://127.0.0.1/",
        "file:///etc/passwd",
        "https://[::1",
        "https://[x/",
    ],
)
def test_a_redirect_leads_to_no_private_place(site: Server, web: Web, target: str) -> None:
    site.routes["/x"] = redirect(target)
    with pytest.raises(BlockedAddress):
        web.get(f"{site.url}/x")


def test_a_public_site_cannot_lead_to_this_machine(site: Server) -> None:
    web = Web(["https://models.example", site.url], user_agent="t", allow_loopback_http=True)
    with pytest.raises(BlockedAddress):
        web._judge(f"{site.url}/x", from_loopback=False)


def test_credentials_stay_with_their_hosts(site: Server, storage: Server, web: Web) -> None:
    site.routes["/a"] = redirect("/b")
    site.routes["/b"] = redirect(f"{storage.url}/c")
    storage.routes["/c"] = redirect(f"{site.url}/d")
    site.routes["/d"] = Reply(200, b"ok")
    answer = web.get(f"{site.url}/a", credentials=KEY, credential_hosts={site.host})
    assert answer.content == b"ok"
    assert "Authorization" not in storage.asked[0].headers
    assert [a.headers.get("Authorization") for a in site.asked] == ["Bearer secret"] * 3


def test_credentials_without_hosts_go_nowhere(site: Server, web: Web) -> None:
    web.get(f"{site.url}/a", credentials=KEY)
    assert "Authorization" not in site.asked[0].headers


def test_credentials_go_by_the_host_that_is_really_asked(site: Server, web: Web) -> None:
    # Full-width letters, which `requests` folds to plain ones.
    lookalike = site.url.replace("127.0.0.1", "localhost").replace("l", "\uff4c", 1)
    with pytest.raises(BlockedAddress):
        web.get(lookalike, credentials=KEY, credential_hosts={site.host})
    assert site.asked == []


def test_cookies_are_not_kept(site: Server, web: Web) -> None:
    site.routes["/a"] = Reply(302, headers={"Location": "/b", "Set-Cookie": "a=b; Path=/"})
    web.get(f"{site.url}/a")
    web.get(f"{site.url}/b")
    assert all("Cookie" not in asked.headers for asked in site.asked)


def test_the_user_agent_is_ours(site: Server, web: Web) -> None:
    web.get(f"{site.url}/a")
    assert site.asked[0].headers["User-Agent"] == "tests"
    assert site.asked[0].headers["Accept-Encoding"] == "identity"


def test_redirects_end(site: Server, web: Web) -> None:
    site.routes["/a"] = redirect("/a")
    with pytest.raises(DownloadError) as caught:
        web.get(f"{site.url}/a", max_redirects=3)
    assert caught.value.code == "TOO_MANY_REDIRECTS"
    assert len(site.asked) == 4


def test_a_redirect_in_utf8_is_followed(site: Server, web: Web) -> None:
    site.routes["/a"] = redirect("/mod\xc3\xa8le")
    site.routes["/mod%C3%A8le"] = Reply(200, b"ok")
    assert web.get(f"{site.url}/a").content == b"ok"


def test_a_redirects_body_is_not_unpacked(site: Server, web: Web) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()
    site.routes["/a"] = Reply(302, bomb, {"Location": "/b", "Content-Encoding": "gzip"})
    site.routes["/b"] = json_reply({"a": 1})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert web.get_json(f"{site.url}/a")[1] == {"a": 1}
    # In kB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_redirects_body_is_not_waited_for(site: Server, web: Web) -> None:
    site.routes["/a"] = Reply(302, b"x" * 100, {"Location": "/b"}, piece=1, pause=0.2)
    site.routes["/b"] = json_reply({"a": 1})
    began = time.monotonic()
    assert web.get_json(f"{site.url}/a")[1] == {"a": 1}
    assert time.monotonic() - began < 1


DRIPS = [
    pytest.param(b"HTTP/1.1 200 OK\r\nX: ", id="header"),
    pytest.param(b"HTTP/1.", id="status"),
    pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="chunk length"),
]


def patient(url: str, read_timeout: float, **more: Any) -> Web:
    return Web([url], user_agent="t", allow_loopback_http=True, read_timeout=read_timeout, **more)


@pytest.mark.parametrize("start", DRIPS)
def test_a_head_that_drips_is_given_up(start: bytes) -> None:
    with dripping(start, b"0") as url:
        began = time.monotonic()
        with pytest.raises(Stalled):
            patient(url, 0.5).get(f"{url}/x")
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("start", DRIPS)
def test_a_cancel_is_heard_while_a_head_drips(start: bytes) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    with dripping(start, b"0") as url:
        timer.start()
        began = time.monotonic()
        with pytest.raises(Cancelled):
            patient(url, 30, cancelled=stop.is_set).get(f"{url}/x")
        assert time.monotonic() - began < 2
    timer.join()


def test_a_reason_to_stop_comes_out_as_it_is() -> None:
    class Lost(DownloadError):
        pass

    def lost() -> bool:
        raise Lost

    with dripping(b"HTTP/1.1 200 OK\r\n") as url, pytest.raises(Lost):
        patient(url, 30, cancelled=lost).get(f"{url}/x")


def test_a_slow_reader_is_not_the_sites_fault(site: Server, web: Web) -> None:
    site.routes["/a"] = Reply(200, b"x" * 200_000, piece=50_000, pause=0.01)
    answer = web.get(f"{site.url}/a", stream=True)
    pieces = arriving(answer, stall_seconds=0.3, chunk=50_000)
    read = len(next(pieces))
    time.sleep(1)
    assert read + sum(map(len, pieces)) == 200_000


@pytest.mark.parametrize("length", [-1, None])
def test_a_long_answer_is_not_read_to_its_end(site: Server, web: Web, length: int | None) -> None:
    site.routes["/a"] = Reply(200, b"x" * (MAX_METADATA + 1), length=length)
    with pytest.raises(DownloadError) as caught:
        web.get(f"{site.url}/a")
    assert caught.value.code == "ANSWER_TOO_LONG"


def test_a_silent_site_is_given_up(site: Server, web: Web) -> None:
    site.routes["/a"] = Reply(200, b"x" * 10, pause=5)
    began = time.monotonic()
    with pytest.raises(Stalled):
        web.get(f"{site.url}/a")
    assert time.monotonic() - began < 4


def test_a_closed_port_is_worth_another_try(web: Web, site: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    closed = Web([f"http://127.0.0.1:{port}"], user_agent="t", allow_loopback_http=True)
    with pytest.raises(SourceDown) as caught:
        closed.get(f"http://127.0.0.1:{port}/")
    assert not caught.value.permanent


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff\xfe{"])
def test_an_answer_that_is_no_json_is_none(site: Server, web: Web, body: bytes) -> None:
    site.routes["/a"] = Reply(200, body)
    assert web.get_json(f"{site.url}/a")[1] is None


def test_json_is_read(site: Server, web: Web) -> None:
    site.routes["/a"] = json_reply({"a": 1})
    assert web.get_json(f"{site.url}/a")[1] == {"a": 1}


def test_a_head_stops_at_the_door(site: Server, storage: Server, web: Web) -> None:
    site.routes["/a"] = redirect("/b")
    site.routes["/b"] = Reply(302, headers={"Location": f"{storage.url}/c", "X-Linked-Size": "5"})
    answer = web.head(f"{site.url}/a")
    assert (answer.status_code, answer.headers["X-Linked-Size"]) == (302, "5")
    assert storage.asked == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Civitai.com/a", "civitai.com"),
        ("https://civitai.com:443/", "civitai.com"),
        ("https://civitai.com./", "civitai.com"),
        ("http://civitai.com/", "civitai.com:80"),
        ("https://civitai.com:444/", "civitai.com:444"),
    ],
)
def test_a_host_is_named_with_its_port_unless_it_is_the_usual(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A TLS server whose certificate names `models.example`: (port, certificate)."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=models.example"
    extra = ["-addext", "subjectAltName=DNS:models.example", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *extra], check=True, capture_output=True)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "3000000")
            self.end_headers()
            self.wfile.write(b"x" * 3_000_000)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_port, cert
    server.shutdown()
    server.server_close()
    thread.join()


def tls_web(tls: tuple[int, Path], host: str, verify: bool) -> Web:
    """A Web for which `host` has a public address that leads to the TLS server in truth."""
    port, cert = tls

    def connect(address: tuple[str, int], timeout: float | None) -> socket.socket:
        assert address == ("93.184.216.34", 443)
        return socket.create_connection(("127.0.0.1", port), timeout)

    return Web(
        [f"https://{host}"],
        user_agent="t",
        verify=str(cert) if verify else True,
        resolve=lambda name, port: ["93.184.216.34"],
        connect=connect,
    )


def test_tls_is_checked_against_the_name(tls: tuple[int, Path]) -> None:
    web = tls_web(tls, "models.example", verify=True)
    assert len(web.get("https://models.example/x").content) == 3_000_000


@pytest.mark.parametrize(("host", "verify"), [("other.example", True), ("models.example", False)])
def test_a_certificate_of_another_name_or_issuer_is_refused(
    tls: tuple[int, Path], host: str, verify: bool
) -> None:
    with pytest.raises(SourceDown) as caught:
        tls_web(tls, host, verify).get(f"https://{host}/x")
    assert (caught.value.code, caught.value.permanent) == ("TLS_FAILED", True)
