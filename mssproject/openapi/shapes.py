"""JSON Schema in few words, for what is described by hand."""

from typing import Any, Final

Shape = dict[str, Any]

ANY: Final[Shape] = {}
# An object of any kind.
FREE: Final[Shape] = {"type": "object"}
TEXT: Final[Shape] = {"type": "string"}
INTEGER: Final[Shape] = {"type": "integer"}
NUMBER: Final[Shape] = {"type": "number"}
BOOLEAN: Final[Shape] = {"type": "boolean"}
TIME: Final[Shape] = {"type": "string", "format": "date-time"}
UUID: Final[Shape] = {"type": "string", "format": "uuid"}
BYTES: Final[Shape] = {"type": "string", "format": "binary"}


def said(description: str, shape: Shape) -> Shape:
    """That shape, and what it means."""
    return {**shape, "description": description}


def ref(name: str) -> Shape:
    """A shape that is described once, under that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(of: Shape, **limits: Any) -> Shape:
    return {"type": "array", "items": of, **limits}


def mapping(of: Shape) -> Shape:
    """An object with any keys, all of whose values are of one shape."""
    return {"type": "object", "additionalProperties": of}


def one_of(*values: str) -> Shape:
    return {"type": "string", "enum": list(values)}


def always(value: Any) -> Shape:
    return {"const": value}


def nullable(shape: Shape) -> Shape:
    if isinstance(shape.get("type"), str):
        more = {"enum": [*shape["enum"], None]} if "enum" in shape else {}
        return {**shape, **more, "type": [shape["type"], "null"]}
    return {"anyOf": [shape, {"type": "null"}]}


def obj(optional: dict[str, Shape] | None = None, /, **required: Shape) -> Shape:
    """An object that always has the members named, and may have the optional ones."""
    shape: Shape = {"type": "object", "properties": {**required, **(optional or {})}}
    return {**shape, "required": list(required)} if required else shape
