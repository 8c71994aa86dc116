"""Turns that few may have at once: in which order they are given, and what becomes of those that
nobody takes."""

import asyncio

from comfyproxy.fairturns import FairTurns


async def test_users_who_wait_get_turns_one_after_the_other() -> None:
    turns, got = FairTurns(1), list[str]()

    async def want(user_id: int, name: str) -> None:
        async with turns.turn(user_id):
            got.append(name)
            await asyncio.sleep(0)

    names = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]
    await asyncio.gather(*(want(ord(name[0]), name) for name in names))
    assert got == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


async def test_turn_of_one_who_left_goes_to_the_next() -> None:
    turns, got = FairTurns(1), list[int]()

    async def want(user_id: int) -> None:
        async with turns.turn(user_id):
            got.append(user_id)

    async with turns.turn(0):
        left, given, stays = [asyncio.ensure_future(want(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
    # The second has its turn by now, but has not run since.
    given.cancel()
    await asyncio.gather(left, given, return_exceptions=True)
    await asyncio.wait_for(stays, 5)
    assert got == [3]
    async with asyncio.timeout(5), turns.turn(4):
        pass
