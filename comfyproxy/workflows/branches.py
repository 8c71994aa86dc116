"""Inputs that depend on what is chosen (`COMFY_DYNAMICCOMBO_V3`): a node's shape once it is known.

After ComfyUI_frontend 1.58.1, dynamicWidgets.ts (dynamicComboWidget): the widgets of the choice
stand right behind it, named `choice.input`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from comfyproxy.workflows.classes import branch_parts
from comfyproxy.workflows.document import SavedNode
from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.shapes import Kind, Part, Shape, Widget

_MAX_PARTS: Final = 1000


def expanded(shape: Shape, saved: SavedNode) -> Shape:
    """The shape with what its choices bring along.

    Raises:
        Unconvertible: a choice that the definition does not have
    """
    if not any(widget.kind is Kind.BRANCHES for widget in shape.widgets):
        return shape
    if not isinstance(saved.values, list):
        raise Unconvertible(f"“{shown(saved.called)}” lacks its choices.", saved.id)
    parts = tuple(_expanded(shape.parts, saved, iter(saved.values)))
    return replace(shape, parts=parts)


def _expanded(parts: Sequence[Part], saved: SavedNode, values: Iterator[Any]) -> Iterator[Part]:
    waiting, count = list(reversed(parts)), 0
    while waiting:
        part = waiting.pop()
        count += 1
        if count > _MAX_PARTS:
            raise Unconvertible(f"“{shown(saved.called)}” has too many inputs.", saved.id)
        yield part
        value = next(values, None) if isinstance(part, Widget) and part.saved else None
        if isinstance(part, Widget) and part.kind is Kind.BRANCHES:
            found = branch_parts(saved.type, part, value)
            if found is None:
                raise Unconvertible(
                    f"{shown(part.name)} of “{shown(saved.called)}” is none of its choices.",
                    saved.id,
                )
            waiting.extend(reversed(found))
