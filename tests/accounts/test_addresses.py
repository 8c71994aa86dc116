"""addresses: one reading of addresses and networks, whatever is written there."""

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.addresses import address, network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:a00:1", "10.0.0.1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("10.0.0.01", None),
        ("10.0.0.1/32", None),
        ("10.0.0.1:80", None),
        ("[::1]", None),
        (" 10.0.0.1", None),
        ("167772161", None),
        ("localhost", None),
        ("%", None),
        ("", None),
    ],
)
def test_address_has_one_form(text: str, expected: str | None) -> None:
    found = address(text)
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        (" 10.1.2.3/8 ", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.0.0.7", "10.0.0.7/32"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_network_has_one_form(text: str, expected: str) -> None:
    assert str(network(text)) == expected


@given(st.ip_addresses(), st.integers(0, 32))
def test_network_around_an_address_holds_it(given: object, bits: int) -> None:
    here = address(str(given))
    assert here is not None
    assert here in network(f"{here}/{bits}")


@given(st.ip_addresses(v=4))
def test_ipv4_address_is_itself_over_ipv6_too(given: object) -> None:
    mapped = f"::ffff:{given}"
    assert address(mapped) == ip_address(str(given))
    assert address(mapped) in network(mapped)
    assert address(str(given)) in network(mapped)


@given(st.text(max_size=30))
def test_any_text_is_an_address_a_network_or_none(text: str) -> None:
    found = address(text)
    assert found is None or address(str(found)) == found
    with suppress(ValueError):
        assert network(str(network(text))) == network(text)
