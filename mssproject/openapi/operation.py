"""One operation as it is described: what may be sent, what comes back, what is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mssproject.openapi.shapes import ANY, TEXT, Shape

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
HTML: Final = "text/html"

Codes = tuple[str, ...]
# How one may say who one is; which schemes that are is `security`'s.
Login = Literal["any", "none", "header", "cookie", "comfyui"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One status. `kinds`: media type → shape; none: no body."""

    description: str
    kinds: Mapping[str, Shape] = field(default_factory=dict)

    def spelt(self) -> dict[str, Any]:
        """The response object of OpenAPI."""
        if not self.kinds:
            return {"description": self.description}
        content = {kind: {"schema": shape} for kind, shape in self.kinds.items()}
        return {"description": self.description, "content": content}


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the address."""

    description: str
    shape: Shape = field(default_factory=lambda: TEXT)
    required: bool = False

    def spelt(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "in": "query",
            "description": self.description,
            "required": self.required,
            "schema": self.shape,
        }


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one address does.

    `body`: a serializer class, or a shape; `kinds`: the media types it may be sent as; None: no
    body is read. `answers`: what is no refusal. `refused`: status → its own codes, beside those
    that any address has. `login` None: as the view says.
    """

    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    body: Any = None
    kinds: tuple[str, ...] = (JSON,)
    needs_body: bool = True
    query: Mapping[str, Query] = field(default_factory=dict)
    refused: Mapping[int, Codes] = field(default_factory=dict)
    login: Login | None = None
    tag: str = ""
    # Fields of a refusal that are this address's own.
    refusal_fields: Mapping[str, Shape] = field(default_factory=dict)
    # Where somebody else answers (ComfyUI, a custom node), with whatever that may be.
    is_open: bool = False


Operations = dict[str, Operation]


def ok(shape: Shape, description: str = "Done.") -> dict[int, Answer]:
    """200 with JSON."""
    return {200: Answer(description, {JSON: shape})}


def page(description: str) -> dict[int, Answer]:
    """200 with a page for people."""
    return {200: Answer(description, {HTML: TEXT})}


def moved(description: str) -> dict[int, Answer]:
    """302."""
    return {302: Answer(description)}


def nothing(description: str = "Done; no body.", status: int = 200) -> dict[int, Answer]:
    """No body, as ComfyUI answers changes."""
    return {status: Answer(description)}


def file_of(*kinds: str, description: str = "The file.") -> dict[int, Answer]:
    """200 with bytes, of which nothing is said."""
    return {200: Answer(description, dict.fromkeys(kinds or ("*/*",), ANY))}
