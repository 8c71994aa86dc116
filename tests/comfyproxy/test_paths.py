"""Paths: whatever the spelling, what is judged is what ComfyUI's server reads, or nothing."""

import unicodedata
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from accounts.errors import BadPath, NotFound
from comfyproxy.paths import MAX_PATH_BYTES, CanonicalPath, canonical, upstream_path

ACCEPTED = {
    b"/": CanonicalPath(()),
    b"/api/": CanonicalPath((), api=True),
    b"/queue": CanonicalPath(("queue",)),
    b"/api/queue": CanonicalPath(("queue",), api=True),
    b"/%71ueue": CanonicalPath(("queue",)),
    b"/%61pi/queue": CanonicalPath(("queue",), api=True),
    b"/queue/": CanonicalPath(("queue",), trailing_slash=True),
    b"/api/queue/": CanonicalPath(("queue",), api=True, trailing_slash=True),
    b"/QUEUE": CanonicalPath(("QUEUE",)),
    # Never cut off: aiohttp knows no path parameters.
    b"/queue;x": CanonicalPath(("queue;x",)),
    b"/queue%3Bx=1": CanonicalPath(("queue;x=1",)),
    b"/queue%3Fa": CanonicalPath(("queue?a",)),
    b"/queue%23a": CanonicalPath(("queue#a",)),
    b"/userdata/workflows%2Fa.json": CanonicalPath(("userdata", "workflows/a.json")),
    # One segment, and no route has it: the encoded slash does not make it /api/queue.
    b"/api%2Fqueue": CanonicalPath(("api/queue",)),
    b"/queue/api": CanonicalPath(("queue", "api")),
    b"/x/api/queue": CanonicalPath(("x", "api", "queue")),
    b"/a+b": CanonicalPath(("a+b",)),
    b"/100%25": CanonicalPath(("100%",)),
    b"/%C3%A9.png": CanonicalPath(("é.png",)),
    "/é.png".encode(): CanonicalPath(("é.png",)),
    b"/...": CanonicalPath(("...",)),
    b"/.hidden": CanonicalPath((".hidden",)),
    b"/a..b": CanonicalPath(("a..b",)),
}
BAD = [
    b"",
    b"queue",
    b"*",
    b"http://other/queue",
    b"/./queue",
    b"/x/../queue",
    b"/..",
    b"/.",
    b"/../queue",
    b"/api/../queue",
    b"/api/./queue",
    b"/%2e%2e/queue",
    b"/%2E/queue",
    b"/.%2e/queue",
    b"/x%2F..%2Fqueue",
    b"/userdata/..%2F..%2Fetc",
    b"/userdata/a%2F.%2Fb",
    b"/experiment/models/preview/loras/0/..%2F..%2Foutput%2Fx.png",
    b"/x\\..\\queue",
    b"/%5c..%5cqueue",
    b"/queue%5C",
    # Encoded twice, or more often.
    b"/%252e%252e/queue",
    b"/userdata/a%252Fb",
    b"/userdata/a%255cb",
    b"/userdata/a%2500",
    b"/userdata/a%25252Fb",
    b"/userdata/a%2525252eb",
    b"/userdata/a%250d%250ab",
    b"/userdata/a%257f",
    # Control characters, plain and encoded.
    b"/queue%00",
    b"/queue\x00",
    b"/queue%0d%0aX:%20y",
    b"/queue\n",
    b"/queue\t",
    b"/queue%7F",
    b"/queue%C2%85",
    # Broken encodings.
    b"/%",
    b"/%zz",
    b"/queue%2",
    b"/%u0071ueue",
    b"/%ff",
    b"/\xff",
    b"/%c0%af",
    b"/%c0%ae%c0%ae/queue",
    b"/%ed%a0%80",
    b"/" + b"a" * MAX_PATH_BYTES,
]
NOWHERE = [
    b"//",
    b"//queue",
    b"/queue//",
    b"///api/queue",
    b"//evil.example/queue",
    b"/api//queue",
    b"/queue//x",
    b"/api",
    b"/api/api",
    b"/api/api/queue",
    b"/api/api/jobs",
    b"/API/queue",
    b"/Api/queue",
    b"/API",
    b"/api/API/queue",
    b"/%41PI/queue",
]


@pytest.mark.parametrize("raw", ACCEPTED, ids=repr)
def test_a_path_is_decoded_once_into_its_segments(raw: bytes) -> None:
    assert canonical(raw) == ACCEPTED[raw]


