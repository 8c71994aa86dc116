"""Models that came past ComfyUI, through whatever app brings them: does one have to look anew?"""

from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Final

from django.db import Error as DatabaseError

from accounts.dbthread import in_db_thread

# A model that came is in the lists after this long, and a look.
ASK_SECONDS: Final = 2.0

_newest: Callable[[], datetime | None] | None = None
_asked_at = float("-inf")
_known: datetime | None = None


def told_by(newest: Callable[[], datetime | None]) -> None:
    """From now on `newest` says when the last one came (None: none has). Called in a thread with
    a database connection."""
    global _newest
    _newest = newest


async def came() -> bool:
    """Whether one has come since this was last asked; asked of the database now and then only.
    Without an answer nothing has: what is known grows old all the same."""
    global _asked_at, _known
    if _newest is None or monotonic() < _asked_at + ASK_SECONDS:
        return False
    _asked_at = monotonic()
    try:
        found = await in_db_thread(_newest)
    except DatabaseError:
        return False
    has_come, _known = found != _known, found
    return has_come
