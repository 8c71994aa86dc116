"""nginx with deploy/nginx.conf in front of a real gateway: what the proxy must not get in the way
of, and what must end at it."""

import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from requests.adapters import HTTPAdapter

from tests.cast import ALICE, PASSWORD
from tests.client import Client
from tests.deploy.tools import tool
from tests.fakecomfy.thread import FakeComfyThread
from tests.formbody import CONTENT_TYPE, file, form
from tests.gateway import ROOT, Gateway, free_port, serving
from tests.listener import Listener
from tests.refusals import wait_until

NAME = "localhost"
# Where the client comes from; nginx itself goes to the gateway from 127.0.0.1.
CLIENT = "127.0.0.2"
LIED = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "http", "Forwarded": "for=9.9.9.9"}
MIB = 1024 * 1024
UPLOAD = 50 * MIB

MAIN = """
daemon off;
pid {here}/nginx.pid;
error_log {here}/error.log;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    scgi_temp_path {here}/scgi;
    uwsgi_temp_path {here}/uwsgi;
    include {here}/mss-login.conf;
}}
"""


class Front(NamedTuple):
    """nginx, and the gateway behind it."""

    gateway: Gateway
    folder: Path
    plain: int
    secure: int

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.secure}"

    @property
    def certificate(self) -> str:
        return str(self.folder / "cert" / "fullchain.pem")

    @property
    def access_log(self) -> str:
        return (self.folder / "mss-login.log").read_text()


def self_signed(folder: Path) -> None:
    """A certificate for `NAME`, where deploy/nginx.conf has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def at_home(text: str, front: Front) -> str:
    """deploy/nginx.conf with what it says to change, and ports that anybody may have."""
    # The gateway would see through it; others that may stand behind would not.
    assert "proxy_add_x_forwarded_for" not in text
    text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.M)
    for given, changed in (
        ("listen 80", f"listen 127.0.0.1:{front.plain}"),
        ("listen 443", f"listen 127.0.0.1:{front.secure}"),
        ("server 127.0.0.1:8000", f"server 127.0.0.1:{front.gateway.port}"),
        # A second machine, which is down: nobody is to notice.
        ("# server 10.0.0.11:8000", f"server 127.0.0.1:{free_port()}"),
        ("/etc/ssl/comfy.example.org", str(front.folder / "cert")),
        ("/var/log/nginx", str(front.folder)),
        ("comfy.example.org", NAME),
    ):
        assert given in text
        text = text.replace(given, changed)
    return text


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Front]:
    nginx = tool("nginx", "apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    settings = {
        "MSS_TRUSTED_PROXIES": "127.0.0.1",
        "MSS_FORCE_HTTPS": "true",
        "MSS_ALLOWED_HOSTS": NAME,
    }
    with serving(folder, comfy.url, (ALICE,), **settings) as gateway:
        found = Front(gateway, folder, free_port(), free_port())
        self_signed(folder / "cert")
        text = (ROOT / "deploy" / "nginx.conf").read_text()
        (folder / "mss-login.conf").write_text(at_home(text, found))
        (folder / "main.conf").write_text(MAIN.format(here=folder))
        call = [nginx, "-p", str(folder), "-e", str(folder / "error.log")]
        call += ["-c", str(folder / "main.conf")]
        said = subprocess.run([*call, "-t"], capture_output=True, text=True, timeout=20)
        assert said.returncode == 0, said.stderr
        assert "[warn]" not in said.stderr, said.stderr
        process = subprocess.Popen(call)
        try:
            wait_until(lambda: answers(found.secure))
            yield found
        finally:
            process.terminate()
            process.wait(10)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class From(HTTPAdapter):
    """Connections that come from another address of this machine."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, source_address=(CLIENT, 0), **kwargs)


@pytest.fixture
def client(front: Front) -> Client:
    client = Client(front.url)
    client.verify = front.certificate
    client.mount("https://", From())
    client.mount("http://", From())
    return client


@pytest.fixture
def alice(client: Client) -> Client:
    answer = client.post("/login", json={"username": ALICE.username, "password": PASSWORD})
    client.token = answer.json()["jwt_token"]
    client.headers["Authorization"] = f"Bearer {client.token}"
    client.cookies.clear()
    return client


def test_login_over_tls_sets_a_secure_cookie_and_notes_the_clients_own_address(
    front: Front, client: Client
) -> None:
    body = {"username": ALICE.username, "password": PASSWORD}
    answer = client.post("/login", json=body, headers=LIED)
    assert answer.status_code == 200, answer.text
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("jwt_token=") and "; Secure" in cookie and "HttpOnly" in cookie
    # The gateway says it, too; twice would be invalid.
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    noted = front.gateway.run(
        "from accounts.models import AuditEntry\n"
        "row = AuditEntry.objects.filter(subject_name=name).exclude(ip=None).latest('id')\n"
        "result = row.ip",
        name=ALICE.username,
    )
    assert noted == CLIENT


