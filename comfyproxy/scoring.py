"""Looks at a file: which content it is, and what the classifier makes of it.

The bytes go into a temporary file, which the classifier's child process reads: so neither a
huge file nor one made to harm a decoder costs the gateway more than disk space.
"""

import asyncio
import hashlib
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Final
from weakref import WeakKeyDictionary

from django.conf import settings

from accounts.dbthread import in_writing_thread
from accounts.errors import GatewayError
from comfyproxy import fileversions, nsfwpolicy, upstream, verdicts
from comfyproxy.fairturns import FairTurns
from comfyproxy.files import FileRef
from comfyproxy.nsfw.errors import ClassifierBroken
from comfyproxy.nsfw.kinds import HEAD_BYTES, Kind, kind_of
from comfyproxy.nsfw.score import Reason, Scored
from comfyproxy.nsfw.scorer import Scorer
from comfyproxy.nsfw.standing import Decision, Policy, decide
from comfyproxy.verdicts import Found

logger = logging.getLogger(__name__)

# More of a file is not written down: what is larger is judged by nobody.
MAX_BYTES: Final = 512 * 1024 * 1024
# To learn a content's hash: who tags it needs no score.
HASH_ONLY: Final = Policy(None, threshold=1, unknown_blocks=True)
# Looked at together by one process, and waiting for it; of these, one user's.
PARALLEL: Final = 2
MAX_WAITING: Final = 200
MAX_WAITING_OF_USER: Final = 50
# Of what crashes left in the folder of temporary files.
LEFTOVER_SECONDS: Final = 24 * 3600
_PIECE: Final = 1024 * 1024

Judge = tuple[str, str] | None

# The classifier's child takes one file at a time.
_judging = ThreadPoolExecutor(1, thread_name_prefix="nsfw")
_turns: "WeakKeyDictionary[asyncio.AbstractEventLoop, FairTurns]" = WeakKeyDictionary()
# With the user who asked first.
_looking: "dict[object, tuple[asyncio.Task[object], int]]" = {}


async def look_soon(ref: FileRef, policy: Policy, user_id: int, seconds: float) -> bool:
    """Look at a file for that user, once for all who wait for it; whether that was done in time.
    It goes on when nobody waits any more."""
    return await _in_time(ref, lambda: look(ref, policy), user_id, seconds)


async def look_at_bytes_soon(
    data: bytes, sha256: str, policy: Policy, user_id: int, seconds: float
) -> bool:
    """As `look_soon`, at bytes that are at hand."""

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    return await _in_time(sha256, lambda: _take(pieces(), policy), user_id, seconds)


