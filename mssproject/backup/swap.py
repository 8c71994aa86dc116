"""The moment in which what was restored takes the place of what was there.

Everything new stands beside the old by then, whole and on the disk. What is to be done is written
down first (`presence.MARKER`); each step can be repeated, so whoever starts after a crash goes on
from wherever it was. Until that is through no gateway starts.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mssproject import presence
from mssproject.backup.archive import sync
from mssproject.backup.errors import BackupError

NEW: Final = ".restoring"
# SQLite's, which belong to the database of that name and to no other.
COMPANIONS: Final = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Move:
    """A file or folder at `place` that another takes the place of."""

    place: str
    before: str

    @classmethod
    def of(cls, place: Path, stamp: str) -> "Move":
        return cls(str(place), f"{place}.before-{stamp}")

    @property
    def new(self) -> Path:
        return Path(self.place + NEW)

    def carry_out(self) -> None:
        if not self.new.exists():
            return  # done before
        place, before = Path(self.place), Path(self.before)
        for suffix in COMPANIONS:
            if Path(self.place + suffix).exists():
                Path(self.place + suffix).replace(self.before + suffix)
        # With the name still taken by what came after a crash, the former one is safe already.
        if place.exists() and not before.exists():
            place.replace(before)
        self.new.replace(place)
        sync(place.parent)


@dataclass(frozen=True)
class Plan:
    """All of it. `tables`: whether the database swaps its own tables, called by that stamp."""

    stamp: str
    moves: tuple[Move, ...]
    tables: bool

    def kept(self) -> list[str]:
        """Where the former things are, of what there was."""
        return [move.before for move in self.moves if Path(move.before).exists()]


def carry_out(plan: Plan, swap_tables: Callable[[str], None]) -> None:
    """Do it. `swap_tables` is one transaction; its BackupError leaves all as it was."""
    os.sync()
    _write(plan)
    if plan.tables:
        try:
            swap_tables(plan.stamp)
        except BackupError:
            presence.marker().unlink()
            raise
    _finish(plan)


def resume(swap_tables: Callable[[str], None]) -> bool:
    """Finish what a crash interrupted; whether there was something. `swap_tables` finds by itself
    whether it is done already."""
    if not presence.marker().exists():
        return False
    plan = _read(json.loads(presence.marker().read_text()))
    if plan.tables:
        swap_tables(plan.stamp)
    _finish(plan)
    return True


def _finish(plan: Plan) -> None:
    for move in plan.moves:
        move.carry_out()
    presence.marker().unlink()
    sync(presence.marker().parent)


def _write(plan: Plan) -> None:
    marker = presence.marker()
    part = marker.with_name(f"{marker.name}.part")
    with part.open("w") as file:
        json.dump(asdict(plan), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(marker)
    sync(marker.parent)


def _read(given: dict[str, Any]) -> Plan:
    moves = tuple(Move(**move) for move in given["moves"])
    return Plan(given["stamp"], moves, given["tables"])
