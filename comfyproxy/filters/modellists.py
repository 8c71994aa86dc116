"""Lists of models anywhere in ComfyUI's JSON, cut down to what a caller may know of.

A list counts as one of models by its content, in core and custom nodes, in either style, at
any depth. Which folders' models it lists follows from its names: a name that another folder
has too is judged by the list's own folders. JSON is looked through once (`Marker`), then
shown to each caller (`shown`; `part_shown` for an encoder).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comfyproxy.filters.models import (
    Allowed,
    KnownModels,
    Model,
    choice_name,
    everything,
    is_hidden,
    looks_like_model,
)

_ANY: Final[frozenset[str]] = frozenset()


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
class ChoiceMap:
    """An object with such keys; what is hidden is left out."""

    members: dict[str, Any]
    keys: dict[str, Choice]


PARTS: Final = (Choice, ChoiceList, ChoiceMap)
May = Callable[[Choice], bool]


def may_know(allowed: Allowed) -> May:
    """Whether a caller may know of what a choice names. Each is judged once."""
    if allowed is everything:
        return lambda choice: True
    judged: dict[Choice, bool] = {}

    def may(choice: Choice) -> bool:
        found = judged.get(choice)
        if found is None:
            found = any(allowed(model.folder, model.name) for model in choice.models)
            judged[choice] = found
        return found

    return may


def part_shown(part: Any, may: May) -> Any:
    """One of PARTS as JSON; what is inside may still hold others. A text that is no member of
    a list is emptied: it would tell of the model just as well."""
    if isinstance(part, ChoiceList):
        return [
            member.value if isinstance(member, Choice) else member
            for member in part.members
            if not isinstance(member, Choice) or may(member)
        ]
    if isinstance(part, ChoiceMap):
        return {
            key: member
            for key, member in part.members.items()
            if key not in part.keys or may(part.keys[key])
        }
    assert isinstance(part, Choice)
    return part.value if may(part) else ""


def shown(value: Any, may: May) -> Any:
    """Marked JSON as plain JSON."""
    if isinstance(value, PARTS):
        value = part_shown(value, may)
    if isinstance(value, list):
        return [shown(item, may) for item in value]
    if isinstance(value, dict):
        return {key: shown(item, may) for key, item in value.items()}
    return value


class Marker:
    """Marks what names models. What names none is passed on as it is; equal lists come out
    as one object, also from different nodes."""

    def __init__(self, known: KnownModels) -> None:
        self._known = known
        self._lists: dict[tuple[str, ...], tuple[Any, frozenset[str]]] = {}
        self._choices: dict[Hashable, Choice] = {}

    def marked(self, value: Any) -> Any:
        """Any JSON, marked."""
        if isinstance(value, list):
            return self._list(value)[0]
        if isinstance(value, dict):
            return self._dict(value, _ANY)
        return value

    def _list(self, value: list[Any]) -> tuple[Any, frozenset[str]]:
        """The list, marked, and the folders whose models it lists."""
        if not set(map(type, value)) <= {str}:
            return self._mark_list(value)
        # By far the most and the longest, and many nodes have the same.
        key = tuple(value)
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = self._mark_texts(value)
        return found

    def _mark_texts(self, value: list[str]) -> tuple[Any, frozenset[str]]:
        named = self._naming(set(value))
        if not named:
            return value, _ANY
        sources = self._known.sources(named)
        members = (self._choice(text, text, sources) if text in named else text for text in value)
        return ChoiceList(tuple(members)), sources

    def _mark_list(self, value: list[Any]) -> tuple[Any, frozenset[str]]:
        names = [choice_name(item) for item in value]
        named = self._naming({name for name in names if name is not None})
        sources = self._known.sources(named)
        members: list[Any] = []
        # Of `[names, {"default": …}]`, the older style of a definition: of the names.
        before = _ANY
        for item, name in zip(value, names, strict=True):
            member: Any = item
            if isinstance(item, dict):
                member = self._dict(item, before)
            elif isinstance(item, list):
                member, found = self._list(item)
                before = found or before
            if name is not None and name in named:
                member = self._choice(member, name, sources)
            members.append(member)
        if named:
            return ChoiceList(tuple(members)), sources
        is_same = all(new is old for new, old in zip(members, value, strict=True))
        return value if is_same else members, sources

    def _naming(self, names: set[str]) -> frozenset[str]:
        """Those that name models; a word without a dot in it (a type, such as `MODEL`) only
        as a folder lists it."""
        listed = self._known.listed(names)
        if not listed and "." not in "".join(names):
            return listed
        return listed.union(n for n in names - listed if "." in n and self._known.find(n))

    def _dict(self, value: dict[str, Any], sources: frozenset[str]) -> Any:
        """`sources`: the folders that a default in it is judged by."""
        members: dict[str, Any] = {}
        keys: dict[str, Choice] = {}
        is_same = True
        if isinstance(value.get("options"), list):
            sources = self._list(value["options"])[1] or sources
        for key, item in value.items():
            member = item
            if isinstance(item, str):
                if key == "default" or "." in item:
                    member = self._text(key, item, sources)
            elif isinstance(item, (list, dict)):
                member = self.marked(item)
            is_same = is_same and member is item
            members[key] = member
            if "." in key and looks_like_model(key) and self._known.find(key):
                keys[key] = self._choice(key, key, _ANY)
        if keys:
            return ChoiceMap(members, keys)
        return value if is_same else members

    def _text(self, key: str, text: str, sources: frozenset[str]) -> Any:
        # A default that names a hidden model would tell of it as well as a list; and so would
        # any other text that is nothing but a model's name.
        if (key == "default" or looks_like_model(text)) and self._known.find(text):
            return self._choice(text, text, sources)
        return text

    def _choice(self, value: Any, name: str, sources: frozenset[str]) -> Choice:
        if not isinstance(value, str):
            return Choice(value, self._models(name, sources))
        key = (value, sources)
        found = self._choices.get(key)
        if found is None:
            found = self._choices[key] = Choice(value, self._models(name, sources))
        return found

    def _models(self, name: str, sources: frozenset[str]) -> tuple[Model, ...]:
        own = sorted(folder for folder in sources if self._known.holds(folder, name))
        return tuple(Model(folder, name) for folder in own) or self._known.find(name)


def without_models(value: Any, known: KnownModels, allowed: Allowed) -> Any:
    """Any JSON with every list in it freed of models the caller may not know of.

    Other members (`None`, `Baked VAE`, `pixel_space`) stay, in their order; a default that
    names a hidden model is emptied.
    """
    return value if allowed is everything else shown(Marker(known).marked(value), may_know(allowed))


def hidden_among(names: Sequence[str], known: KnownModels, allowed: Allowed) -> frozenset[str]:
    """Which members of a list are hidden from the caller. The first may be none of it but
    what a client chose, as in ComfyUI's sentences: what either reading hides is hidden."""
    named = [name for name in names if known.find(name)]
    readings = {known.sources(named), known.sources(named[1:])} - {_ANY} or {_ANY}
    return frozenset(
        name
        for name in named
        if any(_is_hidden_in(name, sources, known, allowed) for sources in readings)
    )


def _is_hidden_in(name: str, sources: frozenset[str], known: KnownModels, allowed: Allowed) -> bool:
    own = [folder for folder in sources if known.holds(folder, name)]
    if not own:
        return is_hidden(name, known, allowed)
    return not any(allowed(folder, name) for folder in own)