async def look(ref: FileRef, policy: Policy) -> Found | None:
    """Fetch a file from ComfyUI, write down which content it is and what the classifier makes
    of it. None: there is no such file.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    query = fileversions.query_of(ref.filename, ref.subfolder, ref.type)
    if len(query) > upstream.MAX_TARGET_BYTES:
        return None
    answer = await upstream.stream("GET", "/view", query=query)
    try:
        version = fileversions.version_in(answer.headers) if answer.status == 200 else None
        if version is None:
            return None
        found = await _take(answer.chunks(), policy)
    finally:
        answer.close()
    await in_writing_thread(verdicts.save_file, ref, version.tag, found.sha256, found.size)
    return found


async def hash_of(ref: FileRef, user_id: int) -> Found | None:
    """As `look`, for its hash alone: nothing is written down of the bytes. Waits for that user's
    turn, as many may ask at once."""
    found = await _in_turn(lambda: look(ref, HASH_ONLY), user_id)
    assert found is None or isinstance(found, Found)
    return found


def remove_leftovers() -> None:
    """Remove temporary files of processes that were killed."""
    for path in _folder().iterdir():
        if path.is_file() and time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
            path.unlink(missing_ok=True)


# --- in time ------------------------------------------------------------------------------------


async def _in_time(
    key: object, begin: Callable[[], Awaitable[object]], user_id: int, seconds: float
) -> bool:
    # The admin's pages run in loops of their own: one cannot wait for another's task.
    key = asyncio.get_running_loop(), key
    found = _looking.get(key)
    if found is None:
        if not _has_room(user_id):
            return False
        found = _looking[key] = asyncio.ensure_future(_in_turn(begin, user_id)), user_id
        found[0].add_done_callback(lambda done: _over(key, done))
    task, _ = found
    done, _ = await asyncio.wait({task}, timeout=seconds)
    return bool(done) and not task.cancelled() and task.exception() is None


def _has_room(user_id: int) -> bool:
    waiting = [whose for _, whose in list(_looking.values())]
    return len(waiting) < MAX_WAITING and waiting.count(user_id) < MAX_WAITING_OF_USER


def _over(key: object, task: "asyncio.Task[object]") -> None:
    _looking.pop(key, None)
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, GatewayError):
        logger.info("a file could not be looked at: %s", error)
    else:
        logger.error("a file could not be looked at", exc_info=error)


async def _in_turn(begin: Callable[[], Awaitable[object]], user_id: int) -> object:
    loop = asyncio.get_running_loop()
    async with _turns.setdefault(loop, FairTurns(PARALLEL)).turn(user_id):
        return await begin()


# --- one content --------------------------------------------------------------------------------


async def _take(pieces: AsyncIterator[bytes], policy: Policy) -> Found:
    """The content that comes in pieces."""
    with _file_for(policy) as file:
        digest, size, head, pending = hashlib.sha256(), 0, b"", bytearray()

        def put(data: bytes) -> None:
            digest.update(data)
            if file is not None and size <= MAX_BYTES:
                file.write(data)
                file.flush()

        async for piece in pieces:
            if len(head) < HEAD_BYTES:
                head += bytes(piece[: HEAD_BYTES - len(head)])
            pending += piece
            if len(pending) >= _PIECE:
                size += len(pending)
                await asyncio.to_thread(put, bytes(pending))
                pending.clear()
        size += len(pending)
        await asyncio.to_thread(put, bytes(pending))
        sha256 = digest.hexdigest()
        known = await verdicts.of_content(sha256)
        if known is not None and decide(known, policy) is not Decision.LOOK:
            return Found(sha256, size, known)
        path = None if file is None else Path(file.name)
        scored, by = await _judged(path, size, kind_of(head), policy)
    await in_writing_thread(verdicts.save_content, sha256, scored, by)
    return Found(sha256, size, await verdicts.of_content(sha256))


def _file_for(policy: Policy) -> AbstractContextManager[IO[bytes] | None]:
    """Where the classifier finds the bytes; None if there is none to read them."""
    if policy.classifier is None:
        return nullcontext()
    return tempfile.NamedTemporaryFile(dir=_folder(), prefix="look-")


async def _judged(
    path: Path | None, size: int, kind: Kind, policy: Policy
) -> tuple[Scored | None, Judge]:
    """What the classifier makes of it, and which that was; (None, None): there is none."""
    if kind is Kind.OTHER:
        return Scored(None, Reason.NOT_VISUAL), policy.classifier
    scorer = nsfwpolicy.scorer() if policy.classifier is not None else None
    if scorer is None or path is None:
        return None, None
    if size > MAX_BYTES:
        return Scored(None, Reason.TOO_LARGE), policy.classifier
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_judging, _scored_by, scorer, path, policy)


def _scored_by(scorer: Scorer, path: Path, policy: Policy) -> tuple[Scored, Judge]:
    scored = scorer.score(path)
    try:
        by = scorer.identity()
    except ClassifierBroken:
        return Scored(None, Reason.CLASSIFIER_FAILED), policy.classifier
    if by != policy.classifier:
        # A service has another model now: what the former one said counts no more.
        nsfwpolicy.forget()
    return scored, by


def _folder() -> Path:
    found: Path = settings.MSS_DATA_DIR / "looking"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found
