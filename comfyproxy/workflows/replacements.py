"""What `%Node.widget%` stands for in a text.

After ComfyUI_frontend 1.27.10, searchAndReplace.ts: the page looks for a node of that name for
search and replace, then for one of that title.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

from comfyproxy.workflows.document import Document, SavedNode
from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.nodes import Node, Nodes
from comfyproxy.workflows.shapes import Kind
from comfyproxy.workflows.subgraphs import Subgraphs
from comfyproxy.workflows.texts import MAY_TAKE_VALUES, as_text

MAX_LOOKUPS: Final = 10_000
_NAME_PROPERTY: Final = "Node name for S&R"


class Replacements:
    """The nodes of a workflow by what a text may call them."""

    def __init__(
        self,
        document: Document,
        nodes: Nodes,
        subgraphs: Subgraphs,
        value_of: Callable[[Node, str], Any],
    ) -> None:
        """`value_of`: what a widget of a node at the top holds just now."""
        self._document = document
        self._nodes = nodes
        self._subgraphs = subgraphs
        self._value_of = value_of
        self._left = MAX_LOOKUPS
        self._named: dict[str, list[Node]] | None = None
        self._titled: dict[str, list[Node]] = defaultdict(list)
        # What could be meant as well, but cannot be told from the file: titles that the page
        # translates, names and titles within subgraphs.
        self._doubtful: set[str] = set()

    def lookup(self, name: str, widget_name: str) -> str | None:
        """The text, or None where the pattern stands for itself.

        Raises:
            Unconvertible: more than one node could be meant, or one whose value only the page
                has
        """
        self._left -= 1
        if self._left < 0:
            raise Unconvertible(f"More than {MAX_LOOKUPS} %Node.widget% are to be replaced.")
        named = self._read()
        found = named.get(name) or self._titled.get(name) or []
        node = found[0] if found else None
        doubt = Unconvertible(
            f"%{shown(name)}.{shown(widget_name)}% may mean several things to the page."
        )
        if len(found) > 1 or (name in self._doubtful and name not in named):
            raise doubt
        if node is None:
            return None
        if node.shape is None:
            raise doubt
        kinds = {widget.name: widget.kind for widget in node.shape.widgets}
        if widget_name not in kinds:
            return None
        text = as_text(self._value_of(node, widget_name))
        if text is None or kinds[widget_name] is Kind.FIXED:
            raise doubt
        return text

    def _read(self) -> dict[str, list[Node]]:
        if self._named is not None:
            return self._named
        self._named = defaultdict(list)
        for saved in self._document.root.nodes.values():
            node = self._nodes.find(None, saved)
            for name in _names(saved, node.shape is not None or node.doubt is not None):
                self._named[name].append(node)
            if saved.title:
                self._titled[saved.title].append(node)
            elif node.shape is not None:
                self._doubtful.add(node.shape.title)
            elif node.definition is not None:
                self._doubtful.add(node.definition.name)
        for name in self._within():
            # First or last: the page's own order decides, and versions differ in the value.
            self._doubtful.add(name)
            self._named.pop(name, None)
        return self._named

    def _within(self) -> Iterator[str]:
        seen: set[str] = set()
        for saved in self._document.root.nodes.values():
            definition = self._document.definitions.get(saved.type)
            if definition is None or definition.id in seen:
                continue
            seen.add(definition.id)
            for _, inner in self._subgraphs.within(definition):
                yield from _names(inner, True)
                yield inner.title


def _names(saved: SavedNode, has_default: bool) -> Iterator[str]:
    """The name for search and replace; one that the page fills in, for most classes."""
    default = saved.type if has_default and saved.type not in MAY_TAKE_VALUES else None
    name = saved.properties.get(_NAME_PROPERTY, default)
    if isinstance(name, str):
        yield name
