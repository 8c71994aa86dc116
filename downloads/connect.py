"""Connections for `requests` that go only where a download may: the address is judged, then used.

A name is resolved once. Every address it has is judged, and the connection is made to one of
those very addresses, so that a second, different answer of DNS is never asked for. TLS still
checks the certificate against the name.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from downloads import publicaddress
from downloads.errors import BlockedAddress
from downloads.watch import Watch

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
Connect: TypeAlias = Callable[[tuple[str, int], float | None], socket.socket]
Watched: TypeAlias = Callable[[socket.socket], None]


def resolve_name(host: str, port: int) -> list[str]:
    """Every address of a name, in the system's order.

    Raises:
        OSError: the name is unknown
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def connect_to(address: tuple[str, int], timeout: float | None) -> socket.socket:
    """A TCP connection to an address (never a name)."""
    return create_connection(
        address, timeout, socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    )


def checked_addresses(host: str, port: int, loopback: bool, resolve: Resolve) -> list[str]:
    """The addresses to connect to for a host.

    Raises:
        BlockedAddress: one of them is not public (or, with `loopback`, not this machine)
        OSError: the name is unknown
    """
    found = list(resolve(host, port))
    if not found:
        raise OSError(f"{host} has no address")
    for text in found:
        address = publicaddress.parse(text)
        if address is None:
            raise BlockedAddress
        # One bad address condemns the name: which of them would be used is chance.
        if not (address.is_loopback if loopback else publicaddress.is_public(address)):
            raise BlockedAddress
    return found


class GuardedAdapter(HTTPAdapter):
    """Makes connections to judged addresses only.

    Plain HTTP connections are for this machine alone (`downloads.web` lets no other plain URL
    through); TLS connections are for public addresses alone. `watch` is told of those in use.
    """

    def __init__(self, resolve: Resolve = resolve_name, connect: Connect = connect_to) -> None:
        self._resolve = resolve
        self._connect = connect
        self.watch: Watch | None = None
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._resolve, self._connect, self._in_use)

    def _in_use(self, connection: socket.socket) -> None:
        if self.watch is not None:
            self.watch.add(connection)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        # A proxy would resolve the name itself, and nobody would judge the address.
        raise BlockedAddress


def _open(
    connection: HTTPConnection, loopback: bool, resolve: Resolve, connect: Connect
) -> socket.socket:
    """The socket for a connection; errors in urllib3's own classes, which `requests` knows."""
    timeout = connection.timeout if isinstance(connection.timeout, int | float) else None
    host = connection.host.strip("[]")
    port = connection.port
    try:
        addresses = checked_addresses(host, port, loopback, resolve)
    except socket.gaierror as error:
        raise NameResolutionError(host, connection, error) from error
    except OSError as error:
        raise NewConnectionError(connection, str(error)) from error
    failure: OSError | None = None
    # A name may have dozens, each good for a full timeout.
    for address in addresses[:4]:
        try:
            return connect((address, port), timeout)
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, str(failure)) from failure
    raise NewConnectionError(connection, str(failure)) from failure


def _pools(resolve: Resolve, connect: Connect, in_use: Watched) -> dict[str, Any]:
    """urllib3 chooses a connection's class by the pool's, and hands nothing else through."""

    def opened(connection: HTTPConnection, loopback: bool) -> socket.socket:
        made = _open(connection, loopback, resolve, connect)
        try:
            in_use(made)
        except BaseException:
            made.close()
            raise
        return made

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return opened(self, True)

        def request(self, *args: Any, **kwargs: Any) -> None:
            if self.sock is not None:
                in_use(self.sock)
            super().request(*args, **kwargs)

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return opened(self, False)

        def request(self, *args: Any, **kwargs: Any) -> None:
            if self.sock is not None:
                in_use(self.sock)
            super().request(*args, **kwargs)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}
