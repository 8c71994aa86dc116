"""The gateway's connections to ComfyUI: kept for more reads, and no answer taken for another's."""

import pytest

from tests.client import Client
from tests.oddupstream import Conversation, OddUpstream, Script
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("clean_odd_log")

FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


def kept(answer: bytes, pause: float = 0.0, more: bytes = b"") -> Script:
    """A script that sends this, and leaves the connection open."""

    async def script(talk: Conversation) -> None:
        talk.keep = True
        await talk.send(answer)
        if more:
            await talk.pause(pause)
            await talk.send(more)

    return script


def whole(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def test_reads_share_a_connection_whatever_they_are_answered(
    odd: OddUpstream, odd_power: Client
) -> None:
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nTrailer: x\r\n\r\n"
    odd.on("/ext/length", kept(whole(b"one")))
    odd.on("/ext/chunks", kept(b"HTTP/1.1 200 OK\r\n" + chunks))
    odd.on("/ext/head", kept(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"))
    odd.on("/ext/same", kept(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n"))
    odd.on("/ext/nothing", kept(b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert odd_power.get("/ext/length").content == b"one"
    before = odd.connections
    for _ in range(3):
        assert odd_power.get("/ext/length").content == b"one"
        assert odd_power.head("/ext/head").headers["Content-Length"] == "3"
        assert odd_power.get("/ext/chunks").content == b"one"
        assert odd_power.get("/ext/same").status_code == 304
        assert odd_power.get("/ext/nothing").status_code == 204
        assert odd_power.get("/ext/none").status_code == 404
    assert odd.connections == before


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["at once", "later"])
def test_what_follows_an_answer_is_nobody_elses(
    odd: OddUpstream, odd_power: Client, pause: float
) -> None:
    """A node's route that says too much must not speak for other routes, to other people."""
    answer = whole(b"one")
    odd.on("/ext/more", kept(answer, pause, FORGED) if pause else kept(answer + FORGED))
    odd.on("/ext/other", kept(whole(b"other")))
    for _ in range(3):
        assert odd_power.get("/ext/more").content == b"one"
        if pause:
            wait_until(lambda: odd.last("/ext/more").sent == len(answer + FORGED))
        assert odd_power.get("/ext/other").content == b"other"


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["at once", "later"])
def test_body_in_answer_to_a_head_is_nobody_elses(
    odd: OddUpstream, odd_power: Client, pause: float
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(FORGED)}\r\n\r\n".encode()
    odd.on("/ext/head", kept(head, pause, FORGED) if pause else kept(head + FORGED))
    odd.on("/ext/other", kept(whole(b"other")))
    for _ in range(3):
        assert odd_power.head("/ext/head").status_code == 200
        if pause:
            wait_until(lambda: odd.last("/ext/head").sent == len(head + FORGED))
        assert odd_power.get("/ext/other").content == b"other"


def test_what_comes_before_the_answer_is_passed_over(odd: OddUpstream, odd_power: Client) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    odd.on("/ext/early", kept(early + whole(b"one", "200 OK", "X-Own: yes")))
    answer = odd_power.get("/ext/early")
    assert (answer.status_code, answer.content) == (200, b"one")
    assert (answer.headers.get("Link"), answer.headers["X-Own"]) == (None, "yes")


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_body_without_a_length_ends_with_its_connection(
    odd: OddUpstream, odd_power: Client, head: bytes
) -> None:
    async def ends(talk: Conversation) -> None:
        await talk.send(head + b"first ")
        await talk.pause(0.05)
        await talk.send(b"last")

    odd.on("/ext/ends", ends)
    assert odd_power.get("/ext/ends").content == b"first last"
    assert odd_power.get("/ext/none").status_code == 404


def test_connection_that_is_closed_meanwhile_costs_a_read_nothing(
    odd: OddUpstream, odd_power: Client
) -> None:
    """As ComfyUI does with one that was idle for long, or when it is started again."""

    async def once(talk: Conversation) -> None:
        await talk.send(whole(b"one"))

    odd.on("/ext/once", once)
    for _ in range(5):
        assert odd_power.get("/ext/once").content == b"one"


def test_request_that_was_heard_is_not_sent_twice(odd: OddUpstream, odd_power: Client) -> None:
    async def half(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-")

    odd.on("/ext/half", half)
    assert odd_power.get("/ext/none").status_code == 404
    assert odd_power.get("/ext/half").status_code == 502
    assert len(odd.asked("/ext/half")) == 1


def test_many_heads_are_no_way_to_fill_the_memory(odd: OddUpstream, odd_power: Client) -> None:
    async def endless(talk: Conversation) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(20_000):
            await talk.send(f"X-{number}: {'a' * 50}\r\n".encode())

    odd.on("/ext/endless", endless)
    assert odd_power.get("/ext/endless").status_code == 502
    assert odd.last("/ext/endless").sent < 1_000_000
