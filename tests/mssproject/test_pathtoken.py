"""pathtoken: one spelling of /t/<token>/… counts, and of no other a token is left in the path."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from accounts.credentials import PATH_TOKEN, Credential, Place, find_credential
from accounts.errors import TokenInvalid
from mssproject import front, pathtoken
from mssproject.front import Front

TOKEN = "mss_" + "aB3-_" * 8
BEARER = (b"authorization", b"Bearer x")
COOKIE = (b"cookie", b"jwt_token=x")


def scope_of(raw: bytes, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    path = raw.decode("latin-1")
    return {"raw_path": raw, "path": path, "headers": [(b"host", b"h"), *headers]}


def taken(raw: bytes, *headers: tuple[bytes, bytes]) -> tuple[str, str | None]:
    """The path that is left, and the token that counts."""
    scope = scope_of(raw, *headers)
    pathtoken.take_out(scope)
    assert scope["raw_path"] == scope["path"].encode("latin-1")
    try:
        credential = find_credential(scope["headers"])
    except TokenInvalid:
        return scope["path"], "invalid"
    return scope["path"], credential and credential.token


@pytest.mark.parametrize(
    ("raw", "rest"),
    [
        ("/t/{}", "/"),
        ("/t/{}/", "/"),
        ("/t/{}/queue", "/queue"),
        ("/t/{}/api/queue", "/api/queue"),
        ("/t/{}/mss-login/api/me", "/mss-login/api/me"),
        ("/t/{}/a%2Fb", "/a%2Fb"),
        ("/t/{}//x", "//x"),
        ("/t/{}/x/t/y", "/x/t/y"),
        ("/t/{}/x\ny", "/x\ny"),
    ],
)
def test_rest_of_the_path_is_left_and_the_token_counts(raw: str, rest: str) -> None:
    path = raw.format(TOKEN).encode()
    assert taken(path) == (rest, TOKEN)
    assert taken(path, COOKIE) == (rest, TOKEN)
    assert taken(path, BEARER) == (rest, "invalid")


@pytest.mark.parametrize(
    "raw",
    [
        "/t",
        "/t/",
        "/t//queue",
        "/t/{}/t/{}/queue",
        "/t/{}/t/",
        "/t/{}/t",
        "/t/{}%2Fqueue",
        "/t/%6Dss_x/queue",
        "/t/{};x/queue",
        "/t/a.b.c/queue",
        "/t/" + "x" * 201 + "/queue",
        "/t/./queue",
        "/t/../queue",
        "/t/{}\n",
    ],
)
def test_any_other_form_is_a_bad_token_and_nothing_is_left_of_it(raw: str) -> None:
    assert taken(raw.format(TOKEN, TOKEN).encode()) == ("/", "invalid")


@pytest.mark.parametrize(
    "raw", ["/", "/queue", "/tt/x", "/T/x", "/x/t/y", "/%74/x", "/t%2Fx", "t/x"]
)
def test_other_paths_are_left_alone(raw: str) -> None:
    scope = scope_of(raw.encode(), BEARER)
    before = {**scope, "headers": list(scope["headers"])}
    assert pathtoken.take_out(scope) is False
    assert scope == before


def test_forged_header_never_counts() -> None:
    forged = [(PATH_TOKEN, TOKEN.encode())] * 2
    assert taken(b"/queue", *forged) == ("/queue", None)
    assert taken(f"/t/{TOKEN}x/queue".encode(), *forged) == ("/queue", f"{TOKEN}x")
    assert taken(b"/t/a.b/queue", *forged) == ("/", "invalid")


PIECES = st.sampled_from([b"/t", b"/t/", b"/", b"t", b"%74", b"T", TOKEN.encode(), b".", b"%2F"])


@given(st.one_of(st.binary(max_size=40), st.lists(PIECES, max_size=8).map(b"".join)))
def test_no_path_keeps_what_follows_its_t(raw: bytes) -> None:
    scope = scope_of(raw)
    below = pathtoken.take_out(scope)
    assert below == (raw == b"/t" or raw.startswith(b"/t/"))
    names = [name for name, _ in scope["headers"]]
    assert names.count(PATH_TOKEN) == below
    if not below:
        assert scope["raw_path"] == raw
        return
    assert scope["raw_path"].startswith(b"/") and not scope["raw_path"].startswith(b"/t/")
    value = dict(scope["headers"])[PATH_TOKEN]
    # Nothing of it counts unless it is exactly what stood there.
    assert value == b"" or raw.startswith(b"/t/" + value)
    assert value == b"" or scope["raw_path"] in (b"/", raw.removeprefix(b"/t/" + value))


def test_path_wins_over_query_and_cookie_and_stands_beside_no_header() -> None:
    moved = (PATH_TOKEN, TOKEN.encode())
    query = b"token=mss_other"
    found = find_credential([COOKIE, moved], query, query_allowed=True)
    assert found == Credential(TOKEN, Place.PATH)
    for headers in ([moved, BEARER], [BEARER, moved], [moved, (b"authorization", b"")]):
        with pytest.raises(TokenInvalid):
            find_credential(headers, query, query_allowed=True)
    with pytest.raises(TokenInvalid):
        find_credential([COOKIE, (PATH_TOKEN, b"")], query, query_allowed=True)


def test_way_to_https_does_not_repeat_the_token(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MSS_FORCE_HTTPS = True

    async def nobody_is_blocked(scope: Any) -> None:
        return None

    monkeypatch.setattr(front, "_blocked", nobody_is_blocked)
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def unused(*args: Any) -> None:
        raise AssertionError("the request went on")

    scope = scope_of(f"/t/{TOKEN}/queue".encode()) | {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "query_string": b"a=1",
    }
    scope["headers"] = [(b"host", b"localhost")]
    app = Front(comfy=unused, sockets=unused, pages=unused, static=unused)
    asyncio.run(app(scope, unused, send))
    headers = dict(sent[0]["headers"])
    assert (sent[0]["status"], headers[b"location"]) == (308, b"https://localhost/queue?a=1")
    assert headers[b"referrer-policy"] == b"no-referrer"
