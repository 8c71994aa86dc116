"""credentials: which token counts, where a cookie is believed, what never leaves a query."""

import base64
from urllib.parse import unquote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from accounts.credentials import (
    MAX_TOKEN_CHARS,
    Credential,
    Place,
    check_login_origin,
    check_same_origin,
    find_credential,
    without_tokens,
)
from accounts.errors import CrossOrigin, TokenInvalid

GOOD = "mss_" + "a" * 43
OTHER = "mss_" + "b" * 43
BEARER = (b"authorization", f"Bearer {GOOD}".encode())
COOKIE = (b"cookie", f"jwt_token={OTHER}".encode())
QUERY = f"token={OTHER}".encode()


def basic(pair: str) -> tuple[bytes, bytes]:
    return (b"authorization", b"Basic " + base64.b64encode(pair.encode()))


# --- which one counts -----------------------------------------------------------------------


def test_header_wins_over_query_and_query_over_cookie() -> None:
    found = [
        find_credential(headers, query, query_allowed=True)
        for headers, query in (
            ([COOKIE, BEARER], QUERY),
            ([COOKIE], f"access_token={GOOD}".encode()),
            ([COOKIE], b"x=1"),
            ([], b"x=1"),
        )
    ]
    assert found == [
        Credential(GOOD, Place.HEADER),
        Credential(GOOD, Place.QUERY),
        Credential(OTHER, Place.COOKIE),
        None,
    ]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Token abc",
        b"Bearer \xff\xfe",
        b"Bearer a\x00b",
        b"Basic",
        b"Basic !!!",
        b"Basic " + base64.b64encode(b"no colon"),
        b"Basic " + base64.b64encode(b"user:"),
        b"Basic " + base64.b64encode(b"\xff\xfe:\xff"),
        b"Bearer " + b"x" * (MAX_TOKEN_CHARS + 1),
    ],
)
def test_a_malformed_header_is_refused_and_nothing_lower_is_tried(value: bytes) -> None:
    with pytest.raises(TokenInvalid):
        find_credential([(b"authorization", value), COOKIE], QUERY, query_allowed=True)


def test_two_authorization_headers_are_refused_even_if_equal() -> None:
    with pytest.raises(TokenInvalid):
        find_credential([BEARER, BEARER])


def test_an_empty_query_token_is_refused_though_the_cookie_is_good() -> None:
    with pytest.raises(TokenInvalid):
        find_credential([COOKIE], b"token=", query_allowed=True)


def test_a_query_token_is_found_under_every_spelling_a_server_would_decode() -> None:
    for name in (b"token", b"access_token", b"%74oken", b"access%5Ftoken"):
        found = find_credential([COOKIE], name + b"=" + GOOD.encode(), query_allowed=True)
        assert found == Credential(GOOD, Place.QUERY)


def test_a_query_token_means_nothing_where_it_is_not_allowed() -> None:
    assert find_credential([], QUERY) is None
    assert find_credential([COOKIE], b"token=bad") == Credential(OTHER, Place.COOKIE)


def test_basic_takes_the_password_whatever_the_user_name() -> None:
    for pair in (f"alice:{GOOD}", f":{GOOD}", f"ünï:{GOOD}"):
        assert find_credential([basic(pair)]) == Credential(GOOD, Place.BASIC)
    assert find_credential([basic("a:b:c")]) == Credential("b:c", Place.BASIC)


def test_the_scheme_is_read_in_any_case() -> None:
    for value in (f"bearer {GOOD}", f"BEARER   {GOOD} "):
        found = find_credential([(b"authorization", value.encode())])
        assert found == Credential(GOOD, Place.HEADER)


@pytest.mark.parametrize(
    "cookie",
    [
        "foo[bar]=1; jwt_token={}",
        'x={{"a": 1}}; jwt_token={}',
        "words without sense; jwt_token={}",
        "jwt_token=; jwt_token={}",
        'jwt_token="{}"',
        "jwt_token={}; jwt_token=another",
        "not_jwt_token=x;jwt_token={};jwt_token_2=y",
        "\xff\xfe=1; jwt_token={}",
    ],
)
def test_other_programs_cookies_do_not_hide_ours(cookie: str) -> None:
    header = (b"cookie", cookie.format(GOOD).encode("latin-1"))
    assert find_credential([header]) == Credential(GOOD, Place.COOKIE)


def test_cookies_split_over_several_headers_are_found() -> None:
    headers = [(b"cookie", b"a=1"), (b"cookie", f"jwt_token={GOOD}".encode())]
    assert find_credential(headers) == Credential(GOOD, Place.COOKIE)


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_a_credential_or_none_or_refused(
    authorization: bytes, cookie: bytes, query: bytes
) -> None:
    headers = [(b"authorization", authorization), (b"cookie", cookie)]
    for given_headers in (headers, headers[1:]):
        try:
            found = find_credential(given_headers, query, query_allowed=True)
        except TokenInvalid:
            continue
        if found is not None:
            assert found.token.isascii() and found.token.isprintable() and found.token


