"""Transfers for tests: one model, a folder that it goes to, what is told of its progress."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downloads.part import part_path
from downloads.remote import RemoteFile
from downloads.transfer import Backoff, Done, Limits, transfer
from downloads.web import Web
from tests.downloads.servers import (
    Asked,
    Reply,
    Server,
    ranged,
    redirect,
    safetensors,
    sha256,
)

MODEL = safetensors(3_000_000)
OTHER = safetensors(3_000_000, seed=2)
QUICK = Backoff(tries=4, first=0.01, most=0.02)
LIMITS = Limits(keep_free=0, stall_seconds=1, cancel_seconds=0.05, chunk=65536, backoff=QUICK)


def remote(site: Server, content: bytes | None = MODEL, **changes: Any) -> RemoteFile:
    """The model as the site describes it; without content, as a site that describes nothing."""
    values: dict[str, Any] = {
        "source": "civitai",
        "url": f"{site.url}/download",
        "filename": "model.safetensors",
        "size": len(content) if content is not None else None,
        "sha256": sha256(content) if content is not None else None,
        "folder_type": "loras",
        "headers": {"Authorization": "Bearer secret"},
        "origin_hosts": frozenset({site.host}),
        "page_url": "https://civitai.com/models/1",
    }
    return RemoteFile(**values | changes)


class Run:
    """Runs transfers into one folder, and remembers what was told of their progress."""

    def __init__(self, web: Web, folder: Path) -> None:
        self.web = web
        self.folder = folder
        self.target = folder / "model.safetensors"
        self.told: list[tuple[int, int | None]] = []
        self.cancelled: Callable[[], bool] = lambda: False

    def __call__(self, file: RemoteFile, **changes: Any) -> Done:
        values: dict[str, Any] = {
            "job": "job-1",
            "web": self.web,
            "progress": lambda done, total: self.told.append((done, total)),
            "cancelled": lambda: self.cancelled(),
            "allow_pickle": False,
            "limits": LIMITS,
        }
        target = changes.pop("target", self.target)
        return transfer(file, target, **values | changes)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    def part(self) -> Path:
        return part_path(self.target, "job-1")


@pytest.fixture
def run(web: Web, tmp_path: Path) -> Run:
    return Run(web, tmp_path / "loras")


@pytest.fixture
def stored(site: Server, storage: Server) -> Server:
    """The storage, to which the site's download leads, holding the model at `/file`."""
    site.routes["/download"] = redirect(f"{storage.url}/file")
    storage.routes["/file"] = lambda asked: ranged(asked, MODEL)
    return storage


def first(reply: Callable[[Asked], Reply], times: int = 1, content: bytes = MODEL) -> Any:
    """A route that answers otherwise the first times, then properly."""
    return lambda asked: reply(asked) if asked.tries <= times else ranged(asked, content)
