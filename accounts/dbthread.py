"""Run short database work from the event loop, on a few threads that keep their connection.

Django's own `sync_to_async` makes a thread and thus a connection for each request context
(0.5 to 0.9 ms); the gate in front of every request cannot pay that.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, connection

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 4
_executor = ThreadPoolExecutor(THREADS, thread_name_prefix="db")


async def in_db_thread(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `func` there and return what it returns. A broken connection is tried anew once
    if `func` had not begun to write (a lost server: PostgreSQL restarted)."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_executor, partial(_guarded, func, *args, **kwargs))


def _guarded(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return func(*args, **kwargs)
    except (DatabaseError, InterfaceError):
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return func(*args, **kwargs)
