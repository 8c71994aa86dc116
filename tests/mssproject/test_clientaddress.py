"""clientaddress: who the client is, and over what, when proxies say so."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssproject.clientaddress import client_of, networks

TRUSTED = networks(["10.0.0.0/8", "127.0.0.1", "fd00::/8"])


def found(peer: str, *headers: tuple[str, str], scheme: str = "http") -> tuple[str, str]:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return client_of(peer, scheme, raw, TRUSTED)


def xff(value: str) -> tuple[str, str]:
    return ("x-forwarded-for", value)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [" 203.0.113.9 ,, "], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["unknown, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", ["203.0.113.9:"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:4711:1"], "10.0.0.1"),
        ("10.0.0.1", ["[203.0.113.9"], "10.0.0.1"),
        ("fd00::1", ["2001:DB8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        # Not trusted: nothing that they say counts.
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("192.0.2.1", ["10.0.0.1"], "192.0.2.1"),
        ("::ffff:192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("", ["203.0.113.9"], ""),
    ],
)
def test_client_is_the_first_from_the_right_who_is_no_proxy_of_ours(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert found(peer, *(xff(value) for value in forwarded)) == (expected, "http")


@pytest.mark.parametrize(
    ("said", "scheme", "expected"),
    [
        ("https", "http", "https"),
        ("HTTPS", "http", "https"),
        ("http", "https", "http"),
        ("http, https", "http", "https"),
        ("https", "ws", "wss"),
        ("http", "wss", "ws"),
        ("wss", "ws", "ws"),
        ("nonsense", "http", "http"),
        ("", "https", "https"),
    ],
)
def test_scheme_is_the_nearest_proxys_word(said: str, scheme: str, expected: str) -> None:
    header = ("x-forwarded-proto", said)
    assert found("10.0.0.1", header, scheme=scheme) == ("10.0.0.1", expected)
    assert found("192.0.2.1", header, scheme=scheme) == ("192.0.2.1", scheme)


def test_without_trusted_proxies_nothing_is_believed() -> None:
    headers = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")]
    assert client_of("127.0.0.1", "http", headers, ()) == ("127.0.0.1", "http")


@given(
    st.sampled_from(["10.0.0.1", "192.0.2.1", "fd00::9"]),
    st.lists(st.one_of(st.text(max_size=20), st.ip_addresses().map(str)), max_size=5),
)
def test_result_is_always_an_address(peer: str, claims: list[str]) -> None:
    header = ",".join(claims).encode("utf-8", "replace")
    address, scheme = client_of(peer, "http", [(b"x-forwarded-for", header)], TRUSTED)
    assert str(ip_address(address)) == address
    assert scheme == "http"