def test_http_is_sent_to_https_and_strangers_names_get_nothing(
    front: Front, client: Client
) -> None:
    client.base_url = f"http://{NAME}:{front.plain}"
    answer = client.get("/queue?a=1")
    assert (answer.status_code, answer.headers["Location"]) == (308, f"https://{NAME}/queue?a=1")
    for port, secure in ((front.plain, False), (front.secure, True)):
        context = ssl._create_unverified_context()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            talk = context.wrap_socket(raw, server_hostname="evil.example") if secure else raw
            talk.sendall(b"GET /login HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            assert talk.recv(100) == b""


@pytest.mark.parametrize("path", ["/ws", "/api/ws"])
def test_sockets_pass(front: Front, alice: Client, path: str) -> None:
    context = ssl.create_default_context(cafile=front.certificate)
    socket = Listener(alice, path=path, ssl=context)
    try:
        assert socket.frames[0]["data"]["sid"]
    finally:
        socket.close()


METRICS = (
    "/metrics",
    "/metrics/",
    "//metrics",
    "/api/metrics",
    "/%6detrics",
    "/METRICS",
    "/metrics?x=1",
    "/./metrics",
    "/x/../metrics",
    "/t/mss_token/metrics",
    "/t//api//metrics/all",
)


def test_numbers_about_everybody_end_at_the_proxy(front: Front, alice: Client) -> None:
    for path in METRICS:
        # As they stand: no client tidies them up.
        context = ssl.create_default_context(cafile=front.certificate)
        with (
            socket.create_connection((NAME, front.secure), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname=NAME) as talk,
        ):
            head = f"GET {path} HTTP/1.1\r\nHost: {NAME}:{front.secure}\r\n"
            talk.sendall(f"{head}Authorization: Bearer {alice.token}\r\n\r\n".encode())
            said = talk.recv(2000)
        assert said.startswith(b"HTTP/1.1 404") and b"<center>nginx</center>" in said, path
    # And nothing else does.
    assert alice.get("/extensions/metrics.js").headers["Content-Type"] != "text/html"


def test_large_upload_streams_to_comfyui_while_it_is_sent(
    front: Front, alice: Client, comfy: FakeComfyThread
) -> None:
    comfy.clear_requests()
    start, _, end = form(file("big.bin", b"MARK")).partition(b"MARK")
    size = len(start) + UPLOAD + len(end)
    head = (
        f"POST /upload/image HTTP/1.1\r\nHost: {NAME}:{front.secure}\r\n"
        f"Authorization: Bearer {alice.token}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {size}\r\nConnection: close\r\n\r\n"
    )
    context = ssl.create_default_context(cafile=front.certificate)
    with (
        socket.create_connection((NAME, front.secure), timeout=20) as raw,
        context.wrap_socket(raw, server_hostname=NAME) as talk,
    ):
        talk.sendall(head.encode() + start + bytes(MIB))

        def arrived() -> list[int]:
            uploads = [each for each in comfy.requests if "/upload/" in each.path]
            return [each.body_size for each in uploads if each.body_size > MIB // 2]

        wait_until(lambda: bool(arrived()), 20)
        for _ in range(UPLOAD // MIB - 1):
            talk.sendall(bytes(MIB))
        talk.sendall(end)
        said = talk.recv(4000)
    assert said.startswith(b"HTTP/1.1 200"), said
    (whole,) = arrived()
    assert whole > UPLOAD
    # Nothing was gathered on the proxy's disk.
    assert not [path for path in (front.folder / "body").rglob("*") if path.is_file()]


def test_log_of_the_proxy_holds_no_token_and_no_query(front: Front, alice: Client) -> None:
    alice.get("/t/mss_secretsecretsecretsecret/queue?token=mss_othersecretothersecret")
    alice.get("/queue?token=mss_othersecretothersecret")
    wait_until(lambda: front.access_log.count("/queue") >= 2)
    time.sleep(0.05)
    assert '"GET /t/***/queue HTTP' in front.access_log
    assert "secret" not in front.access_log and "token" not in front.access_log


def test_no_log_of_the_proxy_holds_a_token_where_a_machine_is_down(
    front: Front, alice: Client
) -> None:
    """One of the two is, and is tried again and again."""
    for _ in range(6):
        alice.get("/t/mss_secretsecretsecretsecret/queue?token=mss_othersecretothersecret")
        alice.get("/queue?token=mss_othersecretothersecret")
    logs = list(front.folder.glob("*.log"))
    assert {"error.log", "mss-login.error.log", "mss-login.log"} <= {log.name for log in logs}
    assert [log.name for log in logs if "secret" in log.read_text()] == []


@pytest.mark.parametrize(("answers", "code"), [(True, 0), (False, 1)])
def test_health_of_a_container_is_whether_its_web_process_answers(
    front: Front, answers: bool, code: int
) -> None:
    """Although this one sends http to https and knows no host 127.0.0.1."""
    environ = {"MSS_PORT": str(front.gateway.port if answers else 1), "PATH": "/usr/bin"}
    call = [sys.executable, str(ROOT / "deploy" / "healthcheck.py")]
    assert subprocess.run(call, env=environ, timeout=10).returncode == code
