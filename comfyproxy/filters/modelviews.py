"""Lists of models that are marked (`modellists`), as somebody sees them who may know of some."""

from dataclasses import dataclass
from typing import Any, Final

from comfyproxy.filters.models import Allowed, KnownModels, Model, everything


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Something that names models: shown to whoever may know of one of them."""

    value: Any
    models: tuple[Model, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceList:
    """A list with such members; what is hidden is left out."""

    members: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NameList:
    """A list of names, of which `named` are models of the folders `sources`."""

    names: list[str]
    named: frozenset[str]
    sources: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceMap:
    """An object with such keys; what is hidden is left out."""

    members: dict[str, Any]
    keys: dict[str, Choice]


PARTS: Final = (Choice, ChoiceList, NameList, ChoiceMap)


class Viewer:
    """What somebody who may know of some models sees. Each question is answered once."""

    def __init__(self, allowed: Allowed, known: KnownModels) -> None:
        self._allowed = allowed
        self._known = known
        self._choices: dict[Choice, bool] = {}
        self._names: dict[frozenset[str], frozenset[str]] = {}

    def may(self, choice: Choice) -> bool:
        """Whether it is shown."""
        found = self._choices.get(choice)
        if found is None:
            found = any(self._allowed(model.folder, model.name) for model in choice.models)
            self._choices[choice] = found
        return found

    def listed(self, part: NameList) -> list[str]:
        """What is shown of a list."""
        if self._allowed is everything:
            return part.names
        shown = self._names.get(part.sources)
        if shown is None:
            shown = self._names[part.sources] = frozenset(
                name
                for folder in part.sources
                for name in self._known.folders[folder]
                if self._allowed(folder, name)
            )
        return [name for name in part.names if name in shown or name not in part.named]


def part_shown(part: Any, viewer: Viewer) -> Any:
    """One of PARTS as JSON; what is inside may still hold others. A text that is no member of
    a list is emptied: it would tell of the model just as well."""
    if isinstance(part, NameList):
        return viewer.listed(part)
    if isinstance(part, ChoiceList):
        return [
            member.value if isinstance(member, Choice) else member
            for member in part.members
            if not isinstance(member, Choice) or viewer.may(member)
        ]
    if isinstance(part, ChoiceMap):
        return {
            key: member
            for key, member in part.members.items()
            if key not in part.keys or viewer.may(part.keys[key])
        }
    assert isinstance(part, Choice)
    return part.value if viewer.may(part) else ""


def shown(value: Any, viewer: Viewer) -> Any:
    """Marked JSON as plain JSON."""
    if isinstance(value, NameList):
        return viewer.listed(value)
    if isinstance(value, PARTS):
        value = part_shown(value, viewer)
    if isinstance(value, list):
        return [shown(item, viewer) for item in value]
    if isinstance(value, dict):
        return {key: shown(item, viewer) for key, item in value.items()}
    return value
