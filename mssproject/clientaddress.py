"""The client's address and scheme, believing a proxy's headers only if the proxy is trusted."""

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from accounts.credentials import RawHeaders

Networks = tuple[IPv4Network | IPv6Network, ...]


def networks(entries: Sequence[str]) -> Networks:
    """Parse MSS_TRUSTED_PROXIES (checked at start)."""
    return tuple(ip_network(entry, strict=False) for entry in entries)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address in the one form that everything else stores and compares: without the zone
    of a link-local one, and IPv4 as such."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_of(peer: str, scheme: str, headers: RawHeaders, trusted: Networks) -> tuple[str, str]:
    """(address, scheme) of the client behind `peer`.

    `X-Forwarded-For` is read from the right: the first address that is no trusted proxy is
    the client. What stands further left is the client's own claim.
    """
    client = _parsed(peer)
    if client is None:
        return peer, scheme
    if not _trusted(client, trusted):
        return str(client), scheme
    for text in reversed(_values(headers, b"x-forwarded-for")):
        candidate = _parsed(text)
        if candidate is None:
            break
        client = candidate
        if not _trusted(client, trusted):
            break
    forwarded = _values(headers, b"x-forwarded-proto")
    if forwarded and forwarded[-1].lower() in ("http", "https"):
        secure = forwarded[-1].lower() == "https"
        websocket = scheme in ("ws", "wss")
        scheme = ("wss" if secure else "ws") if websocket else ("https" if secure else "http")
    return str(client), scheme


def _trusted(address: IPv4Address | IPv6Address, trusted: Networks) -> bool:
    return any(address in network for network in trusted)


def _values(headers: RawHeaders, name: bytes) -> list[str]:
    return [
        part.strip()
        for key, value in headers
        if key == name
        for part in value.decode("latin-1").split(",")
        if part.strip()
    ]
