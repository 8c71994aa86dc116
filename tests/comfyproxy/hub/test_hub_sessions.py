"""comfyproxy.hub: one upstream socket per id, whoever comes and goes at the worst moment."""

import asyncio

import pytest

from accounts.errors import UpstreamTimeout, UpstreamUnreachable
from comfyproxy import relaysession
from comfyproxy.hub import Hub
from tests.comfyproxy.upstreamsockets import ALICE, BOB, Client, Queue, Upstream, eventually, turns


async def test_clients_of_one_id_share_a_socket_and_others_have_their_own(
    hub: Hub, upstream: Upstream
) -> None:
    sessions = [
        await hub.attach(client)
        for client in (Client(ALICE), Client(ALICE), Client(ALICE, "other"), Client(BOB))
    ]
    assert sessions[0] is sessions[1]
    assert upstream.log == ["opened 0", "opened 1", "opened 2"]


async def test_clients_that_come_at_once_share_a_socket_too(hub: Hub, upstream: Upstream) -> None:
    clients = [Client() for _ in range(5)]
    sessions = await asyncio.gather(*(hub.attach(client) for client in clients))
    assert set(sessions) == {sessions[0]}
    assert upstream.log == ["opened 0"]
    assert [await client.kinds(1) for client in clients] == [["status"]] * 5


@pytest.mark.usefixtures("quick")
async def test_socket_is_kept_for_a_while_after_its_last_client_left(
    hub: Hub, upstream: Upstream
) -> None:
    first, second = Client(), Client()
    session = await hub.attach(first)
    session.remove(first)
    await asyncio.sleep(0.02)
    assert await hub.attach(second) is session
    await asyncio.sleep(0.08)
    assert upstream.log == ["opened 0"]
    session.remove(second)
    await eventually(upstream, "opened 0", "closed 0")
    assert hub._sessions == {}


async def test_newcomer_waits_until_the_old_socket_is_closed_for_good(
    hub: Hub, upstream: Upstream
) -> None:
    session = await hub.attach(Client())
    upstream.sockets[0].hold()
    session.stop()
    coming = [asyncio.ensure_future(hub.attach(Client())) for _ in range(3)]
    await turns()
    assert upstream.log == ["opened 0"]
    upstream.sockets[0].release()
    sessions = await asyncio.gather(*coming)
    assert upstream.log == ["opened 0", "closed 0", "opened 1"]
    assert set(sessions) == {sessions[0]} != {session}


@pytest.mark.usefixtures("quick")
async def test_nobody_waits_any_more_when_the_socket_is_open_and_it_is_given_up(
    hub: Hub, upstream: Upstream
) -> None:
    upstream.ready.clear()
    coming = asyncio.ensure_future(hub.attach(Client()))
    await turns()
    coming.cancel()
    await turns()
    upstream.ready.set()
    await eventually(upstream, "opened 0", "closed 0")
    assert hub._sessions == {}


async def test_comfyui_goes_away_and_every_client_is_told(hub: Hub, upstream: Upstream) -> None:
    clients = [Client(), Client()]
    for client in clients:
        session = await hub.attach(client)
    upstream.sockets[0].end()
    await turns()
    assert [client.codes for client in clients] == [[1012], [1012]]
    for client in clients:
        session.remove(client)
    assert await hub.attach(Client()) is not session
    assert upstream.log == ["opened 0", "closed 0", "opened 1"]


@pytest.mark.parametrize("failure", [UpstreamUnreachable(), UpstreamTimeout()], ids=repr)
@pytest.mark.parametrize("where", ["queue", "socket"])
async def test_comfyui_is_not_there_and_nothing_stays(
    where: str, failure: Exception, hub: Hub, upstream: Upstream, queue: Queue
) -> None:
    broken: Queue | Upstream = queue if where == "queue" else upstream
    broken.failure = failure
    results = await asyncio.gather(
        *(hub.attach(Client()) for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(failure)] * 3
    assert hub._sessions == {}
    assert relaysession.watch._listeners == {}
    broken.failure = None
    await hub.attach(Client())
    assert upstream.log == ["opened 0"]


async def test_comfyui_that_hangs_up_at_once_is_not_tried_for_ever(
    hub: Hub, upstream: Upstream
) -> None:
    upstream.ends_at_once = True
    with pytest.raises(UpstreamUnreachable):
        await hub.attach(Client())
    assert 1 <= len(upstream.sockets) <= 10
    assert hub._sessions == {}


async def test_server_stops_and_all_is_closed(hub: Hub, upstream: Upstream) -> None:
    clients = [Client(ALICE, str(number)) for number in range(3)]
    for client in clients:
        await hub.attach(client)
    await hub.close()
    assert [client.codes for client in clients] == [[1012]] * 3
