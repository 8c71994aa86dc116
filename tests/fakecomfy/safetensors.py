"""Reads and writes the header of safetensors files, enough for dummy models and latents."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any


def write(path: str | Path, metadata: dict[str, str] | None = None, values: int = 4) -> None:
    """Writes a valid file with one small F32 tensor."""
    size = values * 4
    header: dict[str, Any] = {}
    if metadata:
        header["__metadata__"] = metadata
    header["weight"] = {"dtype": "F32", "shape": [values], "data_offsets": [0, size]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * size)


def read_header(path: str, max_size: int) -> dict[str, Any] | None:
    """The header as an object; None when it claims to be larger than max_size."""
    with Path(path).open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        if length > max_size:
            return None
        return json.loads(file.read(length))
