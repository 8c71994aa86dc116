"""What an open socket takes of the gateway's memory while nothing is said."""

import base64
import os
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import psutil

from bench.rawhttp import connect, read_head, request
from bench.stage import Stage
from bench.table import Table

USERS: Final = 40
EACH: Final = 10
# The first ones pay for what is made once.
FIRST: Final = 2
SETTLED_SECONDS: Final = 3.0
MOST_KB: Final = 40.0


@dataclass(frozen=True)
class Idle:
    """`sockets` of `USERS` people; kB that each added, ComfyUI's end of it in the same process
    included."""

    sockets: int
    kb_each: float


def idle(stage: Stage) -> Idle:
    """Open them, wait, look."""
    tokens = stage.people_with_models([[] for _ in range(USERS)])
    process = psutil.Process(stage.gateway.pid)
    with ExitStack() as stack:

        def opened(each: range) -> None:
            for number in each:
                for token in tokens:
                    stack.enter_context(_open(stage.gateway.port, token, f"idle-{number}"))
            time.sleep(SETTLED_SECONDS)

        opened(range(FIRST))
        before = process.memory_info().rss
        opened(range(FIRST, EACH))
        after = process.memory_info().rss
    number = USERS * (EACH - FIRST)
    return Idle(number, (after - before) / number / 1000)


def _open(port: int, token: str, client_id: str) -> socket.socket:
    sock = connect(port)
    handshake = request(
        "GET",
        f"/ws?clientId={client_id}",
        token,
        Connection="Upgrade",
        Upgrade="websocket",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key=base64.b64encode(os.urandom(16)).decode(),
    )
    sock.sendall(handshake)
    head, _ = read_head(sock)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise RuntimeError(f"no WebSocket: {head[:300]!r}")
    return sock


def table(found: Idle) -> Table:
    """One row."""
    columns = ("sockets that are open and say nothing", "memory of each")
    return Table("Idle sockets", columns, [(str(found.sockets), f"{found.kb_each:.0f} kB")])


def targets(found: Idle) -> list[tuple[str, bool, str]]:
    """(target, whether it is met, figure)."""
    good = found.kb_each <= MOST_KB
    return [(f"an idle socket: at most {MOST_KB:.0f} kB", good, f"{found.kb_each:.0f} kB")]
