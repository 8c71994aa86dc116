"""The client's address and scheme, believing a proxy's headers only if the proxy is trusted."""

import re
from collections.abc import Sequence
from typing import Final

from accounts.addresses import Address, Network, address, network, written
from accounts.credentials import RawHeaders

Networks = tuple[Network, ...]

_PORTED: Final = re.compile(r"\[([\w:.%]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5}")


def networks(entries: Sequence[str]) -> Networks:
    """Parse MSS_TRUSTED_PROXIES (checked at start)."""
    return tuple(network(entry) for entry in entries)


def client_of(peer: str, scheme: str, headers: RawHeaders, trusted: Networks) -> tuple[str, str]:
    """(address, scheme) of the client behind `peer`.

    `X-Forwarded-For` is read from the right: the first address that is no trusted proxy is
    the client. What stands further left is the client's own claim.
    """
    client = address(peer)
    if client is None:
        return peer, scheme
    if not _trusted(client, trusted):
        return written(client), scheme
    for text in reversed(_values(headers, b"x-forwarded-for")):
        candidate = _without_port(text)
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
    return written(client), scheme


def _without_port(text: str) -> Address | None:
    # Some proxies (Azure's) write the client's port, too.
    ported = _PORTED.fullmatch(text)
    return address(text if ported is None else ported[1] or ported[2])


def is_trusted(peer: str, trusted: Networks) -> bool:
    """Whether what comes from there is a trusted proxy's."""
    found = address(peer)
    return found is not None and _trusted(found, trusted)


def _trusted(client: Address, trusted: Networks) -> bool:
    return any(client in proxies for proxies in trusted)


def _values(headers: RawHeaders, name: bytes) -> list[str]:
    return [
        part.strip()
        for key, value in headers
        if key == name
        for part in value.decode("latin-1").split(",")
        if part.strip()
    ]
