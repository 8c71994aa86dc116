"""What is noted of the request that is being answered: for its log lines and for the metrics.

The front makes the notes; whoever learns something of the request writes it there. Threads that
work for it see the same notes where the context goes along (asgiref's do, `dbthread`'s do not).
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class RequestNotes:
    """Of one request or socket.

    `id`: what its log lines have in common; `lane`: who answered it; `user_id`: whose token it
    carried, once that was found good; `address`: the client's; `status`: what was answered, None
    so far; `seconds`: until the answer began.
    """

    id: str = "-"
    lane: str = "front"
    user_id: int | None = None
    address: str = ""
    status: int | None = None
    seconds: float = 0.0


# What is logged outside of any request.
_NONE: Final = RequestNotes()
_current: ContextVar[RequestNotes] = ContextVar("request_notes", default=_NONE)


def begin(notes: RequestNotes) -> None:
    """From now on this context works for that request."""
    _current.set(notes)


def current() -> RequestNotes:
    """The notes of the request that this context works for. Not to be written to outside of one:
    `note_lane` and `note_user` see to that."""
    return _current.get()


def note_lane(lane: str) -> None:
    """Who answers the request."""
    notes = _current.get()
    if notes is not _NONE:
        notes.lane = lane


def note_user(user_id: int) -> None:
    """Who sent the request."""
    notes = _current.get()
    if notes is not _NONE:
        notes.user_id = user_id
