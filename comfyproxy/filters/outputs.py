"""The files that a history entry's outputs name."""

from collections.abc import Iterator
from typing import Any

from comfyproxy.files import FileRef


def output_files(outputs: Any) -> Iterator[FileRef]:
    """Every file in `outputs` of a history entry or `output` of an `executed` event.

    Any member of any list that is an object with a `filename` counts; the keys differ
    (`images`, `audio`, `gifs`, …; NOTES section 6).
    """
    stack = [outputs]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            if isinstance(item.get("filename"), str) and isinstance(item.get("type"), str):
                subfolder = item.get("subfolder")
                yield FileRef(
                    item["type"],
                    subfolder if isinstance(subfolder, str) else "",
                    item["filename"],
                )
            else:
                stack.extend(reversed(list(item.values())))
