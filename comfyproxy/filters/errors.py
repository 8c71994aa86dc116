"""ComfyUI's own 400 for an invalid prompt, its shape unchanged, freed of what it gives away."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

from comfyproxy.cachekey import without_input
from comfyproxy.filters.history import cut_paths, shortened
from comfyproxy.filters.modellists import hidden_among, without_models
from comfyproxy.filters.models import Allowed, KnownModels

_GONE: Final = "\0"
# In place of more than twenty values (ComfyUI 0.3.64, execution.py, validate_inputs).
_LENGTH: Final = re.compile(r"\(list of length \d+\)")


def shown_refusal(body: Any, known: KnownModels, allowed: Allowed) -> Any:
    """A `POST /prompt` refusal: lists of values in it are filtered as `object_info` is, those
    that its texts quote or count too, and the leading parts of server paths are cut."""
    filtered = _without_own_input(without_models(body, known, allowed))
    left_out = frozenset(_left_out(body, filtered))

    def hidden(names: Sequence[str]) -> Collection[str]:
        return hidden_among(names, known, allowed) | left_out.intersection(names)

    return cut_paths(_without_quoted(filtered, hidden))


def _left_out(before: Any, after: Any) -> Iterator[str]:
    """The texts that lists lost: a sentence beside such a list may quote it."""
    if isinstance(before, list):
        texts = {item for item in before if isinstance(item, str)}
        yield from texts.difference(item for item in after if isinstance(item, str))
        if len(before) == len(after):
            for one, other in zip(before, after, strict=True):
                yield from _left_out(one, other)
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() & after.keys():
            yield from _left_out(before[key], after[key])


def _without_quoted(value: Any, hidden_among: Callable[[Sequence[str]], Collection[str]]) -> Any:
    """Any JSON without the names that its texts quote and the caller may not know of.

    ComfyUI writes lists into sentences, as Python shows them (`'x' not in ['a', 'b']`,
    `mismatch input_type(['a', 'b'])`), beside quoted values of the client's. So no quotation
    mark is taken for an opening one: whatever stands between two of them counts.
    """
    if isinstance(value, dict):
        return {key: _without_quoted(item, hidden_among) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_quoted(item, hidden_among) for item in value]
    if not isinstance(value, str):
        return value
    # ComfyUI quotes what a client sent, megabytes maybe.
    # How long a list is tells how many things others have.
    value = _LENGTH.sub("(a long list)", shortened(value))
    for mark in ("'", '"'):
        parts = value.split(mark)
        hidden = hidden_among(parts[1:-1])
        if hidden:
            value = mark.join(_GONE if part in hidden else part for part in parts)
            name = f"{mark}{_GONE}{mark}"
            for gone in (f"{name}, ", f", {name}", name, _GONE):
                value = value.replace(gone, "")
    return value


def _without_own_input(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_own_input(item) for key, item in without_input(value).items()}
    if isinstance(value, list):
        return [_without_own_input(item) for item in value]
    return value
