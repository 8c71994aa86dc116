"""ComfyUI's models as a tree of folders to tick, each with who else gives it. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from accounts.grants import ANY, current_folder, plain_name
from comfyproxy.filters.models import NOT_MODELS

# Deeper ones are shown with the rest of their path: pages are built recursively.
MAX_DEPTH: Final = 20

Elsewhere = Callable[[str, str], str]
"""(folder, name) → through what else it may be used; empty if through nothing."""


@dataclass
class Leaf:
    """A model, or all of a folder (a pattern). `value` is what a ticked box sends."""

    value: str
    label: str
    ticked: bool
    through: str


@dataclass
class Branch:
    """A folder: itself as a whole, its sub folders, its models."""

    name: str
    whole: Leaf
    branches: list["Branch"] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    # Of all models below it: how many there are, are ticked, can be used otherwise.
    count: int = 0
    ticked: int = 0
    elsewhere: int = 0


def models_by_folder(folders: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Present folder name → its models as grants name them, sorted. Of ComfyUI's lists, whose
    folders may have former names and hold what are no models."""
    found: dict[str, set[str]] = {}
    for folder, names in folders.items():
        if folder not in NOT_MODELS:
            found.setdefault(current_folder(folder), set()).update(map(plain_name, names))
    return {folder: sorted(names, key=str.casefold) for folder, names in found.items()}


def search(
    models: Mapping[str, list[str]], text: str, folder: str = ""
) -> Iterable[tuple[str, str]]:
    """(folder, name) of the models that have all words of `text` in it, of one folder if it is
    named."""
    words = text.casefold().split()
    for place, names in models.items():
        if folder and place != folder:
            continue
        for name in names:
            whole = f"{place}/{name}".casefold()
            if all(word in whole for word in words):
                yield place, name


def tree(
    found: Iterable[tuple[str, str]],
    direct: frozenset[tuple[str, str]],
    elsewhere: Elsewhere,
    folders: Iterable[str] = (),
) -> list[Branch]:
    """The folders of these (folder, name), and `folders`, empty or not; `direct`: what the
    holder was given itself."""
    roots: dict[str, Branch] = {}
    below: dict[tuple[str, str], Branch] = {}

    def branch(folder: str, path: str) -> Branch:
        known = below.get((folder, path))
        if known is not None:
            return known
        pattern = f"{path}/{ANY}" if path else ANY
        whole = _leaf(folder, pattern, "", direct, elsewhere)
        made = below[folder, path] = Branch(path.rpartition("/")[2] or folder, whole)
        if path:
            branch(folder, path.rpartition("/")[0]).branches.append(made)
        else:
            roots[folder] = made
        return made

    for folder in folders:
        branch(folder, "")
    for folder, name in found:
        parts = name.split("/")
        depth = min(len(parts) - 1, MAX_DEPTH)
        leaf = _leaf(folder, name, "/".join(parts[depth:]), direct, elsewhere)
        branch(folder, "/".join(parts[:depth])).leaves.append(leaf)
    for root in roots.values():
        _count(root)
    return list(roots.values())


def _leaf(
    folder: str,
    name: str,
    label: str,
    direct: frozenset[tuple[str, str]],
    elsewhere: Elsewhere,
) -> Leaf:
    return Leaf(f"{folder}/{name}", label, (folder, name) in direct, elsewhere(folder, name))


def _count(branch: Branch) -> None:
    branch.count = len(branch.leaves)
    branch.ticked = sum(leaf.ticked for leaf in branch.leaves)
    branch.elsewhere = sum(bool(leaf.through) for leaf in branch.leaves)
    for below in branch.branches:
        _count(below)
        branch.count += below.count
        branch.ticked += below.ticked
        branch.elsewhere += below.elsewhere
