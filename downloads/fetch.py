"""Brings a part to its whole, verified content: asks, judges answers, receives, tries again."""

import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import requests

from accounts.sentences import english
from downloads.contentcheck import SNIFFED, check_file, check_start, check_type
from downloads.errors import (
    DiskFull,
    DownloadError,
    NotFound,
    SourceDown,
    WrongContent,
)
from downloads.part import Part
from downloads.remote import RemoteFile
from downloads.retry import Backoff, Patience
from downloads.sources import SOURCES
from downloads.sources.base import bearer, explain_common
from downloads.stream import CHUNK, arriving
from downloads.urls import host_of
from downloads.web import Web

MIB: Final = 1024 * 1024
_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a transfer. `keep_free` bytes stay free on the disk; `min_rate` is bytes/second."""

    keep_free: int = 512 * MIB
    space_every: int = 64 * MIB
    stall_seconds: float = 30
    min_rate: float = 512
    rate_seconds: float = 60
    progress_seconds: float = 0.25
    cancel_seconds: float = 0.5
    chunk: int = CHUNK
    backoff: Backoff = field(default_factory=Backoff)


class Fetch:
    """One transfer's state across its tries."""

    def __init__(
        self,
        remote: RemoteFile,
        name: str,
        part: Part,
        web: Web,
        key: str | None,
        progress: Callable[[int, int | None], None],
        cancelled: Callable[[], bool],
        limits: Limits,
    ) -> None:
        self._remote = remote
        self._name = name
        self._part = part
        self._web = web
        self._credentials = {**bearer(key), **remote.headers}
        self._progress = progress
        self._cancelled = cancelled
        self._limits = limits
        self._total: int | None = None
        self._told = 0.0
        self._next_space_check = 0

    def all(self) -> None:
        """Until the part is the whole, verified content."""
        patience = Patience(self._limits.backoff, self._cancelled)
        while True:
            before = self._part.size
            try:
                self._once()
                self._verify()
                self._tell(always=True)
                return
            except DownloadError as error:
                # A site that sends a few bytes each time makes no progress to speak of.
                if self._part.size - before >= self._limits.chunk:
                    patience.progressed()
                patience.after(error)

    def _once(self) -> None:
        part = self._part
        if part.size and part.size == part.note.size:
            # All had arrived when the last try ended.
            self._total = part.size
            return
        answer = self._web.get(
            self._remote.url,
            headers=self._range(),
            credentials=self._credentials,
            credential_hosts=self._remote.origin_hosts,
            stream=True,
        )
        try:
            self._accept(answer)
            self._tell(always=True)
            self._receive(answer)
        finally:
            answer.close()
        if self._total is not None and part.size < self._total:
            raise SourceDown(english("The connection to the site broke off. Try again."))

    def _range(self) -> dict[str, str]:
        """The headers that ask for the rest only. Without ETag and hash nothing could tell
        whether the rest belongs to the beginning: all is asked for."""
        part = self._part
        if not part.size or not ((etag := part.note.etag) or self._remote.sha256):
            return {}
        headers = {"Range": f"bytes={part.size}-"}
        # A weak ETag may not be compared with (RFC 9110, 13.1.5); it is checked in the answer.
        return headers | ({"If-Range": etag} if etag and not etag.startswith("W/") else {})

    def _accept(self, answer: requests.Response) -> None:
        """Judges status and headers, and makes the part ready for the body."""
        part, headers = self._part, answer.headers
        if answer.status_code == 416:
            part.restart()
            raise SourceDown(english("The site has another file now. Try again."), tries=4)
        if answer.status_code not in (200, 206):
            raise self._explain(answer)
        if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise WrongContent
        try:
            check_type(self._name, headers.get("Content-Type", ""))
        except WrongContent:
            # Sites lead browsers without a login to a page that asks for one.
            if self._of_origin(answer) and "login" in urlsplit(answer.url or "").path:
                raise self._explain(answer, status=401) from None
            raise
        etag = headers.get("ETag")
        if answer.status_code == 206:
            total = self._continued(headers, etag)
        else:
            total = _number(headers.get("Content-Length"))
            if part.size:
                part.restart()
        wanted, slack = self._remote.size, self._remote.size_slack
        if None not in (wanted, total) and abs((wanted or 0) - (total or 0)) > slack:
            raise WrongContent(
                english("The file's size is not what the site says. Nothing was kept."),
                permanent=False,
                tries=2,
            )
        self._total = wanted if total is None and not slack else total
        part.describe(etag, self._total)
        self._check_space((self._total or part.size) - part.size)

    def _continued(self, headers: Mapping[str, str], etag: str | None) -> int | None:
        """The whole size, by an answer with the rest; or starts anew if it is not the rest."""
        part = self._part
        found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
        total = _number(found[3]) if found else None
        known = part.note
        same_version = known.etag == etag if known.etag and etag else bool(self._remote.sha256)
        same_size = None in (known.size, total) or known.size == total
        if found and int(found[1]) == part.size and part.size and same_version and same_size:
            return total
        part.restart()
        raise SourceDown(english("The site has another file now. Try again."), tries=4)

    def _receive(self, answer: requests.Response) -> None:
        limits, part = self._limits, self._part
        most = self._total
        if most is None and self._remote.size is not None:
            most = self._remote.size + self._remote.size_slack
        # Held back until they look like the model: nothing else is kept, not even as a part.
        held: bytearray | None = None if part.size else bytearray()
        pieces = arriving(
            answer,
            stall_seconds=limits.stall_seconds,
            chunk=limits.chunk,
            cancelled=self._cancelled,
            min_rate=limits.min_rate,
            rate_seconds=limits.rate_seconds,
        )
        with closing(pieces):
            for piece in pieces:
                if most is not None and part.size + len(held or b"") + len(piece) > most:
                    raise WrongContent(
                        english("The site sends more than the file. Nothing was kept.")
                    )
                if held is not None:
                    held += piece
                    if len(held) < SNIFFED:
                        continue
                    check_start(self._name, bytes(held[:SNIFFED]), self._total)
                    piece, held = bytes(held), None
                part.write(piece)
                self._tell()
                if part.size >= self._next_space_check:
                    self._check_space(0)
        if held:
            if len(held) == (self._total or len(held)):
                check_start(self._name, bytes(held), len(held))
            part.write(bytes(held))

    def _verify(self) -> None:
        part, remote = self._part, self._remote
        short = remote.size is not None and abs(part.size - remote.size) > remote.size_slack
        if short or (remote.sha256 and part.sha256 != remote.sha256):
            part.restart()
            raise WrongContent(
                english(
                    "What arrived is not the file that the site describes (its checksum differs). "
                    "Nothing was kept; try again later."
                ),
                permanent=False,
                tries=2,
            )
        part.check(check_file)

    def _explain(self, answer: requests.Response, status: int | None = None) -> DownloadError:
        """The error that an answer without the file means."""
        status = status or answer.status_code
        source = SOURCES.get(self._remote.source)
        if self._of_origin(answer) and source is not None:
            body = self._web.read_json(answer)
            with_key = "Authorization" in self._credentials
            page = self._remote.page_url
            return source().explain(status, answer.headers, body, page, with_key)
        if status in (404, 410):
            return NotFound(
                english("The site's storage has no such file."), permanent=False, tries=3
            )
        if 400 <= status < 429:
            # The site's leave to read its storage has run out: the next try gets a new one.
            return SourceDown(english("The site's storage refused the download."), tries=4)
        return explain_common(source.label if source else "The site", status, answer.headers)

    def _of_origin(self, answer: requests.Response) -> bool:
        return host_of(answer.url or "") in self._remote.origin_hosts

    def _check_space(self, to_come: int) -> None:
        self._next_space_check = self._part.size + self._limits.space_every
        free = shutil.disk_usage(self._part.path.parent).free
        if free - to_come < self._limits.keep_free:
            raise DiskFull

    def _tell(self, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._told >= self._limits.progress_seconds:
            self._told = now
            self._progress(self._part.size, self._total or self._remote.size)


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None
