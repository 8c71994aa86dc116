"""A few threads that do short blocking work for event loops.

As `run_in_executor` with a ThreadPoolExecutor, at a fifth of its processor time: that makes two
futures, a condition and three locks for each call, and nearly every request makes a call.
"""

import asyncio
import atexit
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any, Final, TypeVar

T = TypeVar("T")

# At the end of the process, for what is still under way. A database that hangs is not waited for:
# whoever asked was told nothing.
END_SECONDS: Final = 5.0

_Work = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class LoopThreads:
    """`number` threads, made at first use. What is under way or waited for when the process ends
    is still done, within `END_SECONDS`."""

    def __init__(self, number: int, name: str) -> None:
        self._number, self._name = number, name
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._lock = Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Call `work` in one of the threads; what it returns or raises. Who is cancelled while
        waiting does not stop it; what was not begun by then is not done."""
        if not self._threads:
            self._start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._work.put((loop, future, work))
        return await future

    def _start(self) -> None:
        with self._lock:
            if self._threads:
                return
            made = [
                Thread(target=self._serve, name=f"{self._name}_{number}", daemon=True)
                for number in range(self._number)
            ]
            for thread in made:
                thread.start()
            self._threads = made
            # Daemons would be stopped in the midst of their work.
            atexit.register(self._end)

    def _end(self) -> None:
        for _ in self._threads:
            self._work.put(None)
        until = monotonic() + END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - monotonic()))

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            loop, future, work = item
            result, error = None, None
            # Or who asks and leaves, again and again, would keep the others waiting.
            if not future.cancelled():
                try:
                    result = work()
                except BaseException as raised:
                    error = raised
                # The loop may be closed: then nobody waits.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_tell, future, result, error)
            # Until the next call nothing of this one is kept.
            del item, loop, future, work, result, error


def _tell(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):
        # A future takes none: it would end whoever awaits it without a word.
        future.set_exception(RuntimeError("the work raised StopIteration"))
    else:
        future.set_exception(error)
