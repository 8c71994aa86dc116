"""By which of its grants a holder may use a model: for "where does it come from". Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from accounts.grants import ANY, current_folder, expression, plain_name

Item = tuple[str, str]
"""(folder, name or pattern)."""


@dataclass(frozen=True)
class Holding:
    """What one holder was given. `kind`: user, role or team; `name`: the user name, the role's
    slug, the team's name."""

    kind: str
    name: str
    items: frozenset[Item] = frozenset()

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    def by(self, folder: str, name: str) -> Item | None:
        """The grant that covers this model: the one of its very name, else one pattern of those
        that do; None if there is none. As `accounts.grants.Grants` decides."""
        places = (current_folder(folder), ANY)
        return self._exact(places, plain_name(name)) or self._pattern(places, plain_name(name))

    def by_pattern(self, folder: str, name: str) -> Item | None:
        """As `by`, without the grant of its very name."""
        return self._pattern((current_folder(folder), ANY), plain_name(name))

    def _exact(self, places: Iterable[str], name: str) -> Item | None:
        return next((given for place in places if (given := (place, name)) in self._plain), None)

    def _pattern(self, places: Iterable[str], name: str) -> Item | None:
        for place in places:
            joined, patterns = self._by_folder.get(place, (None, ()))
            found = None if joined is None else joined.fullmatch(name)
            if found is not None and found.lastindex is not None:
                return place, patterns[found.lastindex - 1]
        return None

    @cached_property
    def _plain(self) -> frozenset[Item]:
        return frozenset((current_folder(folder), plain_name(name)) for folder, name in self.items)

    @cached_property
    def _by_folder(self) -> dict[str, tuple[re.Pattern[str], tuple[str, ...]]]:
        """For each folder one expression for all its patterns, a group for each."""
        sorted_out: dict[str, list[str]] = {}
        for folder, name in sorted(self._plain):
            if ANY in name:
                sorted_out.setdefault(folder, []).append(name)
        return {
            folder: (
                re.compile("|".join(f"({expression(p)})" for p in patterns), re.DOTALL),
                tuple(patterns),
            )
            for folder, patterns in sorted_out.items()
        }
