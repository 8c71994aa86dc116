"""Answers on their way through the stream lane: ranges, conditions, encodings, memory."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.oddupstream import Conversation, OddUpstream
from tests.rawconnection import connected
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("clean_odd_log", "clean_log")

BIG = 40 * 1024 * 1024
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def big_file(comfy: FakeComfyThread, alice_folder: Path) -> Iterator[bytes]:
    """40 MB of Alice's in the output folder; its content."""
    content = os.urandom(MIB) * (BIG // MIB)
    path = alice_folder / "big.bin"
    path.write_bytes(content)
    yield content
    path.unlink()


@pytest.fixture(scope="module")
def alice_folder(comfy: FakeComfyThread, gateway: Gateway) -> Path:
    folder = Path(comfy.base_dir) / "output" / gateway.namespaces["alice"]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def settled(value: Callable[[], int]) -> int:
    """The value, once it has not changed for a moment."""
    last = -1
    while last != (last := value()):
        time.sleep(0.3)
    return last


def rss(gateway: Gateway) -> int:
    return gateway.memory()


# --- what ComfyUI's file answers can do -----------------------------------------------------------


def view(alice: Client, **more: str) -> dict[str, str]:
    return {"filename": "big.bin", "subfolder": alice.namespace, "type": "output", **more}


def test_alice_asks_for_ranges_and_gets_exactly_those(alice: Client, big_file: bytes) -> None:
    for wanted, first, last in (
        ("0-99", 0, 99),
        ("1000-1999", 1000, 1999),
        ("-5", BIG - 5, BIG - 1),
    ):
        answer = alice.get("/view", params=view(alice), headers={"Range": f"bytes={wanted}"})
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{BIG}"
        assert answer.content == big_file[first : last + 1]


def test_alice_asks_for_an_impossible_range_and_gets_416(alice: Client, big_file: bytes) -> None:
    answer = alice.get("/view", params=view(alice), headers={"Range": f"bytes={BIG}-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{BIG}"


def test_alice_revalidates_with_etag_and_gets_304(alice: Client, big_file: bytes) -> None:
    with alice.get("/view", params=view(alice), stream=True) as answer:
        etag, changed = answer.headers["ETag"], answer.headers["Last-Modified"]
    for header in ({"If-None-Match": etag}, {"If-Modified-Since": changed}):
        answer = alice.get("/view", params=view(alice), headers=header)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag
    answer = alice.get(
        "/view", params=view(alice), headers={"If-None-Match": '"other"'}, stream=True
    )
    assert answer.status_code == 200
    answer.close()


def test_alice_asks_for_the_head_only_and_gets_its_length(alice: Client, big_file: bytes) -> None:
    answer = alice.head("/view", params=view(alice))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(BIG)
    # The connection goes on: nothing of a body was left on it.
    assert alice.get("/features").status_code == 200


def test_upstream_304_that_tells_a_length_arrives_whole(
    odd: OddUpstream, odd_power: Client
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.send(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 1234\r\n\r\n')

    odd.on("/ext/304", script)
    for _ in range(2):
        answer = odd_power.get("/ext/304", headers={"If-None-Match": '"1"'})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == '"1"'


def test_content_encoding_passes_undecoded(odd: OddUpstream, odd_power: Client) -> None:
    packed = b"\x1f\x8b not even gzip: nobody on the way may look"

    async def script(talk: Conversation) -> None:
        await talk.answer(packed, "200 OK", "Content-Encoding: gzip", "Vary: Accept-Encoding")

    odd.on("/ext/gz", script)
    with odd_power.get("/ext/gz", headers={"Accept-Encoding": "gzip;q=0.5"}, stream=True) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.raw.read(decode_content=False) == packed
    assert odd.last("/ext/gz").header("accept-encoding") == "gzip;q=0.5"


def test_chunked_answer_arrives_piece_by_piece(odd: OddUpstream, odd_power: Client) -> None:
    gate = threading.Event()

    async def script(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        while not gate.is_set():
            await talk.pause()
        await talk.send(b"6\r\nsecond\r\n0\r\n\r\n")

    odd.on("/ext/chunked", script)
    with odd_power.get("/ext/chunked", stream=True) as answer:
        pieces = answer.iter_content(None)
        assert next(pieces) == b"first"
        gate.set()
        assert b"".join(pieces) == b"second"


# --- memory ---------------------------------------------------------------------------------------


def test_big_download_needs_no_memory(gateway: Gateway, alice: Client, big_file: bytes) -> None:
    before, peak, digest = rss(gateway), 0, hashlib.sha256()
    with alice.get("/view", params=view(alice), stream=True) as answer:
        for chunk in answer.iter_content(256 * 1024):
            digest.update(chunk)
            peak = max(peak, rss(gateway))
    assert digest.digest() == hashlib.sha256(big_file).digest()
    assert peak - before < 16 * MIB


def test_client_that_does_not_read_pauses_the_upstream(
    odd: OddUpstream, odd_gateway: Gateway, odd_power: Client
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.send(f"HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n".encode())
        for _ in range(BIG // MIB):
            await talk.send(b"x" * MIB)

    odd.on("/ext/big", script)
    before = rss(odd_gateway)
    with connected(odd_power, "GET", "/ext/big") as connection:
        wait_until(lambda: odd.asked("/ext/big"))
        assert settled(lambda: odd.last("/ext/big").sent) < BIG // 2
        assert rss(odd_gateway) - before < 16 * MIB
        # Others are served meanwhile, and the rest comes as soon as it is read.
        assert odd_power.get("/ext/none").status_code == 404
        received = 0
        while received < BIG:
            received += len(connection.recv(MIB))
