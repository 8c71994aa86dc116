"""Makes sure that a test speaks with each of a gateway's web processes.

Who accepts a connection is chance, and where little happens often the same: the others are put to
sleep for that moment.
"""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Self

import psutil

from tests.client import Client
from tests.gateway import Gateway
from tests.listener import Listener

# Until a connection was surely accepted by whoever is awake.
ACCEPTED_SECONDS = 0.3


class NotConnectedError(Exception):
    """A connection is not there, or not any more."""


def process_of(gateway: Gateway, port: int) -> int:
    """The pid of the web process at the other end of a client's connection from that port.

    Raises:
        NotConnectedError
    """
    for process in gateway.processes:
        if process.poll() is not None:
            continue
        for connection in psutil.Process(process.pid).net_connections("tcp"):
            if connection.raddr and connection.raddr.port == port:
                return process.pid
    raise NotConnectedError


@contextmanager
def only(gateway: Gateway, pid: int) -> Iterator[None]:
    """Only that web process is awake."""
    others = [process.pid for process in gateway.processes if process.pid != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def clients(gateway: Gateway, token: str, **headers: str) -> list[Client]:
    """A client for each web process, whose connection stays with it."""
    found = []
    for process in gateway.processes:
        client = Client(gateway.url, token)
        client.headers.update(headers)
        with only(gateway, process.pid):
            client.get("/mss-login/api/is-https", stream=True).close()
            with client.get("/mss-login/api/is-https", stream=True) as answer:
                port = answer.raw._connection.sock.getsockname()[1]
                answer.content  # noqa: B018 - read to its end, so that the connection stays
        assert process_of(gateway, port) == process.pid
        found.append(client)
    return found


class Sockets:
    """Sockets of one client id, one in each web process."""

    def __init__(self, gateway: Gateway, client: Client, client_id: str) -> None:
        self._gateway, self._client, self._client_id = gateway, client, client_id
        self._stack = ExitStack()
        self.by_process: dict[int, Listener] = {}

    def __enter__(self) -> Self:
        with ThreadPoolExecutor(1) as pool:
            for process in self._gateway.processes:
                with only(self._gateway, process.pid):
                    # The session may be in another process, which has to answer.
                    opening = pool.submit(Listener, self._client, self._client_id)
                    time.sleep(ACCEPTED_SECONDS)
                socket = self._stack.enter_context(opening.result())
                port = socket.socket.socket.getsockname()[1]
                assert process_of(self._gateway, port) == process.pid
                self.by_process[process.pid] = socket
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()
