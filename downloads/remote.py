"""What a source answers: one file to fetch, or what a search found. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its source describes it, ready for `downloads.transfer`.

    `filename` is the source's own word and no path: see `downloads.paths.safe_name`.
    `headers` are credentials; they go to `origin_hosts` only and never into a log. `size` may be
    off by `size_slack` bytes where the source rounds it. `folder_type` is a guess, or None.
    """

    source: str
    url: str
    filename: str
    size: int | None
    sha256: str | None
    folder_type: str | None
    headers: Mapping[str, str] = field(repr=False, hash=False)
    origin_hosts: frozenset[str]
    page_url: str
    size_slack: int = 0

    @property
    def identity(self) -> str:
        """Equal for equal contents, so that a part can be taken up by a later request."""
        return f"sha256:{self.sha256}" if self.sha256 else self.url


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file of a model that a search found; `wish` is the body that asks for it."""

    id: str
    name: str
    size: int | None
    type: str | None
    format: str | None
    wish: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Found:
    """One model that a search found."""

    name: str
    page_url: str
    type: str | None
    folder_type: str | None
    files: tuple[FoundFile, ...]
