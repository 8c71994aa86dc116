"""How a connection to ComfyUI is made, and what may become of it."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

CONNECT_SECONDS: Final = 5.0


class NotThere(OSError):
    """Nobody listens at the address, or the connection could not be made in time."""


class BrokeOff(OSError):
    """The connection ended before it was done, or what came does not keep to the protocol."""


_broke_at = float("-inf")


def broke() -> None:
    """ComfyUI ended a connection, or was not there: by now it may be another process, which has
    forgotten what the one before knew."""
    global _broke_at
    _broke_at = monotonic()


def last_broke() -> float:
    """When that was, by `monotonic`."""
    return _broke_at


P = TypeVar("P", bound=asyncio.Protocol)


async def connect(protocol: Callable[[], P], host: str, port: int, *, is_secure: bool = False) -> P:
    """Connect to a server; what `protocol` makes hears what comes of it.

    `is_secure`: over TLS, the server's certificate checked against the system's.

    Raises:
        NotThere
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, made = await loop.create_connection(
                protocol, host, port, ssl=True if is_secure else None
            )
    except OSError as error:  # TimeoutError is one
        raise NotThere(str(error) or "the connection took too long") from error
    return made
