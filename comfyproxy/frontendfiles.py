"""ComfyUI's frontend, hundreds of files that are the same for everybody, kept in memory.

ComfyUI sends them uncompressed and reads each from its disk, in the loop that serves everyone.
Here they are compressed once and told apart by a digest; ComfyUI is asked whether one has changed
once in a few seconds, however many people ask.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import brotli

from accounts import metrics
from comfyproxy import upstream
from comfyproxy.calls import Call, Reply
from comfyproxy.encodings import MIN_BYTES, chosen, is_compressible
from comfyproxy.headers import RawHeaders, to_client
from comfyproxy.kept import Kept

# All files of the newest frontend that a browser asks for have 25 MB, and 6 MB compressed.
MAX_KEPT_BYTES: Final = 96 * 1024 * 1024
MAX_FILE_BYTES: Final = 24 * 1024 * 1024
MAX_OTHER_BYTES: Final = 64 * 1024
# ComfyUI is asked again after this long: so old a file may be.
FRESH_SECONDS: Final = 5.0
# Level 5 of brotli and 6 of gzip: what better ones gain in bytes they take tenfold in time.
_BROTLI_QUALITY: Final = 5
_GZIP_LEVEL: Final = 6
_PASSED_ON: Final = frozenset({b"content-type", b"cache-control", b"last-modified"})
_CONDITIONS: Final = frozenset(
    {b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"}
)
# Vite's names: eight signs that change with the content.
_MARKED: Final = re.compile(r"/assets/[^/]+-([A-Za-z0-9_-]{8})\.(?:js|mjs|css|woff2?|ttf)")
FOR_EVER: Final = b"private, max-age=31536000, immutable"


@dataclass(slots=True)
class File:
    """A file as ComfyUI has it: `validators` to ask for it again, `headers` for clients."""

    body: bytes
    headers: list[tuple[bytes, bytes]]
    validators: list[tuple[str, str]]
    digest: str
    compressible: bool
    checked_at: float
    encoded: dict[str, bytes] = field(default_factory=dict)

    def size(self) -> int:
        """Bytes that it may take, with both encodings."""
        return 2 * len(self.body) if self.compressible else len(self.body)


@dataclass(frozen=True, slots=True)
class Other:
    """An answer that is not kept, a 404 say, for those who asked for it together."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


_kept: Kept[str, File] = Kept(MAX_KEPT_BYTES, File.size)
_asking: dict[str, asyncio.Task["File | Other | None"]] = {}


async def kept(call: Call, path: str) -> Reply | None:
    """The answer to a GET or HEAD of a frontend's file; None: ComfyUI's own answer is to be
    passed on. `path`: as ComfyUI knows it.

    Raises:
        UpstreamUnreachable, UpstreamTimeout
    """
    asked = {name: value for name, value in call.headers if name in _CONDITIONS}
    if call.query or b"range" in asked:
        return None
    found: File | Other | None = _kept.get(path)
    is_fresh = isinstance(found, File) and monotonic() - found.checked_at <= FRESH_SECONDS
    metrics.looked_up("frontend", was_there=is_fresh)
    if not is_fresh:
        found = await _asked_once(path)
    if isinstance(found, Other):
        return Reply(found.status, found.headers, found.body)
    return None if found is None else await _reply(found, path, asked)


async def _asked_once(path: str) -> File | Other | None:
    """Ask ComfyUI; those who come together share one question."""
    task = _asking.get(path)
    if task is None or task.get_loop() is not asyncio.get_running_loop():
        task = _asking[path] = asyncio.ensure_future(_ask(path))
        task.add_done_callback(lambda _: _asking.pop(path, None))
    # One who leaves must not end it for the others.
    return await asyncio.shield(task)


async def _ask(path: str) -> File | Other | None:
    known = _kept.get(path)
    answer = await upstream.stream(
        "GET", path, headers=known.validators if known is not None else ()
    )
    try:
        if answer.status == 304 and known is not None:
            known.checked_at = monotonic()
            return known
        if not _may_be_kept(answer):
            return await _small(answer)
        started = monotonic()
        body = await answer.read(MAX_FILE_BYTES)
    finally:
        answer.close()
    file = await asyncio.to_thread(_file, body, answer.headers, started)
    _kept.put(path, file)
    return file


