"""The values of a node's widgets: which of `widgets_values` belongs to which, and what it
becomes on its way through the page.

After ComfyUI_frontend 1.27.10: LGraphNode.ts (configure), litegraphUtil.ts
(migrateWidgetsValues), useImageUploadWidget.ts, executionUtil.ts.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from comfyproxy.workflows.classes import takes_uploads
from comfyproxy.workflows.document import SavedNode
from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.shapes import Kind, Shape, Socket, Widget

WRAPPED: Final = "__value__"
# How many of a list may be chosen.
MAX_CHOSEN: Final = 1000
# JavaScript's whole numbers are exact up to here.
_EXACT: Final = 2**53
# What ComfyUI takes for a seed, and what JSON readers take for a whole number.
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1
# Where a custom node's own script keeps its preview: never sent.
_PREVIEW_KEYS: Final = frozenset({"videopreview"})


class Missing:
    """The value of a widget that has none: the page sends nothing."""


def widget_values(node: SavedNode, shape: Shape, node_id: str) -> dict[str, Any]:
    """Each widget's value by its name, before anything is checked.

    Raises:
        Unconvertible: values that cannot be told apart
    """
    saved = node.values
    if isinstance(saved, dict):
        return _by_name(node, shape, saved, node_id)
    if saved is not None and not isinstance(saved, list):
        raise Unconvertible(f"“{shown(node.called)}” holds values of an unknown form.", node_id)
    widgets = [widget for widget in shape.widgets if widget.saved]
    values = _aligned(node, shape, saved or [], len(widgets), node_id)
    found = {widget.name: default_of(widget) for widget in shape.widgets}
    for widget, value in zip(widgets, values, strict=False):
        if widget.kind is not Kind.FIXED:
            found[widget.name] = value
    _require_names(node, shape, found, node_id)
    return found


def _aligned(
    node: SavedNode, shape: Shape, values: list[Any], count: int, node_id: str
) -> Sequence[Any]:
    """The values of the widgets there are."""
    if len(values) == count or (shape.is_core and _is_explained(shape, values, count)):
        return values
    forced = _with_forced(shape)
    if forced and len(values) == len(forced):
        return [value for value, is_kept in zip(values, forced, strict=True) if is_kept]
    how = f"{len(values)} values for {count} widgets"
    raise Unconvertible(f"“{shown(node.called)}” holds {how}.", node_id)


def _is_explained(shape: Shape, values: list[Any], count: int) -> bool:
    """Whether another number of values than there are widgets leaves no doubt which is whose,
    in a class of ComfyUI's own (a custom one may have a script that adds or hides widgets):
    none at all, so that all keep their defaults; empty ones at the end, of players and buttons
    of older pages; any at all where there is no widget to hold one."""
    has_widgets = any(widget.kind is not Kind.FIXED for widget in shape.widgets)
    return (
        not values
        or not has_widgets
        or (len(values) > count and all(value in (None, "") for value in values[count:]))
    )


def _with_forced(shape: Shape) -> list[bool]:
    """Whether each value is one of a widget, where pages before 1.16 also kept values for
    inputs that only take links; empty where the page itself would miscount (a control before
    such an input)."""
    kept: list[bool] = []
    has_control = False
    for part in shape.parts:
        if isinstance(part, Socket):
            if part.is_forced and has_control:
                return []
            kept.extend([False] if part.is_forced else [])
        elif isinstance(part, Widget) and part.saved:
            has_control = has_control or not part.has_input
            kept.append(True)
    return kept if False in kept else []


def _by_name(
    node: SavedNode, shape: Shape, saved: Mapping[str, Any], node_id: str
) -> dict[str, Any]:
    """Values that a custom node's own script saved by name."""
    names = {widget.name for widget in shape.widgets if widget.saved}
    if shape.is_core or len(names) < len([w for w in shape.widgets if w.saved]):
        raise Unconvertible(f"“{shown(node.called)}” holds values of an unknown form.", node_id)
    if saved.keys() - _PREVIEW_KEYS != names:
        odd = sorted(map(str, (saved.keys() - _PREVIEW_KEYS) ^ names))[0]
        raise Unconvertible(
            f"“{shown(node.called)}” holds a value that is none of its widgets', or lacks one:"
            f" {shown(odd)}.",
            node_id,
        )
    found = {widget.name: default_of(widget) for widget in shape.widgets}
    return {**found, **{name: saved[name] for name in names}}