def test_a_credential_never_prints_its_token() -> None:
    credential = Credential(GOOD, Place.HEADER)
    assert GOOD not in f"{credential} {credential!r} {[credential]}"


# --- same origin ------------------------------------------------------------------------------


def allowed(headers: dict[str, str], *, scheme: str = "http", socket: bool = False) -> bool:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    try:
        check_same_origin(raw, scheme=scheme, method="POST", websocket=socket)
    except CrossOrigin:
        return False
    return True


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://h:8000"}, False),
        ({"sec-fetch-site": "same-origin", "origin": "http://evil"}, True),
        ({"origin": "http://h:8000"}, True),
        ({"origin": "HTTP://H:8000"}, True),
        ({"origin": "http://h"}, False),
        ({"origin": "http://h:8001"}, False),
        ({"origin": "https://h:8000"}, False),
        ({"origin": "http://sub.h:8000"}, False),
        ({"origin": "http://h:8000.evil"}, False),
        ({"origin": "http://h:8000@evil"}, False),
        ({"origin": "http://user@h:8000"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "http://["}, False),
        ({"origin": "http://h]"}, False),
        ({"referer": "http://h:8000/page"}, False),
        ({}, False),
    ],
)
def test_an_unsafe_cookie_request_must_show_its_own_origin(
    headers: dict[str, str], expected: bool
) -> None:
    assert allowed({"host": "h:8000", **headers}) is expected
    assert allowed({"host": "h:8000", **headers}, scheme="ws", socket=True) is expected


def test_default_ports_are_the_same_origin() -> None:
    assert allowed({"host": "h", "origin": "http://h:80"})
    assert allowed({"host": "h:443", "origin": "https://h"}, scheme="https")
    assert allowed({"host": "h", "origin": "https://h"}, scheme="wss", socket=True)
    assert allowed({"host": "[::1]", "origin": "http://[::1]:80"})
    assert not allowed({"host": "h:443", "origin": "http://h"})


def test_reading_needs_no_origin_but_a_socket_does() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        check_same_origin([], scheme="http", method=method)
        with pytest.raises(CrossOrigin):
            check_same_origin([], scheme="http", method=method, websocket=True)


def test_a_login_from_another_site_is_refused_and_a_scripts_is_not() -> None:
    host = (b"host", b"h")
    check_login_origin([host], scheme="http")
    check_login_origin([host, (b"origin", b"http://h")], scheme="http")
    for foreign in ((b"origin", b"http://evil"), (b"sec-fetch-site", b"cross-site")):
        with pytest.raises(CrossOrigin):
            check_login_origin([host, foreign], scheme="http")


# --- scrubbing a query ------------------------------------------------------------------------


def encoded(name: str) -> st.SearchStrategy[bytes]:
    """A name with any of its letters percent-encoded, in any case."""
    letters = [
        st.sampled_from([c, c.upper(), f"%{ord(c):02x}", f"%{ord(c):02X}", f"%{ord(c.upper()):x}"])
        for c in name
    ]
    return st.tuples(*letters).map(lambda parts: "".join(parts).encode())


token_names = st.sampled_from(["token", "access_token"]).flatmap(encoded)
padded_names = st.tuples(
    st.sampled_from([b"", b"+", b"%20", b"%09"]), token_names, st.sampled_from([b"", b"+", b"%20"])
).map(b"".join)
values = st.binary(max_size=12).map(lambda raw: raw.replace(b"&", b"").replace(b"#", b""))
token_parts = st.tuples(padded_names, st.sampled_from([b"", b"="]), values).map(b"".join)
near_misses = st.sampled_from(
    [b"tokens=1", b"atoken=2", b"token[]=3", b"x=token", b"=token", b"tok+en=4", b"%2574oken=5"]
)
parts = st.lists(st.one_of(token_parts, near_misses, values), max_size=6)


def is_token(part: bytes) -> bool:
    name = unquote_plus(part.partition(b"=")[0].decode("latin-1"))
    return name.strip().lower() in ("token", "access_token")


@given(parts)
@example([b"token=x", b"a=%26token=y", b"b"])
@example([b"", b"", b"t%6Fken"])
def test_no_token_survives_and_all_else_stays_byte_for_byte(given_parts: list[bytes]) -> None:
    left = without_tokens(b"&".join(given_parts))
    assert left == b"&".join(part for part in given_parts if not is_token(part))
    # As ComfyUI's server (aiohttp) reads it.
    url = URL("http://comfy/view?" + left.decode("latin-1"), encoded=True)
    assert {name.strip().lower() for name in url.query}.isdisjoint({"token", "access_token"})


def test_a_query_without_tokens_is_not_touched() -> None:
    for query in (b"", b"a=1", b"filename=a+b%20c.png&&subfolder=&x", b"broken=%zz%"):
        assert without_tokens(query) == query
