"""Lists of models anywhere in ComfyUI's JSON, cut down to what a caller may know of.

A list counts as one of models by its content, in core and custom nodes, in either style, at
any depth. Which folders' models it lists follows from its names: a name that another folder
has too is judged by the list's own folders. JSON is looked through once (`Marker`), then
shown to each caller (`modelviews`).
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from comfyproxy.filters.models import (
    Allowed,
    KnownModels,
    Model,
    choice_name,
    everything,
    is_hidden,
    likelier,
    looks_like_model,
)
from comfyproxy.filters.modelviews import Choice, ChoiceList, ChoiceMap, NameList, Viewer, shown

_ANY: Final[frozenset[str]] = frozenset()


class _Marked(NamedTuple):
    """A list, marked; the folders whose models it lists; whether names that are looked out
    for are in it."""

    value: Any
    sources: frozenset[str]
    seen: bool


class Marker:
    """Marks what names models. What names none is passed on as it is; equal lists come out
    as one object, also from different nodes.

    On the way it looks out for other names in lists: `seen` says whether there were any since
    it was last set to False.
    """

    def __init__(self, known: KnownModels, look_out_for: frozenset[str] = frozenset()) -> None:
        self._known = known
        self._look_out_for = look_out_for
        # By content, and the input's name where that matters.
        self._lists: dict[tuple[str, ...], _Marked] = {}
        self._likelier: dict[tuple[int, str], _Marked] = {}
        self._input = ""
        self.seen = False

    def marked(self, value: Any) -> Any:
        """Any JSON, marked."""
        if isinstance(value, list):
            return self._list(value).value
        if isinstance(value, dict):
            return self._dict(value, _ANY)
        return value

    def _list(self, value: list[Any]) -> _Marked:
        if not set(map(type, value)) <= {str}:
            return self._mark_list(value)
        # By far the most and the longest, and many nodes have the same.
        key = tuple(value)
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = self._mark_names(value)
        self.seen = self.seen or found.seen
        return self._as_named(found) if len(found.sources) > 1 else found

    def _as_named(self, found: _Marked) -> _Marked:
        """A list that several folders have, as the input that it belongs to is called."""
        sources = likelier(found.sources, self._input)
        if sources == found.sources:
            return found
        key = (id(found), self._input)
        if key not in self._likelier:
            part: NameList = found.value
            marked = NameList(part.names, part.named, sources)
            self._likelier[key] = _Marked(marked, sources, found.seen)
        return self._likelier[key]

    def _mark_names(self, value: list[str]) -> _Marked:
        names = set(value)
        seen = not self._look_out_for.isdisjoint(names)
        named = self._known.named(names)
        sources = self._known.sources(named)
        if sources:
            return _Marked(NameList(value, named, sources), sources, seen)
        named = self._known.named(names, plain=False)
        if not named:
            return _Marked(value, _ANY, seen)
        members = (Choice(n, self._known.find(n)) if n in named else n for n in value)
        return _Marked(ChoiceList(tuple(members)), _ANY, seen)

    def _mark_list(self, value: list[Any]) -> _Marked:
        names = [choice_name(item) for item in value]
        named = self._known.named({name for name in names if name is not None}, plain=False)
        sources = self._known.sources(named)
        members: list[Any] = []
        # Of `[names, {"default": …}]`, the older style of a definition: of the names.
        before = _ANY
        for item, name in zip(value, names, strict=True):
            member: Any = item
            if isinstance(item, dict):
                member = self._dict(item, before)
            elif isinstance(item, list):
                member, found, _ = self._list(item)
                before = found or before
            elif item in self._look_out_for:
                self.seen = True
            if name is not None and name in named:
                member = self._choice(member, name, sources)
            members.append(member)
        if named:
            return _Marked(ChoiceList(tuple(members)), sources, self.seen)
        is_same = all(new is old for new, old in zip(members, value, strict=True))
        return _Marked(value if is_same else members, sources, self.seen)

    def _is_typed(self, value: list[Any]) -> bool:
        """Whether this is a type's name and options, as most definitions are: quickly told,
        quickly done."""
        if len(value) != 2 or type(value[0]) is not str or type(value[1]) is not dict:
            return False
        name, options = value
        return not (
            "." in name
            or name in self._look_out_for
            or self._known.is_listed(name)
            or "key" in options
            or "content" in options
            or "value" in options
        )

    def _typed(self, value: list[Any]) -> Any:
        options = self._dict(value[1], _ANY) if value[1] else value[1]
        return value if options is value[1] else [value[0], options]

    def _dict(self, value: dict[str, Any], sources: frozenset[str]) -> Any:
        """`sources`: the folders that a default in it is judged by."""
        members: dict[str, Any] = {}
        keys: dict[str, Choice] = {}
        is_same = True
        if isinstance(value.get("options"), list):
            sources = self._list(value["options"]).sources or sources
        for key, item in value.items():
            member = item
            if isinstance(item, str):
                if key == "default" or "." in item:
                    member = self._text(key, item, sources)
            elif isinstance(item, list):
                member = self._members(key, item, sources)
            elif isinstance(item, dict):
                member = self._dict(item, _ANY)
            is_same = is_same and member is item
            members[key] = member
            if "." in key and looks_like_model(key) and self._known.find(key):
                keys[key] = self._choice(key, key, _ANY)
        if keys:
            return ChoiceMap(members, keys)
        return value if is_same else members

    def _members(self, key: str, value: list[Any], sources: frozenset[str]) -> Any:
        if key not in ("options", "default"):
            self._input = key
        if self._is_typed(value):
            return self._typed(value)
        if key == "default" and sources:
            # Of a list with several choices: they are models of that list's folders.
            return ChoiceList(
                tuple(
                    self._text(key, item, sources) if isinstance(item, str) else item
                    for item in value
                )
            )
        return self._list(value).value

    def _text(self, key: str, text: str, sources: frozenset[str]) -> Any:
        # A default that names a hidden model would tell of it as well as a list; and so would
        # any other text that is nothing but a model's name.
        is_default = key == "default"
        if (is_default or looks_like_model(text)) and self._known.find(text):
            return self._choice(text, text, sources)
        # An ordinary word that the list's own folder has.
        if is_default and any(self._known.holds(folder, text) for folder in sources):
            return self._choice(text, text, sources)
        return text

    def _choice(self, value: Any, name: str, sources: frozenset[str]) -> Choice:
        own = sorted(folder for folder in sources if self._known.holds(folder, name))
        models = tuple(Model(folder, name) for folder in own)
        return Choice(value, models or self._known.find(name))


def without_models(value: Any, known: KnownModels, allowed: Allowed) -> Any:
    """Any JSON with every list in it freed of models the caller may not know of.

    Other members (`None`, `Baked VAE`, `pixel_space`) stay, in their order; a default that
    names a hidden model is emptied.
    """
    if allowed is everything:
        return value
    return shown(Marker(known).marked(value), Viewer(allowed, known))


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
