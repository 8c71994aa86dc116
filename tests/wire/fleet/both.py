"""Makes sure that a test speaks with each of a gateway's web processes: who accepts a connection is
chance."""

from contextlib import ExitStack
from typing import Self

import psutil

from tests.client import Client
from tests.gateway import Gateway
from tests.listener import Listener

ATTEMPTS = 60
# The most sockets of one id.
MAX_SOCKETS = 20


def process_of(gateway: Gateway, port: int) -> int:
    """The pid of the web process at the other end of a client's connection from that port."""
    for process in gateway.processes:
        if process.poll() is not None:
            continue
        for connection in psutil.Process(process.pid).net_connections("tcp"):
            if connection.raddr and connection.raddr.port == port:
                return process.pid
    raise AssertionError("no web process has that connection")


def clients(gateway: Gateway, token: str, **headers: str) -> list[Client]:
    """A client for each web process, whose connection stays with it."""
    found: dict[int, Client] = {}
    for _ in range(ATTEMPTS):
        client = Client(gateway.url, token)
        client.headers.update(headers)
        with client.get("/mss-login/api/is-https", stream=True) as answer:
            port = answer.raw._connection.sock.getsockname()[1]
            pid = process_of(gateway, port)
            answer.content  # noqa: B018 - read to its end, so that the connection stays
        found.setdefault(pid, client)
        if len(found) == len(gateway.processes):
            return list(found.values())
    raise AssertionError("one web process accepts nothing")


class Sockets:
    """Sockets of one client id, one in each web process."""

    def __init__(self, gateway: Gateway, client: Client, client_id: str) -> None:
        self._gateway, self._client, self._client_id = gateway, client, client_id
        self._stack = ExitStack()
        self.by_process: dict[int, Listener] = {}

    def __enter__(self) -> Self:
        for _ in range(MAX_SOCKETS):
            socket = Listener(self._client, self._client_id)
            pid = process_of(self._gateway, socket.socket.socket.getsockname()[1])
            if pid in self.by_process:
                # Kept open meanwhile: the next one may find the other process idle.
                self._stack.callback(socket.close)
            else:
                self.by_process[pid] = self._stack.enter_context(socket)
            if len(self.by_process) == len(self._gateway.processes):
                return self
        raise AssertionError("one web process accepts no socket")

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()
