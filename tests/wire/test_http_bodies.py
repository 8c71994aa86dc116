"""Request bodies on their way: refused before they are read, streamed, never kept."""

import re
import socket
import threading
import time

import pytest

from tests.client import Client
from tests.comfydisk import ComfyDisk
from tests.fakecomfy.record import RequestRecord
from tests.fakecomfy.thread import FakeComfyThread
from tests.formbody import BOUNDARY, CONTENT_TYPE, file, form, send_form
from tests.gateway import Gateway
from tests.oddupstream import Conversation, OddUpstream
from tests.rawconnection import connected
from tests.refusals import asked, check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("clean_odd_log", "clean_log")

MIB = 1024 * 1024
BIG = 40 * MIB
# More than the systems in between take for whoever does not read: Linux up to 32 MB each.
UNREAD = 120 * MIB
LIMIT = 10 * MIB + 64 * 1024  # of the view lane


def answer_on(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one answer; the connection stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return int(head.split()[1]), body


def http_paths(comfy: FakeComfyThread) -> list[str]:
    return [record.path for record in comfy.requests if record.kind == "http"]


# --- refused before it is read ---------------------------------------------------------------


@pytest.mark.parametrize("expect", [{}, {"Expect": "100-continue"}], ids=["plain", "expect"])
@pytest.mark.parametrize(
    "path", ["/upload/image", "/prompt", "/queue", "/my_node/run", "/api/users", "/nowhere"]
)
def test_stranger_is_refused_before_the_body_is_sent(
    anonymous: Client, forwarded: FakeComfyThread, path: str, expect: dict[str, str]
) -> None:
    for length in ({"Content-Length": str(10**9)}, {"Transfer-Encoding": "chunked"}):
        with connected(anonymous, "POST", path, {**length, **expect}) as connection:
            status, body = answer_on(connection)
            assert (status, b"AUTH_REQUIRED" in body) == (401, True)
    assert http_paths(forwarded) == []


def test_guest_is_refused_before_the_upload_is_sent(
    guest: Client, forwarded: FakeComfyThread
) -> None:
    headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(10**9)}
    for path in ("/upload/image", "/api/upload/mask", "/free", "/my_node/run"):
        with connected(guest, "POST", path, headers, b"--" + BOUNDARY.encode()) as connection:
            status, body = answer_on(connection)
            assert (status, b"PERMISSION_DENIED" in body) == (403, True)
    assert http_paths(forwarded) == []


