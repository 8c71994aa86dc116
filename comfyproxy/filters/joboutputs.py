"""What a job made: how many outputs, and which of them stands for it.

As comfy_execution/jobs.py of ComfyUI's master does (autumn 2026), and ComfyUI's page expects.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_TEXT: Final = "text"
_PREVIEWABLE_KEYS: Final = frozenset({"images", "video", "audio", "3d", _TEXT})
_PREVIEWABLE_FORMATS: Final = ("video/", "audio/")
_3D_ENDINGS: Final = (".obj", ".fbx", ".gltf", ".glb", ".usdz")
_TEXT_ENDINGS: Final = (".txt", ".md", ".json")
# A flag of SaveAnimatedWEBP and others, no list of outputs.
_FLAG: Final = "animated"
MAX_TEXT: Final = 1024

# Which output stands for a job: the first of the lowest rank. Texts come last, in whatever
# order the nodes ran: one that is shown on the way must not hide the picture.
_SAVED, _VISUAL, _TEXT_FILE, _RAW_TEXT = range(4)


@dataclass(frozen=True, slots=True)
class Summary:
    """The number of outputs, of those of them that a page can show, and the one for the list."""

    count: int
    previewable: int
    preview: dict[str, Any] | None


def summary_of(outputs: Any) -> Summary:
    """`outputs` of a history entry, {node id: {key: [item, …]}}; what is not so is passed over.

    A text under `text` is no output, but stands for a job that has nothing else to show.
    """
    count = previewable = 0
    first: dict[int, dict[str, Any]] = {}
    for node_id, key, item in _items(outputs):
        file = _file(item)
        if file is None:
            text = _raw_text(item) if key == _TEXT else None
            if text is not None:
                first.setdefault(_RAW_TEXT, {**text, "nodeId": node_id, "mediaType": key})
            continue
        count += 1
        rank = _rank(key, file)
        if rank is not None:
            previewable += 1
            first.setdefault(rank, {"mediaType": key, **file, "nodeId": node_id})
    return Summary(count, previewable, first[min(first)] if first else None)


def shown_outputs(outputs: Any) -> dict[str, Any]:
    """`outputs` with the names of 3D files as files, and without nulls."""
    if not isinstance(outputs, dict):
        return {}
    return {
        node_id: {key: _shown(key, items) for key, items in node.items()}
        if isinstance(node, dict)
        else node
        for node_id, node in outputs.items()
    }


def _shown(key: str, items: Any) -> Any:
    if key == _FLAG or not isinstance(items, list):
        return items
    return [_file(item) or item for item in items if item is not None]


def _items(outputs: Any) -> Iterator[tuple[str, str, Any]]:
    for node_id, node in outputs.items() if isinstance(outputs, dict) else ():
        for key, items in node.items() if isinstance(node, dict) else ():
            if key != _FLAG and isinstance(items, list):
                for item in items:
                    yield node_id, key, item


def _file(item: Any) -> dict[str, Any] | None:
    """An output as an object; the 3D nodes send bare names."""
    if isinstance(item, str) and item.lower().endswith(_3D_ENDINGS):
        return {"filename": item, "type": "output", "subfolder": "", "mediaType": "3d"}
    return item if isinstance(item, dict) else None


def _rank(key: str, file: dict[str, Any]) -> int | None:
    """None for what a page cannot show."""
    name = file.get("filename")
    name = name.lower() if isinstance(name, str) else ""
    kind = file.get("format")
    if key == _TEXT or name.endswith(_TEXT_ENDINGS):
        return _TEXT_FILE
    is_media = isinstance(kind, str) and kind.startswith(_PREVIEWABLE_FORMATS)
    if key in _PREVIEWABLE_KEYS or is_media or name.endswith(_3D_ENDINGS):
        return _SAVED if file.get("type") == "output" else _VISUAL
    return None


def _raw_text(item: Any) -> dict[str, Any] | None:
    # Some nodes send each text in a tuple of one.
    if isinstance(item, list):
        item = item[0] if item else ""
    if not isinstance(item, (str, int, float)):
        return None
    text = str(item)
    if len(text) <= MAX_TEXT:
        return {"content": text}
    return {"content": text[:MAX_TEXT], "truncated": True}
