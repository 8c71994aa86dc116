"""The custom nodes' events that the admin lets everybody see, kept in memory for 5 s."""

import logging
from time import monotonic
from typing import Final

from django.db import Error as DatabaseError

from accounts.dbthread import in_db_thread
from comfyproxy.models import BroadcastEvent

logger = logging.getLogger(__name__)

TTL_SECONDS: Final = 5.0

_types: frozenset[str] = frozenset()
_deadline = 0.0


async def current() -> frozenset[str]:
    """The event types; none if the database does not answer."""
    global _types, _deadline
    if monotonic() >= _deadline:
        # Set first: a burst of events asks once.
        _deadline = monotonic() + TTL_SECONDS
        try:
            _types = await in_db_thread(_read)
        except DatabaseError as error:
            logger.error("which events are for everybody is not known: %s", error)
            _types = frozenset()
    return _types


def _read() -> frozenset[str]:
    return frozenset(BroadcastEvent.objects.values_list("event_type", flat=True))