def test_what_is_no_form_is_refused_before_it_is_sent(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    headers = {"Content-Type": "image/png", "Content-Length": str(10**9)}
    with connected(alice, "POST", "/upload/image", headers) as connection:
        assert answer_on(connection)[0] == 400
    assert http_paths(forwarded) == []


def test_refused_body_is_never_taken_for_the_next_request(
    anonymous: Client, power: Client, forwarded: FakeComfyThread
) -> None:
    inner = "GET /my_node/smuggled HTTP/1.1\r\nHost: localhost\r\n"
    inner += f"Authorization: Bearer {power.token}\r\n\r\n"
    headers = {"Content-Length": str(len(inner))}
    with connected(anonymous, "POST", "/prompt", headers) as connection:
        assert answer_on(connection)[0] == 401
        connection.sendall(inner.encode())
        connection.sendall(b"GET /login/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer_on(connection)[0] in (401, 404)
    assert http_paths(forwarded) == []


@pytest.mark.parametrize("path", ["/prompt", "/api/queue", "/interrupt", "/history"])
def test_body_over_the_limit_is_413_unread(
    alice: Client, forwarded: FakeComfyThread, path: str
) -> None:
    with connected(alice, "POST", path, {"Content-Length": str(LIMIT + 1)}) as connection:
        status, body = answer_on(connection)
    assert (status, b"TOO_LARGE" in body) == (413, True)
    assert http_paths(forwarded) == []


@pytest.mark.parametrize("path", ["/login", "/generate_token", "/mss-login/generate_token"])
def test_page_body_over_the_limit_is_413_unread(anonymous: Client, path: str) -> None:
    with connected(anonymous, "POST", path, {"Content-Length": str(11 * MIB)}) as connection:
        status, body = answer_on(connection)
    assert (status, b"TOO_LARGE" in body) == (413, True)


def test_body_that_does_not_tell_its_length_is_413_once_it_is_too_long(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    chunk = b"100000\r\n" + b" " * MIB + b"\r\n"
    with connected(alice, "POST", "/prompt", {"Transfer-Encoding": "chunked"}) as connection:
        for _ in range(11):
            connection.sendall(chunk)
        status, body = answer_on(connection)
    assert (status, b"TOO_LARGE" in body) == (413, True)
    assert http_paths(forwarded) == []


def test_client_that_leaves_in_mid_body_disturbs_nobody(
    alice: Client, forwarded: FakeComfyThread
) -> None:
    for path in ("/prompt", "/queue", "/interrupt"):
        with connected(alice, "POST", path, {"Content-Length": "100"}, b'{"prompt": '):
            pass
    assert alice.get("/features").status_code == 200
    assert http_paths(forwarded) == ["/features"]


# --- streamed ------------------------------------------------------------------------------------


def open_files(gateway: Gateway) -> list[str]:
    """Files that the server holds open, but for its data, its log and its counters."""
    held = gateway.open_files()
    known = (gateway.data_dir, gateway.log_path, gateway.counters)
    return [str(path) for path in held if not any(path.is_relative_to(place) for place in known)]


def test_upload_reaches_comfyui_while_it_is_still_being_sent(
    gateway: Gateway, alice: Client, forwarded: FakeComfyThread, disk: ComfyDisk
) -> None:
    body = form(file("slow.bin", b"x" * 4 * MIB))
    half = len(body) // 2
    headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
    before = disk.files()
    with connected(alice, "POST", "/upload/image", headers) as connection:
        started = time.time()
        connection.sendall(body[:half])

        def arrived() -> list[RequestRecord]:
            # Beside it the gateway may ask something for itself.
            uploads = [each for each in asked(forwarded) if each.method == "POST"]
            return [each for each in uploads if each.body_size > half - 256 * 1024]

        wait_until(arrived)
        assert (arrived()[0].first_body_at or 0) - started < 1
        assert open_files(gateway) == []
        connection.sendall(body[half:])
        assert answer_on(connection)[0] == 200
    own = f"input/{alice.namespace}/slow.bin"
    assert {name: len(data) for name, data in disk.added(before).items()} == {own: 4 * MIB}


def test_client_that_leaves_in_mid_upload_leaves_no_file(
    alice: Client, forwarded: FakeComfyThread, disk: ComfyDisk
) -> None:
    body = form(file("half.bin", b"x" * MIB))
    before = disk.files()
    for cut in (200, MIB // 2, len(body) - 3):
        forwarded.clear_requests()
        headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
        with connected(alice, "POST", "/upload/image", headers, body[:cut]):
            wait_until(lambda: forwarded.requests)
        # What comes later shows that ComfyUI has dealt with the broken one.
        assert send_form(alice, form(file("next.bin", b"y"))).status_code == 200
    assert list(disk.added(before)) == [f"input/{alice.namespace}/next.bin"]


def test_big_upload_needs_no_memory(gateway: Gateway, alice: Client, disk: ComfyDisk) -> None:
    body = form(file("big.bin", b"x" * BIG))
    headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
    resting = peak = gateway.memory()
    with connected(alice, "POST", "/upload/image", headers) as connection:
        for start in range(0, len(body), MIB):
            connection.sendall(body[start : start + MIB])
            peak = max(peak, gateway.memory())
        connection.settimeout(30)
        assert answer_on(connection)[0] == 200
    assert peak - resting < 16 * MIB


@pytest.mark.parametrize("path", ["/upload/image", "/ext/unread"])
def test_upstream_that_does_not_read_pauses_the_client(
    odd: OddUpstream, odd_gateway: Gateway, odd_power: Client, path: str
) -> None:
    measured = threading.Event()

    async def script(talk: Conversation) -> None:
        while not measured.is_set():
            await talk.pause()

    odd.on(path, script)
    resting, taken = odd_gateway.memory(), 0
    headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(UNREAD)}
    with connected(odd_power, "POST", path, headers) as connection:
        connection.sendall(form(file("x.bin", b""))[: -len(BOUNDARY) - 8])
        connection.settimeout(0.4)
        try:
            while taken < UNREAD:
                taken += connection.send(b"x" * 65536)
        except TimeoutError:
            pass
        growth = odd_gateway.memory() - resting
        measured.set()
    assert taken < UNREAD
    assert growth < 16 * MIB


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        ("413 Too Large", 413, "TOO_LARGE"),
        ("400 Bad", 400, "BAD_REQUEST"),
        ("500 Oops", 502, "UPSTREAM_UNREACHABLE"),
        ("503 Busy", 502, "UPSTREAM_UNREACHABLE"),
    ],
)
@pytest.mark.parametrize("early", [True, False], ids=["at once", "after reading"])
def test_refusal_of_an_upload_keeps_its_meaning(
    odd: OddUpstream, odd_alice: Client, status: str, expected: int, code: str, early: bool
) -> None:
    async def script(talk: Conversation) -> None:
        if not early:
            await talk.read_until(b"--\r\n\r\n0\r\n\r\n")
        await talk.answer(b"<BASE>/server/path told", status)
        if early:
            await talk.gone()

    odd.on("/upload/image", script)
    answer = send_form(odd_alice, form(file("x.bin", b"x" * (MIB if early else 10))))
    check_refusal(answer, expected, code)
    assert "server" not in answer.text


@pytest.mark.parametrize("path", ["/upload/image", "/ext/early"])
def test_half_sent_body_never_precedes_anothers_request(
    odd: OddUpstream, odd_power: Client, odd_alice: Client, path: str
) -> None:
    """ComfyUI answered before it had read all: that connection is good for nobody else."""

    async def early(talk: Conversation) -> None:
        talk.keep = True
        await talk.answer(b"{}")

    async def whole(talk: Conversation) -> None:
        talk.keep = True
        await talk.answer(b"own answer")

    following = f"/workflow_templates/after{path.replace('/', '-')}.json"
    odd.on(path, early)
    odd.on(following, whole)
    headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(BIG)}
    start = form(file("x.bin", b"x"))[: -len(BOUNDARY) - 8]
    for _ in range(3):
        with connected(odd_power, "POST", path, headers, start) as connection:
            assert answer_on(connection)[0] == 200
            assert odd_alice.get(following).content == b"own answer"
            connection.sendall(f"GET {following} HTTP/1.1\r\n".encode() * 10)
        assert odd_alice.get(following).content == b"own answer"
    assert {talk.method for talk in odd.asked(following)} == {"GET"}
    assert len(odd.asked(following)) == 6