@pytest.mark.parametrize("raw", BAD, ids=lambda raw: repr(raw[:60]))
def test_a_path_without_a_canonical_form_is_refused(raw: bytes) -> None:
    with pytest.raises(BadPath) as refusal:
        canonical(raw)
    assert (refusal.value.status, refusal.value.wire_code) == (400, "BAD_PATH")


@pytest.mark.parametrize("raw", NOWHERE, ids=repr)
def test_a_path_that_no_server_has_is_not_found(raw: bytes) -> None:
    with pytest.raises(NotFound):
        canonical(raw)


@pytest.mark.parametrize("api", [False, True])
@pytest.mark.parametrize(
    ("segments", "spelt"),
    [
        ((), "/"),
        (("queue",), "/queue"),
        (("userdata", "workflows/a.json"), "/userdata/workflows%2Fa.json"),
        (("queue;x",), "/queue%3Bx"),
        (("a?b#c%d",), "/a%3Fb%23c%25d"),
        (("é",), "/%C3%A9"),
    ],
)
def test_the_upstream_path_has_one_spelling(
    segments: tuple[str, ...], spelt: str, api: bool
) -> None:
    path = CanonicalPath(segments)
    assert upstream_path(path, api=api) == ("/api" if api else "") + spelt


# Pieces of which hostile paths are made; random bytes alone would hardly ever be a path.
_PIECES = [b"/", b"%2f", b"%2F", b"%252f", b"%", b"%25", b"..", b".", b"%2e", b"api", b"API"]
_PIECES += [b"queue", b"userdata", b"a", b";x", b"\\", b"%5c", b"%00", b"\xc3\xa9", b"%C3", b" "]
_RAW = st.one_of(
    st.lists(st.sampled_from(_PIECES), max_size=12).map(lambda parts: b"/" + b"".join(parts)),
    st.binary(max_size=60).map(lambda tail: b"/" + tail),
    st.binary(max_size=60),
    st.text(max_size=30).map(lambda tail: b"/" + tail.encode("utf-8", "surrogatepass")),
)


@given(_RAW)
@example(b"/api%2Fqueue")
@example(b"/a%2F")
@example(b"/%2525")
def test_any_bytes_are_refused_or_read_upstream_as_they_were_judged(raw: bytes) -> None:
    try:
        path = canonical(raw)
    except (BadPath, NotFound):
        return
    for api in (False, True):
        sent = upstream_path(path, api=api)
        assert sent.isascii() and not set(sent) & set("?#\\ ;")
        assert _read_by_aiohttp(sent, api) == path.segments


@given(_RAW)
def test_any_bytes_that_pass_hold_nothing_another_parser_could_resolve(raw: bytes) -> None:
    try:
        path = canonical(raw)
    except (BadPath, NotFound):
        return
    text = str(path)
    assert not any(piece in (".", "..") for piece in text.split("/"))
    assert "\\" not in text
    assert not any(unicodedata.category(character) == "Cc" for character in text)
    folded = text.casefold()
    for encoded in ("%2f", "%2e", "%5c", "%00", "%252f", "%0a"):
        assert encoded not in folded
    assert "" not in path.segments
    assert not path.segments or path.segments[0].casefold() != "api"


@given(_RAW)
def test_what_is_sent_is_judged_the_same_again(raw: bytes) -> None:
    try:
        path = canonical(raw)
    except (BadPath, NotFound):
        return
    again = canonical(upstream_path(path, api=path.api).encode())
    assert (again.segments, again.api) == (path.segments, path.api)


def _read_by_aiohttp(path: str, api: bool) -> tuple[str, ...]:
    """The segments that ComfyUI's server sees, `/api` taken off where it was put."""
    count = path.count("/") - api
    if path in ("/", "/api/"):
        return ()
    request: Any = SimpleNamespace(method="GET", rel_url=URL.build(path=path, encoded=True))
    found = _finished(_routes(count, api).resolve(request))
    assert found.http_exception is None, path
    return tuple(found[f"s{index}"] for index in range(count))


@cache
def _routes(count: int, api: bool) -> web.UrlDispatcher:
    app = web.Application()
    pattern = "".join(f"/{{s{index}:[^/]+}}" for index in range(count))
    app.router.add_get(("/api" if api else "") + pattern, _handler)
    return app.router


async def _handler(request: web.Request) -> web.Response:
    raise AssertionError("never called")


def _finished(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value
