"""comfyproxy.hub: whose a frame is, sockets that ComfyUI forgot, clients away or slow."""

import asyncio
import struct

import pytest
from django.db import DatabaseError

from accounts.errors import UpstreamUnreachable
from comfyproxy import relaysession
from comfyproxy.hub import Hub
from tests.comfyproxy.upstreamsockets import (
    ALICE,
    BOB,
    MINE,
    THEIRS,
    UNREACHABLE,
    Client,
    Owners,
    Upstream,
    eventually,
    turns,
)

TEXT = struct.pack(">II", 3, 1) + b"7whisper"


async def test_owner_who_is_not_known_by_heart_is_asked_for_once(
    hub: Hub, upstream: Upstream, owners: Owners
) -> None:
    alice = Client(ALICE)
    await hub.attach(alice)
    (socket,) = upstream.sockets
    for _ in range(3):
        for prompt_id in (MINE, THEIRS, "unknown", "33333333-3333-4333-8333-333333333333"):
            socket.event("progress", prompt_id=prompt_id, value=1, max=2)
    frames = await alice.received(4)
    assert [frame["data"].get("prompt_id") for frame in frames] == [None, MINE, MINE, MINE]
    assert await alice.nothing()
    assert sorted(owners.asked) == [MINE, THEIRS, "33333333-3333-4333-8333-333333333333"]


async def test_owner_of_a_prompt_on_its_way_is_known_and_not_remembered(
    hub: Hub, upstream: Upstream, owners: Owners
) -> None:
    """Another process submits it: ComfyUI may refuse it yet, and its id become another's."""
    owners.on_its_way = {MINE, THEIRS}
    alice = Client(ALICE)
    await hub.attach(alice)
    (socket,) = upstream.sockets
    for prompt_id in (MINE, THEIRS, MINE):
        socket.event("progress", prompt_id=prompt_id, value=1, max=2)
    frames = await alice.received(3)
    assert [frame["data"].get("prompt_id") for frame in frames] == [None, MINE, MINE]
    assert owners.asked == [MINE, THEIRS, MINE]


async def test_database_that_does_not_answer_costs_the_frame_and_not_the_socket(
    hub: Hub, upstream: Upstream, owners: Owners
) -> None:
    alice = Client(ALICE)
    await hub.attach(alice)
    await alice.received(1)
    owners.failure = DatabaseError("locked")
    upstream.sockets[0].event("progress", prompt_id=MINE, value=1)
    await asyncio.sleep(0.05)
    owners.failure = None
    upstream.sockets[0].event("progress", prompt_id=MINE, value=2)
    (frame,) = await alice.received(1)
    assert frame["data"]["value"] == 2
    assert alice.codes == []


@pytest.mark.usefixtures("quick")
async def test_socket_that_hears_of_no_accepted_prompt_is_opened_anew(
    hub: Hub, upstream: Upstream
) -> None:
    alice = Client(ALICE)
    await hub.attach(alice)
    upstream.sockets[0].hold()
    with hub.submission(BOB, THEIRS) as accepted:
        accepted()
    await asyncio.sleep(0.1)
    # Being closed, and not yet: no other before that.
    assert upstream.log == ["opened 0"]
    upstream.sockets[0].release()
    await eventually(upstream, "opened 0", "closed 0", "opened 1")
    await turns()
    upstream.sockets[1].event("execution_start", prompt_id=MINE)
    assert await alice.kinds(2) == ["status", "execution_start"]
    assert alice.codes == []
    assert "supports_preview_metadata" in str(upstream.sockets[1].sent)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("when", ["before the answer", "after the answer"])
async def test_socket_that_heard_of_it_stays(when: str, hub: Hub, upstream: Upstream) -> None:
    """ComfyUI sends `status` while it takes the prompt, so mostly before its answer is here;
    another comes only when the prompt begins to run, which may take hours."""
    await hub.attach(Client(ALICE))
    (socket,) = upstream.sockets
    with hub.submission(BOB, THEIRS) as accepted:
        if when == "before the answer":
            socket.event("status", status={"exec_info": {"queue_remaining": 9}})
            await turns()
        accepted()
    if when == "after the answer":
        socket.event("status", status={"exec_info": {"queue_remaining": 9}})
    await asyncio.sleep(0.12)
    assert upstream.log == ["opened 0"]


@pytest.mark.usefixtures("quick")
async def test_refused_prompt_closes_nothing(hub: Hub, upstream: Upstream) -> None:
    await hub.attach(Client(ALICE))
    with hub.submission(ALICE, MINE):
        pass
    with pytest.raises(UpstreamUnreachable), hub.submission(ALICE, MINE):
        raise UNREACHABLE
    await asyncio.sleep(0.1)
    assert upstream.log == ["opened 0"]
    assert relaysession.watch._unseen == {}


@pytest.mark.usefixtures("quick")
async def test_broadcasts_after_a_reopening_are_nobodys(hub: Hub, upstream: Upstream) -> None:
    """The end of the run may have been missed: what comes without an id now may be anybody's."""
    alice = Client(ALICE)
    await hub.attach(alice)
    upstream.sockets[0].event("execution_start", prompt_id=MINE)
    upstream.sockets[0].event("execution_cached", prompt_id=MINE, nodes=["7"])
    upstream.sockets[0].frame(TEXT)
    assert await alice.kinds(4) == ["status", "execution_start", "execution_cached", "binary"]
    with hub.submission(BOB, THEIRS) as accepted:
        accepted()
    await eventually(upstream, "opened 0", "closed 0", "opened 1")
    upstream.sockets[1].frame(TEXT)
    assert await alice.nothing()


async def test_too_much_missed_is_not_kept_and_the_newcomer_starts_afresh(
    hub: Hub, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaysession, "MISSED_LIMIT_BYTES", 1000)
    alice = Client(ALICE)
    session = await hub.attach(alice)
    session.remove(alice)
    for _ in range(20):
        upstream.sockets[0].event("progress", prompt_id=MINE, pad="x" * 100)
    await eventually(upstream, "opened 0", "closed 0")
    back = Client(ALICE)
    assert await hub.attach(back) is not session
    assert await back.kinds(1) == ["status"]
    assert await back.nothing()


async def test_client_that_takes_nothing_is_told_to_go_and_the_others_stay(
    hub: Hub, upstream: Upstream
) -> None:
    slow, other = Client(ALICE), Client(ALICE)
    for client in (slow, other):
        await hub.attach(client)
    await other.received(1)
    for _ in range(9):
        upstream.sockets[0].event("progress", prompt_id=MINE, pad="x" * 1_000_000)
        await other.received(1)
    assert slow.codes[:1] == [1013]
    assert other.codes == []
