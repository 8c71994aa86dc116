"""Run short database work from the event loop, on a few threads that keep their connection.

Django's own `sync_to_async` makes a thread and thus a connection for each request context
(0.5 to 0.9 ms); the gate in front of every request cannot pay that.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import BoundedSemaphore
from typing import Final, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, connection

from accounts.loopthreads import LoopThreads

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 4
_threads = LoopThreads(THREADS, "db")
# SQLite has one writer at a time, and lets others sleep for up to 0.1 s before they look again.
_sqlite_writer = LoopThreads(1, "db-writer")
# For what nobody waits for: a database that is locked must not hold up those who read.
_aside = ThreadPoolExecutor(1, thread_name_prefix="db-aside")
MAX_LEFT_FOR_LATER: Final = 200
_places = BoundedSemaphore(MAX_LEFT_FOR_LATER)


async def in_db_thread(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `func` there and return what it returns. A broken connection is tried anew once
    if `func` had not begun to write (a lost server: PostgreSQL restarted)."""
    return await _threads.run(partial(_guarded, partial(func, *args, **kwargs)))


async def in_writing_thread(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `in_db_thread`, for what writes: SQLite's writers wait here for their turn, and hold none
    of the threads that readers need."""
    threads = _sqlite_writer if _is_sqlite() else _threads
    return await threads.run(partial(_guarded, partial(func, *args, **kwargs)))


@cache
def _is_sqlite() -> bool:
    return connection.vendor == "sqlite"


def later(func: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Do this some time soon. If the database refuses, or too much waits already, it is logged
    and not done."""
    if _places.acquire(blocking=False):
        _aside.submit(_tried, partial(func, *args, **kwargs))
    else:
        logger.warning("left undone: the database is too far behind")


def _tried(work: Callable[[], object]) -> None:
    try:
        work()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("left undone: %s", error)
        connection.close()
    finally:
        _places.release()


def _guarded(work: Callable[[], T]) -> T:
    before = connection.connection
    try:
        return work()
    except (DatabaseError, InterfaceError):
        # Where a transaction broke off Django has connected anew by now.
        is_another = before is not None and connection.connection is not before
        if connection.in_atomic_block or (connection.is_usable() and not is_another):
            raise
        connection.close()
        return work()
