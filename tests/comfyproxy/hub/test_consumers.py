"""comfyproxy.consumers: however a client's connection ends, it leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError

from accounts import iprules
from accounts.errors import IpBlocked, TokenRevoked
from accounts.identity import Identity
from comfyproxy import clientsocket, consumers
from comfyproxy.consumers import SocketConsumer
from comfyproxy.gate import SCOPE_KEY, Admitted
from comfyproxy.hub import Hub
from comfyproxy.outbox import Outbox
from comfyproxy.paths import canonical
from comfyproxy.policy import Match
from comfyproxy.routes import ROUTES
from tests.comfyproxy.upstreamsockets import ALICE, MINE, Upstream, identity, turns


class Connection:
    """The server's side of one client: what the consumer is told and what it sends."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.writable = asyncio.Event()
        self.writable.set()
        scope = {
            "type": "websocket",
            "client": ("192.0.2.7", 4711),
            "query_string": b"clientId=tab",
            "headers": [],
            SCOPE_KEY: Admitted(Match(ROUTES[0]), canonical(b"/ws"), identity(ALICE)),
        }
        self.inbox.put_nowait({"type": "websocket.connect"})
        serve = SocketConsumer.as_asgi()
        self.task = asyncio.ensure_future(serve(scope, self.inbox.get, self.send))

    async def send(self, message: dict[str, Any]) -> None:
        await self.writable.wait()
        if self.failure is not None:
            raise self.failure
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self.inbox.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    @property
    def types(self) -> list[str]:
        return [message["type"].removeprefix("websocket.") for message in self.sent]

    async def has_sent(self, *types: str) -> None:
        async with asyncio.timeout(2):
            while self.types != list(types):
                await asyncio.sleep(0.001)

    async def ended(self) -> None:
        async with asyncio.timeout(2):
            await self.task


@pytest.fixture
async def connect(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[], Connection]]:
    made: list[Connection] = []

    def new() -> Connection:
        made.append(Connection())
        return made[-1]

    async def identify(credential: object, address: object) -> Identity:
        return identity(ALICE)

    monkeypatch.setattr(consumers, "hub", hub)
    monkeypatch.setattr(clientsocket, "Outbox", partial(Outbox, event_limit=1000))

    async def everybody(address: str) -> None:
        assert address == "192.0.2.7"

    monkeypatch.setattr(consumers, "identify", identify)
    monkeypatch.setattr(iprules, "require_admitted", everybody)
    monkeypatch.setattr(consumers, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.02)
    yield new
    for connection in made:
        assert connection.task.done()
    assert [session.sockets for session in hub._sessions.values() if session.sockets] == []


async def test_client_leaves_and_its_session_waits_for_it(
    connect: Callable[[], Connection], hub: Hub
) -> None:
    connection = connect()
    await connection.has_sent("accept", "send")
    (session,) = hub._sessions.values()
    assert len(session.sockets) == 1
    connection.inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
    await connection.ended()
    assert session.sockets == set()
    assert not session.stopping


async def test_client_that_takes_nothing_is_given_up(
    connect: Callable[[], Connection], upstream: Upstream
) -> None:
    connection = connect()
    await connection.has_sent("accept", "send")
    connection.writable.clear()
    for _ in range(20):
        upstream.sockets[0].event("progress", prompt_id=MINE, pad="x" * 100)
    # Not even the closing frame goes out; the server drops the connection when this returns.
    await connection.ended()
    assert connection.types == ["accept", "send"]


async def test_slow_client_that_reads_again_is_told_to_try_later(
    connect: Callable[[], Connection], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CLOSE_SECONDS", 5)
    connection = connect()
    await connection.has_sent("accept", "send")
    connection.writable.clear()
    for _ in range(20):
        upstream.sockets[0].event("progress", prompt_id=MINE, pad="x" * 100)
    await asyncio.sleep(0.1)
    connection.writable.set()
    await connection.ended()
    assert connection.sent[-1] == {"type": "websocket.close", "code": 1013}


@pytest.mark.parametrize("failure", [OSError("gone"), RuntimeError("closed")], ids=repr)
async def test_connection_that_fails_silently_is_noticed_at_the_next_frame(
    failure: Exception, connect: Callable[[], Connection], upstream: Upstream
) -> None:
    connection = connect()
    await connection.has_sent("accept", "send")
    connection.failure = failure
    upstream.sockets[0].event("progress", prompt_id=MINE)
    await connection.ended()


async def test_client_that_is_gone_before_it_is_accepted_stays_nowhere(
    connect: Callable[[], Connection], hub: Hub
) -> None:
    connection = connect()
    connection.failure = OSError("gone")
    await connection.ended()
    assert connection.sent == []
    (session,) = hub._sessions.values()
    assert session.sockets == set()


async def test_server_that_stops_ends_it_as_well(connect: Callable[[], Connection]) -> None:
    connection = connect()
    await connection.has_sent("accept", "send")
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.task


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (TokenRevoked(), 4401),
        (IpBlocked(), 4403),
        (DatabaseError("locked"), 1012),
        (replace(identity(ALICE), capabilities=frozenset()), 4403),
    ],
    ids=["revoked", "not from there any more", "no database", "demoted"],
)
async def test_open_socket_is_asked_again_who_it_is(
    answer: Any,
    code: int,
    connect: Callable[[], Connection],
    monkeypatch: pytest.MonkeyPatch,
    upstream: Upstream,
) -> None:
    connection = connect()
    await connection.has_sent("accept", "send")

    async def identify(credential: object, address: object) -> Identity:
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Identity)
        return answer

    await asyncio.sleep(0.05)
    assert not connection.task.done()
    monkeypatch.setattr(consumers, "identify", identify)
    await connection.ended()
    assert connection.sent[-1] == {"type": "websocket.close", "code": code}
    # Nothing more comes, whatever is said upstream.
    before = len(connection.sent)
    upstream.sockets[0].event("progress", prompt_id=MINE)
    await turns()
    assert len(connection.sent) == before


@pytest.mark.parametrize(
    ("failure", "code"),
    [(IpBlocked(), 4403), (DatabaseError("locked"), 1012)],
    ids=["blocked", "no database"],
)
async def test_open_socket_ends_when_its_address_is_blocked(
    failure: Exception,
    code: int,
    connect: Callable[[], Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = connect()
    await connection.has_sent("accept", "send")

    async def nobody(address: str) -> None:
        raise failure

    monkeypatch.setattr(iprules, "require_admitted", nobody)
    await connection.ended()
    assert connection.sent[-1] == {"type": "websocket.close", "code": code}


async def test_open_socket_ends_when_the_database_does_not_answer(
    connect: Callable[[], Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    await connection.has_sent("accept", "send")

    async def wait(credential: object, address: object) -> Identity:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(consumers, "DATABASE_SECONDS", 0.05, raising=False)
    monkeypatch.setattr(consumers, "identify", wait)
    await connection.ended()
    assert connection.sent[-1] == {"type": "websocket.close", "code": 1012}
