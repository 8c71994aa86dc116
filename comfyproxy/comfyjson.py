"""JSON as ComfyUI writes it, which is not always JSON."""

import asyncio
import json
from typing import Any, Final

import orjson

# Takes long.
LARGE_BYTES: Final = 1_000_000


async def parsed_aside(raw: bytes) -> Any:
    """As `parsed`; of what takes long, in a thread: others have the event loop meanwhile."""
    return await asyncio.to_thread(parsed, raw) if len(raw) > LARGE_BYTES else parsed(raw)


def parsed(raw: bytes) -> Any:
    """The JSON, or None. Python's parser takes the bare NaN that ComfyUI writes for a node's
    value; such numbers become null."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        return _encodable(json.loads(raw, parse_constant=lambda name: None))
    except (ValueError, RecursionError):
        return None


def _encodable(value: Any) -> Any:
    """What orjson, which is stricter than the parser that ComfyUI writes for, can encode again:
    no half of a character (file names that are no UTF-8), no integer beyond 64 bits."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else None
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return {_encodable(key): _encodable(item) for key, item in value.items()}
