"""A client's socket as its relay session sees it: what of a judged frame it gets, and how."""

from collections.abc import Callable
from typing import Final, Protocol

from accounts.capabilities import Capability
from accounts.identity import Identity
from comfyproxy.outbox import Frame, Outbox
from comfyproxy.relay import Sort, Verdict

TRY_AGAIN_LATER: Final = 1013


class Receiver(Protocol):
    """A client's socket, wherever it is open."""

    identity: Identity
    client_id: str
    # What the client announced: whether it wants previews that name their prompt; whether it
    # waits for the server's flags.
    wants_metadata: bool
    awaits_flags: bool

    def put(self, frame: Frame) -> None:
        """Send a frame that must not be lost."""

    def put_preview(self, frame: bytes) -> None:
        """Send a frame that may be lost."""

    def close(self, code: int) -> None:
        """Close it."""


def deliver(verdict: Verdict, socket: Receiver) -> None:
    """Send a judged frame, if this socket may have it."""
    match verdict.sort:
        case Sort.EVENT | Sort.CUSTOM:
            socket.put(verdict.payload)
        case Sort.LOGS if socket.identity.can(Capability.MANAGE_BACKEND):
            socket.put(verdict.payload)
        case Sort.RESULT if verdict.is_judged or not socket.identity.sfw_enforced:
            socket.put(_picture(verdict, socket))
        case Sort.PREVIEW if not socket.identity.sfw_enforced:
            socket.put_preview(_picture(verdict, socket))


def _picture(verdict: Verdict, socket: Receiver) -> bytes:
    payload = verdict.payload if socket.wants_metadata else verdict.plain
    assert isinstance(payload, bytes)
    return payload


class ClientSocket:
    """One that is open in this process: frames wait in its outbox."""

    def __init__(self, identity: Identity, client_id: str, close: Callable[[int], None]) -> None:
        self.identity = identity
        self.client_id = client_id
        self.outbox = Outbox()
        self.wants_metadata = False
        self.awaits_flags = False
        self._close = close

    def put(self, frame: Frame) -> None:
        """Send a frame that must not be lost; a client too far behind is disconnected."""
        self.outbox.put(frame)
        if self.outbox.overflowed:
            self.close(TRY_AGAIN_LATER)

    def put_preview(self, frame: bytes) -> None:
        """Send a frame that may be lost."""
        self.outbox.put_preview(frame)

    def close(self, code: int) -> None:
        """Close it, soon."""
        self._close(code)
