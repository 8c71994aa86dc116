"""The client's address and scheme, believing a proxy's headers only if the proxy is trusted."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from accounts.credentials import RawHeaders

Networks = tuple[IPv4Network | IPv6Network, ...]


def networks(entries: Sequence[str]) -> Networks:
    """Parse MSS_TRUSTED_PROXIES (checked at start)."""
    return tuple(ip_network(entry, strict=False) for entry in entries)


def _trusted(address: str, trusted: Networks) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in trusted)


def client_of(peer: str, scheme: str, headers: RawHeaders, trusted: Networks) -> tuple[str, str]:
    """(address, scheme) of the client behind `peer`.

    `X-Forwarded-For` is read from the right: the first address that is no trusted proxy is
    the client. What stands further left is the client's own claim.
    """
    if not trusted or not _trusted(peer, trusted):
        return peer, scheme
    address = peer
    for candidate in reversed(_values(headers, b"x-forwarded-for")):
        try:
            ip_address(candidate)
        except ValueError:
            break
        address = candidate
        if not _trusted(candidate, trusted):
            break
    forwarded = _values(headers, b"x-forwarded-proto")
    if forwarded and forwarded[-1].lower() in ("http", "https"):
        secure = forwarded[-1].lower() == "https"
        websocket = scheme in ("ws", "wss")
        scheme = ("wss" if secure else "ws") if websocket else ("https" if secure else "http")
    return address, scheme


def _values(headers: RawHeaders, name: bytes) -> list[str]:
    return [
        part.strip()
        for key, value in headers
        if key == name
        for part in value.decode("latin-1").split(",")
        if part.strip()
    ]
