"""What ComfyUI gets to see of a request: no credential, whatever else a client may say."""

import hashlib

import pytest

from tests.cast import POWER
from tests.client import Client, raw_request
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.oddupstream import Conversation, OddUpstream
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_odd_log", "clean_log")

NOT_FORWARDED = {
    "Cookie": "jwt_token=mss_secret; other=1",
    "Origin": "https://app.example",
    "Referer": "https://app.example/?token=mss_secret",
    "Comfy-User": "bob",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9",
    "Proxy-Authorization": "Basic c2VjcmV0",
    "X-Api-Key": "secret",
    "X-CSRFToken": "secret",
    "Sec-Fetch-Site": "same-origin",
    "TE": "trailers",
    "Keep-Alive": "timeout=5",
    "Proxy-Connection": "keep-alive",
    "Upgrade": "h2c",
    "X-Own": "anything",
}
FORWARDED = {
    "Accept": "application/x-own",
    "Accept-Encoding": "br",
    "Accept-Language": "fr",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "If-Modified-Since": "Tue, 24 Nov 2026 00:00:00 GMT",
    "If-None-Match": '"x"',
    "If-Match": '"y"',
    "If-Range": '"z"',
    "If-Unmodified-Since": "Tue, 24 Nov 2026 00:00:00 GMT",
    "Range": "bytes=0-1",
    "User-Agent": "own/1.0",
}


def sent_headers(comfy: FakeComfyThread) -> dict[str, str]:
    """What the one request to a custom node's route had, but for the host."""
    [record] = [record for record in comfy.requests if record.path == "/my_node/x"]
    return {name.lower(): value for name, value in record.headers if name.lower() != "host"}


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def test_get_carries_the_harmless_headers_and_no_other(
    power: Client, forwarded: FakeComfyThread
) -> None:
    headers = {**NOT_FORWARDED, **FORWARDED, "Authorization": f"Bearer {power.token}"}
    raw_request(power.base_url, "GET", "/my_node/x", {**headers, "Content-Type": "a/b"})
    assert sent_headers(forwarded) == lower(FORWARDED)
    assert forwarded.requests[-1].header_values("host") == [forwarded.url.removeprefix("http://")]


async def reader(talk: Conversation) -> None:
    """Takes a body of known length, then answers with its digest."""
    digest, length = hashlib.sha256(), int(talk.header("content-length") or 0)
    while talk.received < length:
        digest.update(await talk.read())
    await talk.answer(digest.hexdigest().encode())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_body_and_its_headers_arrive_byte_for_byte(
    odd: OddUpstream, odd_power: Client, method: str
) -> None:
    odd.on("/ext/body", reader)
    body = bytes(range(256)) * 1000
    more = {"Content-Type": "text/plain;charset=UTF-8", "Content-Encoding": "gzip"}
    headers = {**NOT_FORWARDED, **FORWARDED, **more, "Authorization": f"Bearer {odd_power.token}"}
    headers |= {"Expect": "100-continue", "Content-Length": str(len(body))}
    answer = raw_request(odd_power.base_url, method, "/ext/body", headers, body)
    assert answer.body.decode() == hashlib.sha256(body).hexdigest()
    talk = odd.last("/ext/body")
    assert talk.method == method
    assert dict(talk.headers) == {
        **lower(FORWARDED),
        **lower(more),
        "content-length": str(len(body)),
        "host": odd.url.removeprefix("http://"),
        # The gateway's own: what cannot be tried twice gets a connection of its own.
        "connection": "close",
    }


def test_post_without_a_body_stays_without_one(power: Client, forwarded: FakeComfyThread) -> None:
    raw_request(power.base_url, "POST", "/my_node/x", {"Authorization": f"Bearer {power.token}"})
    headers = sent_headers(forwarded)
    assert headers.get("content-length", "0") == "0"
    assert "transfer-encoding" not in headers


def test_body_of_unknown_length_arrives_whole(odd: OddUpstream, odd_power: Client) -> None:
    async def script(talk: Conversation) -> None:
        await talk.answer(await talk.read_until(b"\r\n0\r\n\r\n"))

    odd.on("/ext/chunked", script)
    chunks = odd_power.post("/ext/chunked", data=iter([b"one", b"two", b"three"])).content
    assert b"".join(chunks.split(b"\r\n")[1::2]) == b"onetwothree"
    assert odd.last("/ext/chunked").header("transfer-encoding") == "chunked"


# --- tokens in the query ---------------------------------------------------------------------


TOKEN_SPELLINGS = [
    "token={}",
    "access_token={}",
    "%74oken={}",
    "t%6Fken={}",
    "%74%6f%6b%65%6e={}",
    "acc%65ss_token={}",
    "access%5Ftoken={}",
    "token={}&token={}",
    "token={}&access_token={}&%74oken={}",
    "Token={}",
    "TOKEN={}",
    "%54OKEN={}",
    "+token={}",
    "token={}=x",
    "token=",
    "token",
    "%74oken",
    "token=a%26b",
]


@pytest.mark.parametrize("spelling", TOKEN_SPELLINGS)
def test_no_query_token_reaches_comfyui(
    gateway: Gateway, people: People, forwarded: FakeComfyThread, spelling: str
) -> None:
    token = people.token(POWER)
    headers = {"Authorization": f"Bearer {token}"}
    query = spelling.replace("{}", token)
    for target in (f"/my_node/x?a=1&{query}&b=2", f"/assets/x.js?a=1&b=2&{query}"):
        raw_request(gateway.url, "GET", target, headers)
    assert [record.path for record in forwarded.requests] == [
        "/my_node/x?a=1&b=2",
        "/assets/x.js?a=1&b=2",
    ]


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_query_token_logs_in_and_does_not_go_on(
    gateway: Gateway, people: People, forwarded: FakeComfyThread, name: str
) -> None:
    for method in ("GET", "POST"):
        forwarded.clear_requests()
        raw_request(gateway.url, method, f"/my_node/x?{name}={people.token(POWER)}", {}, b"")
        assert [record.path for record in forwarded.requests] == ["/my_node/x"]


@pytest.mark.parametrize(
    "query",
    [
        "a=1&b=2&a=3",
        "a=%7e%2F%2f+%20&b",
        "&&a=&=b&",
        "x=|\"<>'{}[]^`",
        "tokens=1&token_type=2&mytoken=3",
        "a=token=1",
        "a?b=c/d",
        "a=%zz%",
        "a=%ff%C3%A9",
        "a;token=1",
        "x=" + "y" * 4000,
    ],
)
def test_other_query_bytes_go_on_unchanged(
    power: Client, forwarded: FakeComfyThread, query: str
) -> None:
    headers = {"Authorization": f"Bearer {power.token}"}
    raw_request(power.base_url, "GET", f"/my_node/x?{query}", headers)
    assert [record.path for record in forwarded.requests] == [f"/my_node/x?{query}"]


def test_upgrade_to_another_protocol_is_not_made(power: Client, forwarded: FakeComfyThread) -> None:
    """A handshake on a path that is no socket's is refused and goes nowhere."""
    headers = {
        "Authorization": f"Bearer {power.token}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    check_refusal(raw_request(power.base_url, "GET", "/my_node/x", headers), 404, "NOT_FOUND")
    assert [record.path for record in forwarded.requests if record.kind != "ws_frame"] == []
