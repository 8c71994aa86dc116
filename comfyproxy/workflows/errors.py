"""What makes a saved workflow impossible to convert with certainty."""

from typing import Final

_SHOWN_CHARS: Final = 80


class Unconvertible(Exception):
    """The prompt that ComfyUI's page would make cannot be told with certainty.

    `reason`: one plain sentence for a person; `node_id`: the node at fault as the prompt
    would call it (`12:5` within a subgraph), None where no single one is.
    """

    def __init__(self, sentence: str, node_id: str | None = None) -> None:
        is_told = node_id is None or f"ode {node_id}" in sentence
        self.reason = sentence if is_told else f"{sentence[:-1]} (node {shown(node_id)})."
        super().__init__(self.reason)
        self.node_id = node_id
        self._sentence = sentence

    def at(self, node_id: str) -> "Unconvertible":
        """The same about a node by its whole id."""
        return Unconvertible(self._sentence, node_id)


def shown(text: object) -> str:
    """A name from the file, short enough for a sentence."""
    found = str(text)
    return found if len(found) <= _SHOWN_CHARS else f"{found[: _SHOWN_CHARS - 1]}…"
