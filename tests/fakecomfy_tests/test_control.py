"""The command line, the /_fake/ and /_bench/ routes, and the record of requests."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakecomfy import FakeComfyThread

from .graphs import post, run, save, wait_idle
from .replay import send
from .sockets import connect

ROOT = Path(__file__).parents[2]
Start = Callable[..., "tuple[subprocess.Popen[str], str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program; (process, url)."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*options: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "tests.fakecomfy", "--port", "0"]
        process = subprocess.Popen(
            [*command, "--base-dir", str(tmp_path / "base"), *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("fakecomfy listening on http://127.0.0.1:")
        return process, line.split()[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_program_gets_signal_ends_cleanly_within_a_second(start: Start, number: int) -> None:
    process, url = start("--seed", "--control")
    run(url, save())
    with socket.create_connection(("127.0.0.1", int(url.split(":")[-1]))) as waiting:
        waiting.sendall(b"POST /prompt HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        send(url, "POST", "/_fake/hang")
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=3) == 0
    assert time.monotonic() - started < 1


def test_program_gets_list_as_client_id_exits(start: Start) -> None:
    process, url = start()
    assert post(url, save(), client_id=[]).status == 200
    assert process.wait(timeout=3) == 1


def test_program_without_control_has_no_fake_routes(start: Start) -> None:
    _, url = start()
    assert send(url, "GET", "/_fake/requests").status == 404
    assert send(url, "POST", "/_fake/die").status == 405


def test_program_records_requests_for_other_processes(start: Start) -> None:
    _, url = start("--control")
    send(url, "GET", "/queue?x=%41", headers={"X-Odd": "1"})
    (record,) = send(url, "GET", "/_fake/requests").json()
    assert (record["method"], record["path"], record["status"]) == ("GET", "/queue?x=%41", 200)
    assert ["X-Odd", "1"] in record["headers"]
    send(url, "POST", "/_fake/clear")
    assert send(url, "GET", "/_fake/requests").json() == []


def test_program_is_paused_and_killed_over_http(start: Start) -> None:
    _, url = start("--control")
    send(url, "POST", "/_fake/pause")
    post(url, save(), prompt_id="p")
    time.sleep(0.1)
    assert len(send(url, "GET", "/queue").json()["queue_pending"]) == 1
    send(url, "POST", "/_fake/resume")
    wait_idle(url)
    send(url, "POST", "/_fake/die")
    post(url, save(1), prompt_id="q")
    time.sleep(0.2)
    assert send(url, "GET", "/_fake/state").json()["worker_alive"] is False
    assert list(send(url, "GET", "/history").json()) == ["p"]


def test_next_request_hangs_and_others_are_answered(base: Path) -> None:
    with FakeComfyThread(base, control=True) as server:
        send(server.url, "POST", "/_fake/hang")
        with socket.create_connection(("127.0.0.1", server.port)) as waiting:
            waiting.sendall(b"GET /queue HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.1)
            assert send(server.url, "GET", "/queue").status == 200
            waiting.settimeout(0.1)
            with pytest.raises(TimeoutError):
                waiting.recv(1)


async def test_events_are_emitted_to_one_or_all(base: Path) -> None:
    with FakeComfyThread(base, control=True) as server:
        async with aiohttp.ClientSession() as session:
            a = await connect(session, server.ws_url, "a", flags=False)
            b = await connect(session, server.ws_url, "b", flags=False)
            body = {"sid": "a", "event": "only.a", "data": {"x": 1}}
            await session.post(f"{server.url}/_fake/emit", json=body)
            await session.post(f"{server.url}/_fake/emit", json={**body, "sid": None})
            frame = b"\0\0\0\1\0\0\0\1picture"
            await session.post(f"{server.url}/_fake/emit_binary?sid=b", data=frame)
            await a.wait_frames(3)
            await b.wait_frames(3)
            assert a.frames[1:] == [{"type": "only.a", "data": {"x": 1}}] * 2
            assert b.frames[1:] == [{"type": "only.a", "data": {"x": 1}}, frame]


def test_record_holds_what_was_sent(fake: FakeComfyThread) -> None:
    body = b"x" * 100_000
    headers = {"Cookie": "a=b", "x-Custom": "v", "X-CUSTOM": "w"}
    send(fake.url, "POST", "/userdata/a%2Fb.txt?q=%20", body, headers)
    (record,) = fake.requests
    assert (record.method, record.path) == ("POST", "/userdata/a%2Fb.txt?q=%20")
    assert record.body_size == len(body)
    assert len(record.body) == 64 * 1024
    assert record.body_sha256 == sha256(body).hexdigest()
    assert [name for name, _ in record.headers if name.lower() == "x-custom"] == [
        "x-Custom",
        "X-CUSTOM",
    ]
    assert record.header("cookie") == "a=b"
    assert record.status == 200
    fake.clear_requests()
    assert fake.requests == []


def test_record_tells_when_the_body_began(fake: FakeComfyThread) -> None:
    with socket.create_connection(("127.0.0.1", fake.port)) as client:
        head = b"POST /userdata/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
        client.sendall(head)
        time.sleep(0.1)
        assert fake.requests[0].first_body_at is None
        client.sendall(b"ab")
        time.sleep(0.1)
        first = fake.requests[0].first_body_at
        assert first is not None
        assert fake.requests[0].body == b"ab"
        client.sendall(b"cd")
        client.recv(1000)
    assert fake.requests[0].body == b"abcd"
    assert fake.requests[0].first_body_at == first


async def test_record_holds_socket_frames(fake: FakeComfyThread) -> None:
    async with aiohttp.ClientSession() as session:
        client = await connect(session, fake.ws_url, "a")
        await client.socket.send_bytes(b"\1\2")
        await asyncio.sleep(0.05)
        await client.close()
    await asyncio.sleep(0.05)
    records = fake.requests
    assert [r.kind for r in records] == ["http", "ws_open", "ws_frame", "ws_frame", "ws_close"]
    assert records[0].header("Upgrade") == "websocket"
    assert json.loads(records[2].text)["type"] == "feature_flags"
    assert (records[3].opcode, records[3].body, records[3].sid) == ("binary", b"\1\2", "a")


def test_record_outlives_restart_and_memory_does_not(fake: FakeComfyThread) -> None:
    run(fake.url, save(), prompt_id="p")
    port = fake.port
    fake.restart()
    assert fake.port == port
    assert send(fake.url, "GET", "/history").json() == {}
    assert any(r.path == "/prompt" for r in fake.requests)


def test_dead_worker_is_seen_and_healed_by_restart(fake: FakeComfyThread) -> None:
    fake.die()
    post(fake.url, save(), prompt_id="p")
    time.sleep(0.1)
    assert not fake.worker_alive
    fake.restart()
    assert run(fake.url, save())["status"]["completed"]


async def test_bench_mode_streams_and_seeds_and_runs_nothing(base: Path) -> None:
    with FakeComfyThread(base, bench=True) as server:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{server.url}/_bench/bytes?n=3000001") as answer:
                assert answer.headers["Content-Length"] == "3000001"
                assert len(await answer.read()) == 3000001
            body = {"count": 30, "owner_prefix": "u"}
            await session.post(f"{server.url}/_bench/seed", json=body)
            async with session.get(f"{server.url}/queue") as answer:
                pending = (await answer.json())["queue_pending"]
            assert len(pending) == 30
            assert pending[0][3]["client_id"] == "u-0"
            async with session.get(f"{server.url}/history?max_items=64") as answer:
                assert len(await answer.json()) == 30
            client = await connect(session, server.ws_url, "a", flags=False)
            count = len(client.frames)
            data = {"prompt_id": "P", "n": 7, "size": 3}
            await client.socket.send_json({"type": "bench_echo", "data": data})
            await client.wait_frames(count + 1)
            want = {"value": 7, "max": 7, "prompt_id": "P", "node": "1", "pad": "xxx"}
            assert client.frames[-1] == {"type": "progress", "data": want}
            data = {"prompt_id": "P", "count": 500, "size": 100}
            await client.socket.send_json({"type": "bench_burst", "data": data})
            await client.wait_frames(count + 501)
        assert server.requests == []


async def test_bench_mode_offers_as_many_models_and_nodes_as_it_is_told(base: Path) -> None:
    with FakeComfyThread(base, bench=True) as server:
        async with aiohttp.ClientSession(server.url) as session:

            async def get(path: str) -> Any:
                async with session.get(path) as answer:
                    return await answer.json()

            for models, size in ((40, 150_000), (60, 150_000)):
                wish = {"models": models, "bytes": size}
                await session.post("/_bench/models", json=wish)
                names = [
                    n for folder in await get("/models") for n in await get(f"/models/{folder}")
                ]
                assert len([name for name in names if name.startswith("group ")]) == models
                info = await get("/object_info")
                assert size <= len(json.dumps(info)) < 1.2 * size
                listed = info["Crowd_loras_0"]["input"]["required"]["name"][0]
                assert listed == await get("/models/loras")
