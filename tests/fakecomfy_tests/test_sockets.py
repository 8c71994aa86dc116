"""The socket table: ids, takeover, reconnects, limits, and the one loop that waits for all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakecomfy import FakeComfy

from .graphs import save, slow
from .replay import load
from .sockets import FLAGS, Client, connect, history, post

RECORDED = load("events.json")
Session = aiohttp.ClientSession


async def test_client_connects_without_id_gets_one_made_up(
    comfy: FakeComfy, session: Session
) -> None:
    for url in (comfy.ws_url, comfy.ws_url + "?clientId="):
        client = await connect(session, url, flags=False)
        assert re.fullmatch("[0-9a-f]{32}", client.frames[0]["data"]["sid"])


async def test_client_connects_with_odd_ids_they_are_taken(
    comfy: FakeComfy, session: Session
) -> None:
    odd = await connect(session, comfy.ws_url, "x y/ü", flags=False)
    repeated = await connect(session, comfy.ws_url + "?clientId=one&clientId=two", flags=False)
    api = await connect(session, f"{comfy.url}/api/ws", "api-path", flags=False)
    sids = [c.frames[0]["data"]["sid"] for c in (odd, repeated, api)]
    assert sids == ["x y/ü", "one", "api-path"]


async def test_client_sends_flags_only_the_first_message_counts(
    comfy: FakeComfy, session: Session
) -> None:
    client = await connect(session, comfy.ws_url, "client-a")
    assert client.frames[1] == {
        "type": "feature_flags",
        "data": {"supports_preview_metadata": True, "max_upload_size": 104857600},
    }
    for message in (json.dumps(FLAGS), "not json", "[1]", '{"type": "whatever"}'):
        await client.socket.send_str(message)
    await asyncio.sleep(0.05)
    assert len(client.frames) == 2
    assert not client.closed
    late = await connect(session, comfy.ws_url, "late", flags=False)
    await late.socket.send_str('{"type": "whatever"}')
    await late.socket.send_json(FLAGS)
    await asyncio.sleep(0.05)
    assert len(late.frames) == 1


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("http://127.0.0.1:1", 403)]
)
async def test_foreign_page_connects_is_refused(
    comfy: FakeComfy, session: Session, origin: str, status: int
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect(comfy.ws_url, headers={"Origin": origin})
    assert refused.value.status == status


async def test_own_page_connects_is_accepted(comfy: FakeComfy, session: Session) -> None:
    socket = await session.ws_connect(comfy.ws_url, headers={"Origin": comfy.url})
    assert (await socket.receive_json())["type"] == "status"


async def test_client_offers_deflate_it_is_used(comfy: FakeComfy, session: Session) -> None:
    plain = await session.ws_connect(comfy.ws_url)
    packed = await session.ws_connect(comfy.ws_url, compress=15)
    assert (plain.compress, packed.compress) == (0, 15)
    assert (await packed.receive_json())["type"] == "status"


async def test_second_socket_takes_over_and_is_forgotten_with_the_first(
    comfy: FakeComfy, session: Session
) -> None:
    (recorded,) = [v for k, v in RECORDED.items() if k.startswith("two sockets")]
    first = await connect(session, comfy.ws_url, "same-id")
    second = await connect(session, comfy.ws_url, "same-id")
    await post(session, comfy.url, save(), client_id="same-id")
    await second.wait_frames(len(recorded["second"]))
    assert second.compact == recorded["second"]
    assert first.compact == recorded["first"]
    assert not first.closed
    await first.close()
    await asyncio.sleep(0.05)
    await post(session, comfy.url, save(1), client_id="same-id")
    await asyncio.sleep(0.2)
    assert len(second.frames) == len(recorded["second"])
    assert not second.closed


async def test_client_reconnects_during_its_run_stream_goes_on(
    comfy: FakeComfy, session: Session
) -> None:
    (recorded,) = [v for k, v in RECORDED.items() if k.startswith("client reconnects")]
    before = await connect(session, comfy.ws_url, "client-r")
    await post(session, comfy.url, slow(1.2, 4), client_id="client-r")
    await before.wait_for(lambda c: c.compact[-1] == ["progress", "2", 1, 4])
    assert before.compact == recorded["before"]
    await before.close()
    after = await connect(session, comfy.ws_url, "client-r")
    await after.wait_frames(len(recorded["after"]))
    assert after.compact == recorded["after"]
    assert after.frames[1]["data"] == {"node": "2"}


async def test_client_sends_more_than_4_mib_is_cut(comfy: FakeComfy, session: Session) -> None:
    socket = await session.ws_connect(comfy.ws_url)
    await socket.receive()
    with contextlib.suppress(ConnectionError):  # cut while still sending
        await socket.send_str("x" * (4 * 1024 * 1024 + 1))
    message = await socket.receive(timeout=5)
    assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert socket.close_code in (1006, 1009)


async def test_unread_socket_stalls_everyones_events(comfy: FakeComfy, session: Session) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", comfy.port)
    key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    writer.write(f"GET /ws?clientId=lazy HTTP/1.1\r\nHost: 127.0.0.1\r\n{key}".encode())
    await reader.readuntil(b"\r\n\r\n")
    b = await connect(session, comfy.ws_url, "client-b")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(20):
        comfy.emit_binary(b"\0\0\0\1\0\0\0\1" + b"x" * 2**20, "lazy")
    comfy.emit("for.everyone", {})
    await asyncio.sleep(0.3)
    assert b.compact[-1] != ["for.everyone"]
    # HTTP goes on meanwhile.
    assert (await session.get(f"{comfy.url}/queue")).status == 200
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    drain = asyncio.create_task(reader.read(-1))
    await b.wait_for(lambda c: c.compact[-1] == ["for.everyone"])
    drain.cancel()
    writer.close()


async def test_server_restarts_sockets_break_and_memory_is_lost(
    base: Path, session: Session
) -> None:
    first = FakeComfy(base)
    await first.start()
    client = await connect(session, first.ws_url, "client-a")
    prompt_id = await post(session, first.url, save(), client_id="client-a")
    await client.wait_for(lambda c: c.compact[-1] == ["executing", None])
    assert await history(session, first.url, prompt_id)
    await first.stop()
    await client.wait_for(lambda c: c.closed)
    assert client.socket.close_code in (None, 1006)
    async with FakeComfy(base, port=first.port) as second:
        again = await connect(session, second.ws_url, "client-a")
        assert await history(session, second.url, prompt_id) is None
        await post(session, second.url, save(3), client_id="client-a")
        await again.wait_for(lambda c: c.compact[-1] == ["executing", None])


def _log_texts(client: Client) -> list[str]:
    frames = [f for f in client.frames if isinstance(f, dict) and f["type"] == "logs"]
    return [entry["m"] for frame in frames for entry in frame["data"]["entries"]]


async def test_client_subscribes_to_logs_reads_everyones_lines(
    comfy: FakeComfy, session: Session
) -> None:
    body: dict[str, Any] = {"clientId": "client-l", "enabled": True}
    client = await connect(session, comfy.ws_url, "client-l", flags=False)
    await session.patch(f"{comfy.url}/internal/logs/subscribe", json=body)
    await post(session, comfy.url, save(), client_id="somebody else")
    await client.wait_for(lambda c: any("Prompt executed" in t for t in _log_texts(c)))
    assert _log_texts(client)[0] == "got prompt\n"
    seen = len(_log_texts(client))
    await session.patch(f"{comfy.url}/internal/logs/subscribe", json={**body, "enabled": False})
    await post(session, comfy.url, save(1))
    await asyncio.sleep(0.1)
    assert len(_log_texts(client)) == seen
