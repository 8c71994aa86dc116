"""Files as ComfyUI's userdata API lists them. Pure.

Shapes of ComfyUI 0.3.64, app/user_manager.py: `GET /userdata` and `GET /v2/userdata`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its path below the tree, bytes, times in seconds since the epoch."""

    path: str
    size: int
    modified: float
    created: float

    @property
    def saved(self) -> datetime:
        """When it was saved."""
        return datetime.fromtimestamp(self.modified, UTC)

    def info(self, below: str = "") -> dict[str, Any]:
        """As `full_info` has it, the path relative to that folder."""
        return {
            "path": relative(self.path, below),
            "size": self.size,
            "modified": self.modified,
            "created": self.created,
        }


def relative(path: str, folder: str) -> str:
    """The path as seen from a folder above it."""
    return path.removeprefix(f"{folder}/") if folder else path


def is_below(path: str, folder: str) -> bool:
    """Whether a path lies in a folder or further down; all lie in the root, which is empty."""
    return not folder or path.startswith(f"{folder}/")


def listing(
    entries: Iterable[Entry], folder: str, *, recurse: bool, full_info: bool, split: bool
) -> list[Any]:
    """`GET /userdata?dir=`: paths relative to the folder; with `split` each with its parts,
    with `full_info` as objects. Files whose names begin with a dot are left out, as are those
    in such folders."""
    found: list[Any] = []
    for entry in sorted(entries, key=lambda entry: entry.path):
        path = relative(entry.path, folder)
        parts = path.split("/")
        if any(part.startswith(".") for part in parts) or (len(parts) > 1 and not recurse):
            continue
        if full_info:
            found.append(entry.info(folder))
        else:
            found.append([path, *parts] if split else path)
    return found


def tree_listing(entries: Iterable[Entry], folder: str) -> list[dict[str, Any]]:
    """`GET /v2/userdata?path=`: everything below the folder, folders first, then by name;
    paths are relative to the root."""
    files: list[dict[str, Any]] = []
    folders: set[str] = set()
    for entry in entries:
        parts = entry.path.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        folders |= {each for each in above if is_below(each, folder)}
        files.append(
            {
                "name": parts[-1],
                "path": entry.path,
                "type": "file",
                "size": entry.size,
                "modified": entry.modified,
            }
        )
    found: list[dict[str, Any]] = [
        {"name": each.rpartition("/")[2], "path": each, "type": "directory"} for each in folders
    ]
    return sorted(
        found + files, key=lambda e: (e["type"] != "directory", e["name"].lower(), e["path"])
    )
