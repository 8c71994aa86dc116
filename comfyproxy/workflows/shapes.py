"""What a node of a class looks like on the page: its inputs, its widgets, its outputs."""

from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

from comfyproxy.filters.definitions import Definition


class Kind(Enum):
    """What a widget holds."""

    INT = auto()
    FLOAT = auto()
    BOOLEAN = auto()
    TEXT = auto()
    LINES = auto()  # text of several lines
    COMBO = auto()
    MANY = auto()  # several of a list
    COLOR = auto()
    BRANCHES = auto()  # a list, and more inputs for what is chosen
    FIXED = auto()  # something to look at or to press: its value never changes


@dataclass(frozen=True, slots=True)
class Widget:
    """A widget. `saved`: it has a place in `widgets_values`; `sent`: in the prompt;
    `has_input`: an input goes with it, so that a link may take its value's place."""

    name: str
    kind: Kind
    definition: Definition
    saved: bool = True
    sent: bool = True
    has_input: bool = True
    input_type: str = ""


@dataclass(frozen=True, slots=True)
class Socket:
    """An input that only takes links. `type`: None where it depends on links; `is_forced`: it
    could have been a widget, and pages before 1.16 kept a value for it."""

    name: str
    type: str | None
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Growing:
    """A group of sockets that grows with its links: the file says how many there are."""

    name: str


Part = Socket | Widget | Growing


@dataclass(frozen=True)
class Shape:
    """A class. `parts`: in the order of their definition; `outputs`: their types, None where
    they depend on links; `is_core`: of ComfyUI itself."""

    parts: tuple[Part, ...]
    outputs: tuple[str | None, ...]
    title: str
    is_core: bool
    is_output: bool = False

    @cached_property
    def widgets(self) -> tuple[Widget, ...]:
        return tuple(part for part in self.parts if isinstance(part, Widget))

    @cached_property
    def inputs(self) -> list[tuple[str, str | None]]:
        """Name and type of each input in the page's order: sockets, then widgets'."""
        sockets = [(part.name, part.type) for part in self.parts if isinstance(part, Socket)]
        widgets = [(part.name, part.input_type) for part in self.widgets if part.has_input]
        return [*sockets, *widgets]

    @cached_property
    def grows(self) -> bool:
        return any(isinstance(part, Growing) for part in self.parts)