def _require_names(node: SavedNode, shape: Shape, found: Mapping[str, Any], node_id: str) -> None:
    """Raise Unconvertible where a newer page saved the values by name too, and differently."""
    for widget in shape.widgets:
        name = widget.name
        is_told = widget.saved and widget.kind is not Kind.FIXED
        if is_told and node.named_values.get(name, found[name]) != found[name]:
            raise Unconvertible(
                f"“{shown(node.called)}” holds two values for {shown(name)}.", node_id
            )


def default_of(widget: Widget) -> Any:
    """What the page fills in where the file has no value."""
    options = widget.definition.options
    default = options.get("default")
    match widget.kind:
        case Kind.COMBO:
            choices = widget.definition.values or []
            return default or (choices[0] if choices else Missing)
        case Kind.INT | Kind.FLOAT:
            return 0 if default is None else default
        case Kind.BOOLEAN:
            return False if default is None else default
        case Kind.MANY:
            return []
        case Kind.COLOR:
            return Missing
    return "" if default is None else default


def sendable(widget: Widget, value: Any, called: str, node_id: str) -> Any:
    """A widget's value as it stands in a prompt, or Missing.

    Raises:
        Unconvertible: of a kind that the widget does not hold: it belongs elsewhere, or the
            page would make something else of it
    """
    if value is Missing and widget.kind is Kind.COMBO:
        return Missing
    if not _fits(widget, value):
        raise Unconvertible(
            f"{shown(widget.name)} of “{shown(called)}” holds a value of another kind.", node_id
        )
    if widget.kind is Kind.LINES:
        # A text area has one kind of line break.
        return value.replace("\r\n", "\n").replace("\r", "\n")
    return in_prompt(value, called, node_id)


def _fits(widget: Widget, value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match widget.kind:
        case Kind.INT:
            return is_number and (isinstance(value, int) or value.is_integer())
        case Kind.FLOAT:
            return is_number
        case Kind.BOOLEAN:
            return isinstance(value, bool)
        case Kind.COMBO if takes_uploads(widget.definition):
            # The page puts the first of the list for an empty one, and a note behind the
            # names of other folders.
            folder = widget.definition.options.get("image_folder") or "input"
            is_named = isinstance(value, str) and value != ""
            return is_named and (folder == "input" or f"[{folder}]" in value)
        case Kind.COMBO | Kind.BRANCHES:
            return isinstance(value, (str, int, float))
        case Kind.MANY:
            is_list = isinstance(value, list) and len(value) <= MAX_CHOSEN
            return is_list and all(isinstance(item, (str, int, float)) for item in value)
    return isinstance(value, str)


def in_prompt(value: Any, called: str, node_id: str) -> Any:
    """A text, number or truth value, or a list of them, as JavaScript writes it into a prompt: a
    list is wrapped, since a bare one would be a link.

    Raises:
        Unconvertible: a number that is none
    """
    if isinstance(value, list):
        return {WRAPPED: [in_prompt(item, called, node_id) for item in value]}
    if isinstance(value, (str, bool)):
        return value
    number = javascript_number(value)
    if number is None or (isinstance(value, int) and isinstance(number, float)):
        raise Unconvertible(f"“{shown(called)}” holds a number that is too large.", node_id)
    return number


def javascript_number(value: int | float) -> int | float | None:
    """The number as the page reads and writes it: seeds beyond 2^53 lose their last digits,
    `1.0` becomes `1`; a float where it has more than 64 bits. None where it is endless."""
    if isinstance(value, int) and abs(value) <= _EXACT:
        return value
    try:
        number = float(value)
    except OverflowError:
        return None
    if not isfinite(number):
        return None
    if not number.is_integer():
        return number
    # JavaScript writes the shortest digits that mean the number, and zeros behind them.
    written = int(Decimal(repr(number)))
    return written if _LOWEST <= written <= _HIGHEST else number
