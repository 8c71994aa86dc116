"""accounts.loopthreads: work is done in order, told to who waits, and not lost at the end."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from accounts.loopthreads import LoopThreads
from tests.gateway import ROOT


async def test_caller_gets_what_the_work_returns_or_raises() -> None:
    threads = LoopThreads(2, "test")

    def fail() -> None:
        raise ValueError("as it is")

    assert await threads.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ValueError, match="as it is"):
        await threads.run(fail)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await threads.run(lambda: next(iter(())))
    assert await asyncio.gather(*(threads.run(lambda n=n: n) for n in range(50))) == [*range(50)]  # type: ignore[misc]


async def test_no_more_is_done_at_a_time_than_there_are_threads() -> None:
    threads = LoopThreads(2, "test")
    both = threading.Barrier(2)

    def meet() -> int:
        both.wait(10)
        return threading.get_ident()

    used = await asyncio.gather(*(threads.run(meet) for _ in range(6)))
    assert len(set(used)) == 2


async def test_caller_who_leaves_stops_no_work_and_keeps_no_other_waiting() -> None:
    threads = LoopThreads(1, "test")
    begun, released, done = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        released.wait(10)
        done.append("slow")

    leaving = asyncio.ensure_future(threads.run(slow))
    also_leaving = asyncio.ensure_future(threads.run(lambda: done.append("not begun")))
    next_one = asyncio.ensure_future(threads.run(lambda: done.append("next")))
    assert await asyncio.to_thread(begun.wait, 10)
    for task in (leaving, also_leaving):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    released.set()
    await next_one
    assert done == ["slow", "next"]


def test_loop_that_is_gone_stops_no_thread() -> None:
    threads, released = LoopThreads(1, "test"), threading.Event()

    async def leave() -> None:
        asyncio.ensure_future(threads.run(lambda: released.wait(10)))  # noqa: RUF006
        await asyncio.sleep(0.01)

    asyncio.run(leave())
    released.set()
    assert asyncio.run(threads.run(lambda: "still there")) == "still there"


def test_process_that_ends_has_done_what_it_had_begun(tmp_path: Path) -> None:
    program = """
import asyncio, sys, time
from accounts.loopthreads import LoopThreads

threads = LoopThreads(1, "test")

def write(number):
    time.sleep(0.2)
    with open(sys.argv[1], "a") as file:
        file.write(f"{number}")

async def main():
    await threads.run(lambda: write(0))
    asyncio.ensure_future(threads.run(lambda: write(1)))
    await asyncio.sleep(0.05)

asyncio.run(main())
"""
    path = tmp_path / "done"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, timeout=60, capture_output=True
    )
    assert (done.returncode, path.read_text()) == (0, "01"), done.stderr.decode()
