"""comfyproxy.handlers.prompts: a client that hangs up while ComfyUI is being asked."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
import pytest

from accounts.errors import QuotaExceeded, TokenRevoked, UpstreamUnreachable
from comfyproxy import catalog, ownership, upstream
from comfyproxy.calls import Call
from comfyproxy.catalog import Catalog
from comfyproxy.filters.models import KnownModels
from comfyproxy.filters.queue import Ownership
from comfyproxy.handlers import prompts
from comfyproxy.paths import canonical
from comfyproxy.queuewatch import Snapshot
from tests.comfyproxy.upstreamsockets import ALICE, MINE, identity, turns


class World:
    """What became of the record, and a ComfyUI that answers when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.record: list[str] = []
        self.user_is_there = True
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        known = Catalog.read({"N": {}}, KnownModels(), frozenset(), 0.0)

        async def current() -> Catalog:
            return known

        async def record(*args: Any, **seen: Any) -> tuple[str, int]:
            self.record.append("written")
            return MINE, 0

        async def accepted(prompt_id: str, user_id: int) -> bool:
            self.record.append("accepted" if self.user_is_there else "gone")
            return self.user_is_there

        async def cancel(prompt_ids: list[str]) -> set[str]:
            self.record.append(f"stopped {', '.join(prompt_ids)}")
            return set(prompt_ids)

        async def not_accepted(prompt_id: str) -> None:
            self.record.append("removed")

        async def request_json(method: str, path: str, payload: Any) -> Any:
            self.record.append("asked")
            self.asked.set()
            return await self.answer

        monkeypatch.setattr(catalog, "current", current)
        monkeypatch.setattr(ownership, "record", record)
        monkeypatch.setattr(ownership, "accepted", accepted)
        monkeypatch.setattr(ownership, "not_accepted", not_accepted)
        monkeypatch.setattr(upstream, "request_json", request_json)
        monkeypatch.setattr(prompts, "cancel", cancel)

    async def submit(self) -> asyncio.Task[Any]:
        """A prompt about which ComfyUI is being asked."""
        task = asyncio.ensure_future(prompts.prompt_submit(call()))
        await self.asked.wait()
        return task


def call(**traits: Any) -> Call:
    body = orjson.dumps({"prompt": {"1": {"class_type": "N", "inputs": {}}}})

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    return Call(
        method="POST",
        path=canonical(b"/prompt"),
        params={},
        query=b"",
        headers=[],
        caller=identity(ALICE, **traits),
        chunks=chunks,
    )


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize(
    ("answer", "record"),
    [
        ((200, {"prompt_id": MINE, "number": 3, "node_errors": {}}), "accepted"),
        ((400, {"error": {"type": "invalid_prompt"}, "node_errors": {}}), "removed"),
        ((500, None), "removed"),
        (UpstreamUnreachable(), "removed"),
    ],
    ids=["accepted", "refused", "failed", "unreachable"],
)
async def test_record_says_what_comfyui_said_even_if_the_client_left(
    answer: Any, record: str, leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(monkeypatch)
    task = await world.submit()
    assert world.record == ["written", "asked"]
    if leaves:
        task.cancel()
        await turns()
        assert task.cancelled()
    if isinstance(answer, Exception):
        world.answer.set_exception(answer)
    else:
        world.answer.set_result(answer)
    await turns()
    assert world.record == ["written", "asked", record]
    assert task.done()
    if not task.cancelled():
        task.exception()


async def test_prompt_of_a_user_who_is_deleted_meanwhile_is_stopped_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    task = await world.submit()
    world.user_is_there = False
    world.answer.set_result((200, {"prompt_id": MINE, "number": 3, "node_errors": {}}))
    with pytest.raises(TokenRevoked):
        await task
    assert world.record == ["written", "asked", "gone", f"stopped {MINE}"]


@pytest.mark.parametrize(
    ("waiting", "running", "fits"),
    [
        (prompts.MAX_WAITING_BYTES - 1000, 0, True),
        (prompts.MAX_WAITING_BYTES, 0, False),
        (0, prompts.MAX_WAITING_BYTES, True),
    ],
    ids=["room", "full", "running"],
)
async def test_waiting_prompts_of_a_user_with_a_limit_are_not_too_large_together(
    waiting: int, running: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(monkeypatch)
    owners = {
        "waits": Ownership(ALICE, None, 1, size_bytes=waiting),
        "runs": Ownership(ALICE, None, 0, size_bytes=running),
    }
    queue = {"queue_running": [[0, "runs", {}, {}]], "queue_pending": [[1, "waits", {}, {}]]}

    async def unfinished_load(user_id: int) -> tuple[int, int]:
        return 2, waiting + running

    async def unfinished(user_id: int) -> dict[str, bool]:
        return dict.fromkeys(owners, True)

    async def look() -> Snapshot:
        return Snapshot(queue, {})

    async def owners_of(prompt_ids: Iterable[str]) -> dict[str, Ownership]:
        return {prompt_id: owners[prompt_id] for prompt_id in prompt_ids}

    monkeypatch.setattr(ownership, "unfinished_load", unfinished_load)
    monkeypatch.setattr(ownership, "unfinished", unfinished)
    monkeypatch.setattr(ownership, "owners", owners_of)
    monkeypatch.setattr(prompts, "look", look)
    world.answer.set_result((200, {"prompt_id": MINE, "number": 3, "node_errors": {}}))
    if fits:
        assert (await prompts.prompt_submit(call(max_waiting_prompts=5))).status == 200
        return
    with pytest.raises(QuotaExceeded, match="too large together"):
        await prompts.prompt_submit(call(max_waiting_prompts=5))
    assert world.record == []
