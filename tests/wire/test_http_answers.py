"""What of ComfyUI's answer the client gets: end-to-end headers, cookies, redirects, refusals."""

import pytest

from tests.client import Client, raw_request
from tests.oddupstream import Conversation, OddUpstream
from tests.rawconnection import connected

pytestmark = pytest.mark.usefixtures("clean_odd_log")


def test_client_gets_end_to_end_headers_and_every_cookie(
    odd: OddUpstream, odd_power: Client
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.answer(
            b"body",
            "203 Odd",
            "Content-Type: x/y; a=b",
            "Set-Cookie: one=1; Path=/",
            "Set-Cookie: two=2; Expires=Tue, 24 Nov 2026 00:00:00 GMT",
            "Set-Cookie: jwt_token=planted",
            "Set-Cookie:  mss_csrf=planted",
            "Link: <a>; rel=x",
            "Link: <b>; rel=y",
            "X-Own: 1",
            "X-Hop: 1",
            "Keep-Alive: timeout=5",
            "Connection: X-Hop, keep-alive",
            "Proxy-Authenticate: Basic",
            "Upgrade: h2c",
            "Server: ComfyUI",
            "Date: Tue, 24 Nov 2026 00:00:00 GMT",
            "Strict-Transport-Security: max-age=1",
            "Access-Control-Allow-Origin: *",
            "Access-Control-Allow-Credentials: true",
        )

    odd.on("/ext/headers", script)
    headers = {"Authorization": f"Bearer {odd_power.token}"}
    answer = raw_request(odd_power.base_url, "GET", "/ext/headers", headers)
    assert (answer.status, answer.body) == (203, b"body")
    assert answer.headers == [
        ("content-type", "x/y; a=b"),
        ("set-cookie", "one=1; Path=/"),
        ("set-cookie", "two=2; Expires=Tue, 24 Nov 2026 00:00:00 GMT"),
        ("link", "<a>; rel=x"),
        ("link", "<b>; rel=y"),
        ("x-own", "1"),
        ("content-length", "4"),
    ]


def test_upstream_cookie_is_not_kept_for_the_next_client(
    odd: OddUpstream, odd_power: Client, odd_alice: Client
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.answer(b"", "200 OK", "Set-Cookie: who=paula; Path=/")

    odd.on("/assets/cookie.js", script)
    assert odd_power.get("/assets/cookie.js").headers["Set-Cookie"] == "who=paula; Path=/"
    odd_alice.get("/assets/cookie.js")
    assert odd.last("/assets/cookie.js").header("cookie") is None


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("UPSTREAM/ext/there?a=1#x", "/ext/there?a=1#x"),
        ("UPSTREAM/", "/"),
        ("UPSTREAM", "/"),
        ("UPSTREAM//evil.example/x", "/evil.example/x"),
        ("/ext/there", "/ext/there"),
        ("there?x=1", "there?x=1"),
        ("https://other.example/x", "https://other.example/x"),
        ("UPSTREAM0/x", "UPSTREAM0/x"),
        ("UPSTREAM.evil.example/x", "UPSTREAM.evil.example/x"),
    ],
)
def test_redirect_of_comfyui_to_itself_leads_to_the_gateway_and_is_not_followed(
    odd: OddUpstream, odd_power: Client, location: str, expected: str
) -> None:
    async def script(talk: Conversation) -> None:
        await talk.answer(b"", "307 Odd", f"Location: {location.replace('UPSTREAM', odd.url)}")

    odd.on("/ext/moved", script)
    before = len(odd.conversations)
    answer = odd_power.get("/ext/moved")
    assert answer.status_code == 307
    assert answer.headers["Location"] == expected.replace("UPSTREAM", odd.url)
    assert len(odd.conversations) == before + 1


def test_refusals_of_comfyui_pass_as_they_are(odd: OddUpstream, odd_power: Client) -> None:
    for status in ("400 Bad", "401 No", "404 None", "418 Teapot", "500 Oops", "503 Busy"):

        async def script(talk: Conversation, status: str = status) -> None:
            await talk.answer(b"own words", status, "Content-Type: text/plain")

        odd.on("/ext/refuses", script)
        answer = odd_power.get("/ext/refuses")
        assert (answer.status_code, answer.content) == (int(status[:3]), b"own words")
        assert "WWW-Authenticate" not in answer.headers


def test_early_answer_to_an_upload_arrives(odd: OddUpstream, odd_power: Client) -> None:
    """ComfyUI may refuse before it has read everything; its words must not get lost."""

    async def script(talk: Conversation) -> None:
        await talk.answer(b"enough", "413 Too Large")
        await talk.pause(0.3)

    odd.on("/ext/early", script)
    headers = {"Content-Length": "100000000"}
    with connected(odd_power, "POST", "/ext/early", headers, b"x" * 100_000) as connection:
        answer = b""
        while not answer.endswith(b"enough"):
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
