"""Addresses and networks written as text, read in one way by all who compare them.

::ffff:10.0.0.1 is 10.0.0.1 that came over an IPv6 socket (RFC 4291, 2.5.5.2): the IPv4 address
counts, in an address as in a network.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


# Longer than any address; what is longer is not worth remembering.
_MAX_CHARS = 64


def address(text: str) -> Address | None:
    """The address, without the zone of a link-local one; None for what is none."""
    return _address(text) if len(text) <= _MAX_CHARS else None


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


@lru_cache(maxsize=4096)
def written(parsed: Address) -> str:
    """The address as text, as everybody writes it."""
    return str(parsed)


def network(text: str) -> Network:
    """An address or a network.

    Raises:
        ValueError
    """
    parsed = ip_network(text.strip(), strict=False)
    first = getattr(parsed.network_address, "ipv4_mapped", None)
    if first is not None and parsed.prefixlen >= 96:
        return ip_network(f"{first}/{parsed.prefixlen - 96}")
    return parsed


HOUSEHOLD_PREFIX = 64


def household(text: str) -> str:
    """What counts as one address where somebody is counted by it: of IPv6 a whole /64 (its first
    address), as that is what one household gets and a host there may take a new address for
    each request. What is no address stays as it is."""
    parsed = address(text)
    if parsed is None:
        return text
    if parsed.version == 4:
        return str(parsed)
    return str(ip_network((parsed, HOUSEHOLD_PREFIX), strict=False).network_address)
