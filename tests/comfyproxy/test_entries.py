"""comfyproxy.entries: how long an entry that ComfyUI told need not be asked for again."""

import orjson
import pytest

from comfyproxy import connections, entries, upstream
from comfyproxy.entries import KEPT_SECONDS, MAX_KEPT_BYTES, history_entries
from comfyproxy.kept import Kept

A, B = "aaaa", "bbbb"


class ComfyUI:
    """Knows some entries; and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.known = {A: 1, B: 2}
        self.asked: list[str] = []

    async def get_body(self, path: str) -> tuple[int, bytes]:
        prompt_id = path.removeprefix("/history/")
        self.asked.append(prompt_id)
        there = {prompt_id: self.known[prompt_id]} if prompt_id in self.known else {}
        return 200, orjson.dumps(there)

    async def list(self) -> dict[str, object]:
        self.asked.clear()
        return await history_entries([A, B], max_age=KEPT_SECONDS)


@pytest.fixture
def comfyui(monkeypatch: pytest.MonkeyPatch) -> ComfyUI:
    made = ComfyUI()
    monkeypatch.setattr(upstream, "get_body", made.get_body)
    monkeypatch.setattr(entries, "_kept", Kept(MAX_KEPT_BYTES, lambda entry: entry.size))
    for module in (entries, connections):
        monkeypatch.setattr(module, "monotonic", lambda: made.now)
    monkeypatch.setattr(connections, "_broke_at", float("-inf"))
    return made


async def test_entry_is_asked_for_once_in_a_while(comfyui: ComfyUI) -> None:
    assert await comfyui.list() == {A: 1, B: 2}
    assert comfyui.asked == [A, B]
    del comfyui.known[A]
    comfyui.now += KEPT_SECONDS - 1
    assert await comfyui.list() == {A: 1, B: 2}
    assert comfyui.asked == []
    # Who wants to know it exactly is told, and so is everybody from then on.
    assert await history_entries([A]) == {A: None}
    assert await comfyui.list() == {A: None, B: 2}
    comfyui.now += 2
    assert await comfyui.list() == {A: None, B: 2}
    assert comfyui.asked == [A, B]


async def test_comfyui_that_may_have_restarted_is_asked_anew(comfyui: ComfyUI) -> None:
    await comfyui.list()
    comfyui.now += 1
    connections.broke()
    comfyui.now += 1
    comfyui.known = {B: 3}
    assert await comfyui.list() == {A: None, B: 3}
    assert await comfyui.list() == {A: None, B: 3}
    assert comfyui.asked == [A]


async def test_entries_that_nobody_lists_any_more_are_not_kept(comfyui: ComfyUI) -> None:
    await comfyui.list()
    comfyui.now += KEPT_SECONDS + 1
    await history_entries([B], max_age=KEPT_SECONDS)
    assert list(entries._kept) == [B]
