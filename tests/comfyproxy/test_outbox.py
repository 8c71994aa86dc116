"""What waits for a client: in order, bounded, previews the first to go."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyproxy.outbox import Frame, Outbox, OverflowedError


async def drained(outbox: Outbox) -> list[Frame]:
    """All that waits now."""
    frames: list[Frame] = []
    while True:
        try:
            frames.append(await asyncio.wait_for(outbox.get(), 0.01))
        except TimeoutError:
            return frames


async def test_frames_come_out_in_order_events_and_previews_mixed() -> None:
    outbox = Outbox()
    outbox.put("a")
    outbox.put_preview(b"1")
    outbox.put(b"b")
    outbox.put_preview(b"2")
    assert await drained(outbox) == ["a", b"1", b"b", b"2"]


async def test_a_reader_that_waits_gets_the_next_frame() -> None:
    outbox = Outbox()
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    assert not reader.done()
    outbox.put_preview(b"1")
    assert await reader == b"1"
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    outbox.put("a")
    assert await reader == "a"


async def test_too_many_previews_the_oldest_go_first_and_no_event() -> None:
    outbox = Outbox(preview_limit=10)
    outbox.put("a")
    for number in range(6):
        outbox.put_preview(b"%d..." % number)
        outbox.put(f"after {number}")
    frames = await drained(outbox)
    assert [frame for frame in frames if isinstance(frame, bytes)] == [b"4...", b"5..."]
    assert frames[:3] == ["a", "after 0", "after 1"]
    assert frames[-4:] == [b"4...", "after 4", b"5...", "after 5"]


async def test_a_preview_larger_than_the_limit_is_still_the_latest() -> None:
    outbox = Outbox(preview_limit=10)
    outbox.put_preview(b"small")
    outbox.put_preview(b"x" * 50)
    assert await drained(outbox) == [b"x" * 50]
    outbox.put_preview(b"after")
    assert await drained(outbox) == [b"after"]


async def test_what_was_read_makes_room_again() -> None:
    outbox = Outbox(event_limit=10, preview_limit=10)
    for _ in range(20):
        outbox.put("x" * 9)
        outbox.put_preview(b"y" * 9)
        assert await drained(outbox) == ["x" * 9, b"y" * 9]
    assert not outbox.overflowed


async def test_a_client_that_does_not_read_is_ended_and_nothing_is_kept() -> None:
    outbox = Outbox(event_limit=10)
    outbox.put("12345")
    outbox.put_preview(b"1")
    outbox.put("123456")
    assert outbox.overflowed
    for _ in range(2):
        with pytest.raises(OverflowedError):
            await outbox.get()
        outbox.put("later")
        outbox.put_preview(b"later")


async def test_a_client_that_waits_while_it_overflows_is_told() -> None:
    outbox = Outbox(event_limit=10)
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    outbox.put("x" * 6)
    outbox.put("x" * 6)
    with pytest.raises(OverflowedError):
        await reader


async def test_one_event_larger_than_the_limit_reaches_a_client_that_keeps_up() -> None:
    outbox = Outbox(event_limit=10)
    for _ in range(2):
        outbox.put(b"r" * 100)
        assert await drained(outbox) == [b"r" * 100]
    outbox.put(b"r" * 100)
    outbox.put("x")
    assert outbox.overflowed


async def test_texts_are_counted_in_bytes() -> None:
    outbox = Outbox(event_limit=10)
    outbox.put("é" * 4)
    outbox.put("ab")
    assert not outbox.overflowed
    outbox.put("€")
    assert outbox.overflowed


STEPS = st.lists(
    st.sampled_from(["get", "event", "preview"]).flatmap(
        lambda kind: st.tuples(st.just(kind), st.integers(1, 12))
    ),
    max_size=40,
)


@given(STEPS)
def test_in_any_use_events_keep_their_order_and_previews_lose_the_oldest(
    steps: list[tuple[str, int]],
) -> None:
    async def use() -> None:
        outbox = Outbox(event_limit=10_000, preview_limit=20)
        waiting: list[Frame] = []
        for number, (kind, size) in enumerate(steps):
            if kind == "event":
                frame: Frame = f"{number:>{size}}"
                outbox.put(str(frame))
            elif kind == "preview":
                frame = f"{number:>{size}}".encode()
                outbox.put_preview(frame)
            elif waiting:
                assert await outbox.get() == waiting.pop(0)
                continue
            else:
                continue
            waiting.append(frame)
            while len(previews := [f for f in waiting if isinstance(f, bytes)]) > 1:
                if sum(map(len, previews)) <= 20:
                    break
                waiting.remove(previews[0])
        for expected in waiting:
            assert await outbox.get() == expected

    asyncio.run(use())
