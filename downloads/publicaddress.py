"""Which network addresses are on the public Internet. Pure.

Sources: IANA's special-purpose address registries for IPv4 and IPv6, as Python's `ipaddress`
knows them, and RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 4291 (mapped).
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

# Beyond what `is_global` of today's Python refuses: ranges it has not learnt yet, ranges that are
# "global" in the registry's words only, and translators' local prefixes.
_NEVER: Final = tuple(
    ip_network(text)
    for text in (
        "192.88.99.0/24",  # relays of 6to4, deprecated
        "::/96",  # IPv4-compatible, deprecated; systems may still connect to the IPv4 inside
        "fec0::/10",  # site-local, deprecated
        "64:ff9b:1::/48",  # NAT64 for local use
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


def embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a translator or tunnel would take out of an IPv6 one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return None


def is_public(address: Address) -> bool:
    """Whether a download may be fetched from there. What is not known to be public is not."""
    if isinstance(address, IPv6Address):
        inner = embedded(address)
        if inner is not None and not is_public(inner):
            return False
        if address in _NAT64:
            return True
    if any(address.version == net.version and address in net for net in _NEVER):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def parse(text: str) -> Address | None:
    """The address that a host name literally is; None for a name.

    A zone (`fe80::1%eth0`) belongs to link-local addresses only; it is kept by `ipaddress`.
    """
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_loopback_host(host: str) -> bool:
    """Whether a URL's host means this machine by its spelling alone, without asking DNS."""
    address = parse(host.strip("[]"))
    return address.is_loopback if address is not None else host.lower() == "localhost"