async def _small(answer: upstream.UpstreamStream) -> Other | None:
    """The whole of an answer that is not kept; None: it is too large for that, or somebody's."""
    headers = to_client(answer.headers)
    lengths = [value for name, value in headers if name == b"content-length"]
    is_somebodys = any(name == b"set-cookie" for name, _ in headers)
    # A file that is not there comes with nothing, in no pieces (aiohttp's FileResponse).
    size = int(lengths[0]) if lengths else 0 if answer.status == 404 else MAX_FILE_BYTES
    if is_somebodys or size > MAX_OTHER_BYTES:
        return None
    return Other(answer.status, headers, await answer.read(MAX_OTHER_BYTES))


def _may_be_kept(answer: upstream.UpstreamStream) -> bool:
    """Whether an answer is a whole file that everybody gets alike, and not too large."""
    headers: dict[bytes, bytes] = {}
    for name, value in answer.headers:
        headers[name.lower()] = value
    if answer.status != 200 or {b"set-cookie", b"content-encoding", b"vary"} & headers.keys():
        return False
    control = headers.get(b"cache-control", b"").lower()
    if b"no-store" in control or b"private" in control:
        return False
    length = headers.get(b"content-length", b"")
    return length.isdigit() and int(length) <= MAX_FILE_BYTES


def _file(body: bytes, headers: Iterable[tuple[bytes, bytes]], checked_at: float) -> File:
    found = {name.lower(): value for name, value in headers}
    shown = [(name, value) for name, value in found.items() if name in _PASSED_ON]
    named = {b"etag": "If-None-Match", b"last-modified": "If-Modified-Since"}
    return File(
        body=body,
        headers=shown,
        validators=[
            (asks, found[tells].decode("latin-1"))
            for tells, asks in named.items()
            if tells in found
        ],
        digest=hashlib.sha256(body).hexdigest()[:24],
        compressible=len(body) >= MIN_BYTES and is_compressible(found.get(b"content-type", b"")),
        checked_at=checked_at,
    )


async def _reply(file: File, path: str, asked: dict[bytes, bytes]) -> Reply:
    encoding = ""
    headers = list(file.headers)
    if file.compressible:
        encoding = chosen(asked.get(b"accept-encoding", b"").decode("latin-1"))
        headers.append((b"vary", b"Accept-Encoding"))
    tag = f'"{file.digest}{"-" + encoding if encoding else ""}"'.encode()
    headers.append((b"etag", tag))
    if is_named_by_content(path):
        headers = [pair for pair in headers if pair[0] != b"cache-control"]
        headers.append((b"cache-control", FOR_EVER))
    if _is_known(asked, tag, file.headers):
        return Reply(304, headers)
    body = file.body
    if encoding:
        headers.append((b"content-encoding", encoding.encode()))
        body = file.encoded.get(encoding, b"") or await asyncio.to_thread(_encode, file, encoding)
    return Reply(200, headers, body)


def is_named_by_content(path: str) -> bool:
    """Whether another content would have another name. A word of eight small letters is none of
    those marks, nor is one that begins with a capital."""
    found = _MARKED.fullmatch(path)
    if found is None:
        return False
    mark = found[1]
    return any(sign.isdigit() or sign == "_" for sign in mark) or any(map(str.isupper, mark[1:]))


def _is_known(asked: dict[bytes, bytes], tag: bytes, headers: RawHeaders) -> bool:
    """Whether the client has it (RFC 9110, section 13.1.2 and 13.1.3)."""
    tags = asked.get(b"if-none-match")
    if tags is not None:
        known = [item.strip().removeprefix(b"W/") for item in tags.split(b",")]
        return tag in known or known == [b"*"]
    since = asked.get(b"if-modified-since")
    return since is not None and (b"last-modified", since) in headers


def _encode(file: File, encoding: str) -> bytes:
    # Two who come at once may both do it; the result is the same.
    if encoding == "br":
        made = brotli.compress(file.body, quality=_BROTLI_QUALITY)
    else:
        made = gzip.compress(file.body, _GZIP_LEVEL, mtime=0)
    file.encoded[encoding] = made
    return made
