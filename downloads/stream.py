"""A response's body, piece by piece as it arrives, with an eye on the clock and on cancelling."""

import ssl
import time
from collections.abc import Callable, Generator
from typing import Any, Final

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util.wait import wait_for_read

from accounts.sentences import english
from downloads.errors import Cancelled, SourceDown, Stalled
from downloads.watch import Watch

CHUNK: Final = 1024 * 1024
# How often somebody who cancels is looked for while nothing arrives.
STEP_SECONDS: Final = 0.25


def never() -> bool:
    return False


def arriving(
    answer: requests.Response,
    *,
    stall_seconds: float,
    chunk: int = CHUNK,
    cancelled: Callable[[], bool] = never,
    total_seconds: float | None = None,
    min_rate: float = 0,
    rate_seconds: float = 60,
) -> Generator[bytes, None, None]:
    """Yields what has arrived, at most `chunk` bytes at a time, undecoded.

    Raises:
        Stalled: no byte for `stall_seconds`, fewer than `min_rate` bytes per second over
            `rate_seconds`, or not at an end after `total_seconds`
        SourceDown: the connection broke, or ended before the announced length
        Cancelled: `cancelled()` said so; it is asked at least every quarter of a second
    """
    with Watch(stall_seconds, cancelled) as watch:
        source = _source(answer.raw)
        if source is not None:
            watch.add(source)
            watch.rest()
        began = last = since = time.monotonic()
        recent = 0
        # An empty body is at its end before anything could arrive.
        while answer.raw.length_remaining != 0:
            watch.check()
            if cancelled():
                raise Cancelled
            now = time.monotonic()
            if total_seconds is not None and now - began > total_seconds:
                raise Stalled(english("The site answers too slowly. Try again later."))
            if now - since >= rate_seconds:
                if recent < min_rate * (now - since):
                    raise Stalled(english("The site sends too slowly. Try again later."))
                since, recent = now, 0
            if not _readable(answer.raw, min(STEP_SECONDS, stall_seconds)):
                if time.monotonic() - last >= stall_seconds:
                    raise Stalled
                continue
            piece = _piece(answer.raw, chunk, watch)
            if not piece:
                return
            last = time.monotonic()
            recent += len(piece)
            yield piece


def _piece(raw: Any, chunk: int, watch: Watch) -> bytes:
    """What has arrived; empty at the end. Of a body in chunks it also waits for their lengths."""
    watch.begin()
    try:
        # Not `read`, which waits until the whole piece is there.
        piece: bytes = raw.read1(chunk, decode_content=False)
    except ReadTimeoutError as error:
        raise Stalled from error
    except (HTTPError, OSError) as error:
        watch.check()
        raise SourceDown(english("The connection to the site broke off. Try again.")) from error
    finally:
        watch.rest()
    # A connection that was shut down looks like an end.
    watch.check()
    return piece


def _reader(raw: Any) -> Any:
    """What http.client parsed the head with; None once the body is at its end."""
    return getattr(getattr(raw, "_fp", None), "fp", None)


def _source(raw: Any) -> Any:
    """The socket below it."""
    return getattr(getattr(_reader(raw), "raw", None), "_sock", None)


def _readable(raw: Any, seconds: float) -> bool:
    """Whether reading would answer at once; False if nothing arrives within the time.

    Bytes can lie in three places: the kernel (asked first), the reader that http.client parsed
    the headers with, and TLS. The latter two are seen by a look-ahead that may not wait.
    """
    reader, source = _reader(raw), _source(raw)
    if reader is None or source is None:
        # Closed, or at its end: reading answers at once.
        return True
    try:
        if wait_for_read(source, 0):
            return True
        timeout = source.gettimeout()
        source.settimeout(0)
        try:
            if reader.peek(1):
                return True
        except ssl.SSLWantReadError:
            pass
        finally:
            source.settimeout(timeout)
        return bool(wait_for_read(source, seconds))
    except (OSError, ValueError):
        # A broken connection: let the read itself say how.
        return True
