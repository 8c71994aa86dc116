"""What the classifier has not seen yet is not what nobody could judge; hashes cost no disk and wait
their turn."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from accounts.errors import NsfwBlocked
from comfyproxy import nsfwgate, scoring, verdicts
from comfyproxy.files import FileRef
from comfyproxy.nsfw.standing import Decision, Policy, Standing

JUDGE = ("judge", "1")
TRIED = Standing(classifier=JUDGE, attempts=1)


@pytest.mark.parametrize(
    ("classifier", "unknown_blocks", "standing", "in_time", "reason"),
    [
        # Busy, or another version meanwhile: never shown while a classifier is at work.
        (JUDGE, False, None, False, "unchecked"),
        (JUDGE, False, None, True, "unknown"),
        (JUDGE, False, TRIED, False, "unchecked"),
        (JUDGE, True, None, False, "unchecked"),
        # It failed over it, or there is none: as the installation wants it.
        (JUDGE, False, TRIED, True, None),
        (JUDGE, True, TRIED, True, "unknown"),
        (None, False, None, False, None),
        (None, False, None, True, None),
        (None, True, None, True, "unknown"),
    ],
)
def test_picture_that_was_not_looked_at_is_shown_only_where_nobody_looks(
    classifier: Any, unknown_blocks: bool, standing: Any, in_time: bool, reason: str | None
) -> None:
    policy = Policy(classifier, 0.5, unknown_blocks)

    def ask() -> None:
        nsfwgate._require(Decision.LOOK, standing, policy, in_time)

    if reason is None:
        ask()
        return
    with pytest.raises(NsfwBlocked) as caught:
        ask()
    assert caught.value.fields["reason"] == reason


async def test_hash_of_a_content_is_worked_out_without_writing_it_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a file was made")

    async def known(sha256: str) -> None:
        return None

    async def save(function: Any, *args: Any) -> None:
        saved.append(args)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"\x89PNG" + b"x" * 2_000_000

    saved: list[Any] = []
    monkeypatch.setattr(scoring.tempfile, "NamedTemporaryFile", refuse)
    monkeypatch.setattr(verdicts, "of_content", known)
    monkeypatch.setattr(scoring, "in_writing_thread", save)
    found = await scoring._take(pieces(), scoring.HASH_ONLY)
    assert found.sha256 == verdicts.hash_of((b"\x89PNG" + b"x" * 2_000_000) * 3)
    assert found.size == 6_000_012 and saved[0][0] == found.sha256


async def test_many_who_ask_for_hashes_wait_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    now = most = 0

    async def look(ref: FileRef, policy: Policy) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    monkeypatch.setattr(scoring, "look", look)
    refs = [FileRef("input", "", f"{number}.png") for number in range(20)]
    await asyncio.gather(*(scoring.hash_of(ref, 1) for ref in refs))
    assert most == scoring.PARALLEL


async def test_user_with_many_pictures_holds_up_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look(ref: FileRef, policy: Policy) -> None:
        await asyncio.sleep(0.02)

    def ask(user_id: int, number: int, seconds: float) -> "asyncio.Task[bool]":
        ref = FileRef("input", str(user_id), f"{number}.png")
        policy = Policy(JUDGE, 0.5, unknown_blocks=True)
        return asyncio.ensure_future(scoring.look_soon(ref, policy, user_id, seconds))

    monkeypatch.setattr(scoring, "look", look)
    many = [ask(1, number, 60) for number in range(scoring.MAX_WAITING + 50)]
    await asyncio.sleep(0)
    # Their turns come between those of the first: not after all of them, which takes 0.5 s.
    few = [ask(user_id, 0, 0.2) for user_id in (2, 3, 4)]
    assert await asyncio.gather(*few) == [True, True, True]
    assert sum(await asyncio.gather(*many)) == scoring.MAX_WAITING_OF_USER
    # Whoever waited and is done may come again.
    assert await ask(1, 0, 5)
    assert not scoring._looking
