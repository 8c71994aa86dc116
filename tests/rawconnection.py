"""A client by hand: it may stop reading, stop sending, or hang up whenever a test says so."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from tests.client import Client


@contextlib.contextmanager
def connected(
    client: Client,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Iterator[socket.socket]:
    """A connection on which `client` has sent this and read nothing; closed at the end."""
    url = urlsplit(client.base_url)
    lines = [f"{method} {target} HTTP/1.1", f"Host: {url.netloc}"]
    if client.token is not None:
        lines.append(f"Authorization: Bearer {client.token}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    with socket.socket() as connection:
        # A small window, or the system would read on the test's behalf.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(10)
        connection.connect((url.hostname or "", url.port or 0))
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        yield connection


def exchange(base_url: str, data: bytes) -> bytes:
    """Send these bytes, whatever they are; all that comes back until the server closes."""
    url = urlsplit(base_url)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received
