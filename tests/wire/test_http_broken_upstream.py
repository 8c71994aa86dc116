"""Clients that leave and upstreams that die, hang, talk nonsense or are not there."""

import time
from collections.abc import Iterator

import pytest
import requests

from tests.client import Client
from tests.gateway import Gateway
from tests.oddupstream import Conversation, OddUpstream
from tests.rawconnection import connected
from tests.refusals import check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("clean_odd_log")

LEAVE_SECONDS = 0.5


def close_delay(odd: OddUpstream, path: str, left: float) -> float:
    """How long after `left` the gateway closed its connection for `path`."""
    wait_until(lambda: odd.last(path).closed_at)
    return (odd.last(path).closed_at or 0) - left


# --- clients that leave ------------------------------------------------------------------------


def test_client_that_leaves_a_stalled_download_closes_the_upstream(
    odd: OddUpstream, odd_power: Client
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbeginning")
        await talk.gone()

    odd.on("/ext/stalled", script)
    with connected(odd_power, "GET", "/ext/stalled") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert close_delay(odd, "/ext/stalled", time.monotonic()) < LEAVE_SECONDS


def test_client_that_leaves_a_running_download_closes_the_upstream(
    odd: OddUpstream, odd_power: Client
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await talk.send(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
            await talk.pause()

    odd.on("/ext/running", script)
    with connected(odd_power, "GET", "/ext/running") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert close_delay(odd, "/ext/running", time.monotonic()) < LEAVE_SECONDS


@pytest.mark.parametrize(
    ("method", "headers", "body"),
    [("GET", {}, b""), ("DELETE", {}, b""), ("POST", {"Content-Length": "4"}, b"body")],
)
def test_client_that_leaves_before_the_answer_closes_the_upstream(
    odd: OddUpstream, odd_power: Client, method: str, headers: dict[str, str], body: bytes
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.gone()

    path = f"/ext/mute-{method}"
    odd.on(path, script)
    with connected(odd_power, method, path, headers, body):
        wait_until(lambda: odd.asked(path))
        time.sleep(0.15)
    assert close_delay(odd, path, time.monotonic()) < LEAVE_SECONDS


@pytest.mark.parametrize("path", ["/features", "/system_stats"])
def test_client_that_leaves_the_view_lane_closes_the_upstream(
    odd: OddUpstream, odd_power: Client, path: str
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.gone()

    odd.on(path, script)
    count = len(odd.asked(path))
    with connected(odd_power, "GET", path):
        wait_until(lambda: len(odd.asked(path)) > count)
    assert close_delay(odd, path, time.monotonic()) < LEAVE_SECONDS


def test_client_that_leaves_in_mid_upload_ends_the_upload(
    odd: OddUpstream, odd_gateway: Gateway, odd_power: Client
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.gone()

    odd.on("/ext/upload", script)
    before = len(odd_gateway.log())
    with connected(odd_power, "POST", "/ext/upload", {"Content-Length": "100"}, b"half"):
        wait_until(lambda: odd.asked("/ext/upload"))
        time.sleep(0.15)
    assert close_delay(odd, "/ext/upload", time.monotonic()) < LEAVE_SECONDS
    assert odd.last("/ext/upload").received == len(b"half")
    # It is not ComfyUI's fault, and nobody is told so.
    assert odd_gateway.log()[before:] == ""


def test_client_that_asks_ahead_and_leaves_breaks_nothing(
    odd: OddUpstream, odd_power: Client
) -> None:
    """The log's fixture sees to it that nothing was written to the lost connection."""

    async def script(talk: Conversation) -> None:
        await talk.pause(0.1)
        await talk.answer(b"x" * 100_000)
        await talk.gone()

    odd.on("/ext/ahead", script)
    head = f"GET /ext/ahead HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {odd_power.token}"
    for _ in range(5):
        count = len(odd.asked("/ext/ahead"))
        with connected(odd_power, "GET", "/ext/ahead", {}, f"{head}\r\n\r\n".encode() * 3):
            wait_until(lambda count=count: len(odd.asked("/ext/ahead")) > count)
        assert close_delay(odd, "/ext/ahead", time.monotonic()) < LEAVE_SECONDS
    assert len(odd.asked("/ext/ahead")) == 5


# --- upstreams that die ------------------------------------------------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = {
    "too short": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"half"),
    "after the head": (CHUNKED, b""),
    "between chunks": (CHUNKED, b"5\r\nfirst\r\n"),
    "within a chunk": (CHUNKED, b"ff\r\nfirst"),
    "bad chunk": (CHUNKED + b"5\r\nfirst\r\n", b"zz\r\n"),
}


@pytest.mark.parametrize("end", ["closed", "cut"])
@pytest.mark.parametrize("way", BROKEN)
def test_upstream_that_dies_in_mid_answer_never_looks_like_a_whole_file(
    odd: OddUpstream, odd_power: Client, way: str, end: str
) -> None:
    async def script(talk: Conversation) -> None:
        for part in BROKEN[way]:
            await talk.send(part)
            await talk.pause(0.05)
        if end == "cut":
            talk.cut()

    odd.on("/ext/dies", script)
    started = time.monotonic()
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        odd_power.get("/ext/dies")
    assert time.monotonic() - started < 5
    assert odd_power.get("/ext/none").status_code == 404


NONSENSE = {
    "no answer": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Len",
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "status 42": b"HTTP/1.1 42 Odd\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("way", NONSENSE)
def test_upstream_that_talks_nonsense_is_502(odd: OddUpstream, odd_power: Client, way: str) -> None:
    async def script(talk: Conversation) -> None:
        await talk.send(NONSENSE[way])

    odd.on("/ext/nonsense", script)
    answer = odd_power.get("/ext/nonsense")
    check_refusal(answer, 502, "UPSTREAM_UNREACHABLE")


def test_header_that_no_client_could_be_sent_is_left_out(
    odd: OddUpstream, odd_power: Client
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.answer(b"whole", "200 OK", "X-Bad: a\x01b", "X-Good: a\tb")

    odd.on("/ext/control", script)
    answer = odd_power.get("/ext/control")
    assert (answer.status_code, answer.content) == (200, b"whole")
    assert answer.headers["X-Good"] == "a\tb"
    assert "X-Bad" not in answer.headers


def test_json_that_comes_in_pieces_is_read_whole(odd: OddUpstream, odd_alice: Client) -> None:
    """The upload's small answer and the view lane's questions: both read the whole body."""

    async def upload(talk: Conversation) -> None:
        await talk.read_until(b"--\r\n\r\n0\r\n\r\n")
        await in_pieces(talk)

    async def in_pieces(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{")
        await talk.pause(0.05)
        await talk.send(b'"name": "a.b"}')

    odd.on("/upload/image", upload)
    odd.on("/features", in_pieces)
    sent = odd_alice.post("/upload/image", files={"image": ("a.b", b"content")})
    assert (sent.status_code, sent.content) == (200, b'{"name": "a.b"}')
    assert odd_alice.get("/features").json() == {"name": "a.b"}


# --- upstreams that are not there --------------------------------------------------------------


@pytest.fixture
def nobody(odd: OddUpstream) -> Iterator[OddUpstream]:
    odd.vanish()
    yield odd
    odd.listen()


REQUESTS = [
    ("GET", "/"),
    ("GET", "/assets/index.js"),
    ("GET", "/view?filename=x.png&type=input"),
    ("HEAD", "/view?filename=x.png&type=input"),
    ("GET", "/api/system_stats"),
    ("GET", "/features"),
    ("GET", "/api/queue"),
    ("GET", "/object_info"),
    ("GET", "/history"),
    ("GET", "/ext/x"),
    ("POST", "/ext/x"),
    ("GET", "/i18n"),
]


@pytest.mark.parametrize(("method", "target"), REQUESTS)
def test_without_upstream_every_lane_answers_502(
    nobody: OddUpstream, odd_power: Client, method: str, target: str
) -> None:
    answer = odd_power.request(method, target)
    if method == "HEAD":
        assert (answer.status_code, answer.content) == (502, b"")
    else:
        check_refusal(answer, 502, "UPSTREAM_UNREACHABLE")


def test_without_upstream_an_upload_is_502(nobody: OddUpstream, odd_alice: Client) -> None:
    answer = odd_alice.post("/upload/image", files={"image": ("x.png", b"x" * 1_000_000)})
    check_refusal(answer, 502, "UPSTREAM_UNREACHABLE")


def test_without_upstream_the_gateway_itself_works_and_recovers(
    odd: OddUpstream, odd_power: Client
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.answer(b"here")

    odd.on("/ext/back", script)
    assert odd_power.get("/ext/back").content == b"here"
    odd.vanish()
    assert odd_power.get("/ext/back").status_code == 502
    assert odd_power.get("/mss-login/api/me").json()["username"] == "paula"
    odd.listen()
    assert odd_power.get("/ext/back").content == b"here"


def test_restarted_upstream_is_met_on_fresh_connections(
    odd: OddUpstream, odd_power: Client
) -> None:
    """Pooled connections of the former process must not cost anybody a request."""
    for _ in range(4):
        assert odd_power.get("/ext/none").status_code == 404
    odd.vanish()
    odd.listen()
    assert odd_power.get("/ext/none").status_code == 404
    assert odd_power.post("/ext/none", data=b"x").status_code == 404


def test_upstream_that_hangs_holds_up_nobody_else(odd: OddUpstream, odd_power: Client) -> None:
    async def script(talk: Conversation) -> None:
        await talk.gone()

    odd.on("/ext/hangs", script)
    with connected(odd_power, "GET", "/ext/hangs"), connected(odd_power, "GET", "/ext/hangs"):
        for _ in range(5):
            begun = time.monotonic()
            assert odd_power.get("/ext/none").status_code == 404
            assert time.monotonic() - begun < 2
    wait_until(lambda: odd.last("/ext/hangs").closed_at)
