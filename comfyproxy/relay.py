"""What of ComfyUI's socket a client may see: one frame and a little state in, a verdict out.

Event by event after NOTES of ComfyUI 0.3.64 (server.py, execution.py, protocol.py): what
carries a prompt id is judged by whose prompt it is; what carries none is passed only while
the one prompt that runs is known to be this client's, because ComfyUI broadcasts such
frames to everyone; a custom node's own event moreover only if it names a node of that run.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

import orjson

from comfyproxy.filters.history import shown_error

# ComfyUI protocol.py, BinaryEventTypes
PREVIEW: Final = 1
TEXT_PROGRESS: Final = 3
PREVIEW_WITH_METADATA: Final = 4
_FORMATS: Final = {"image/jpeg": 1, "image/png": 2}

MAX_FRAME_UP_CHARS: Final = 64 * 1024

_SIGNS_OF_RUNNING: Final = frozenset({"executing", "progress", "progress_state", "executed"})
# Event types of ComfyUI itself (0.3.64 to master): what becomes of them is decided here.
CORE_EVENTS: Final = _SIGNS_OF_RUNNING | {
    "status",
    "feature_flags",
    "logs",
    "execution_start",
    "execution_cached",
    "execution_success",
    "execution_error",
    "execution_interrupted",
    "notification",
    "b_preview",
    "b_preview_with_metadata",
    "progress_text",
}
MAX_ENDED: Final = 64
_ENDINGS: Final = frozenset({"execution_success", "execution_error", "execution_interrupted"})


class Sort(Enum):
    """What becomes of a frame."""

    DROP = auto()
    # The queue changed; the gateway counts anew and sends each client its own number.
    QUEUE_CHANGED = auto()
    # The server's own feature flags, kept for clients that ask.
    FLAGS = auto()
    # Queued, and kept for a client that is away for a moment.
    EVENT = auto()
    # As EVENT, for those who may read the server's log.
    LOGS = auto()
    # A finished picture (SaveImageWebsocket): as EVENT, but to users who are kept from explicit
    # images only once it was judged.
    RESULT = auto()
    # A picture in the making: the first thing to go when a client is slow.
    PREVIEW = auto()
    # A custom node's, about nobody in particular: for all or for none, as the admin says.
    CUSTOM = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`payload` is what to send; for pictures, `plain` is the same in the form for clients
    that did not announce `supports_preview_metadata`. `kind` is a text event's type, with
    `prompt_id` where it is of a prompt of the user's, and `data` what it holds."""

    sort: Sort
    payload: str | bytes = b""
    plain: bytes = b""
    data: Any = None
    kind: str = ""
    prompt_id: str | None = None
    # Of a picture: whether anybody may be shown it.
    is_judged: bool = False

    @property
    def picture(self) -> bytes:
        """The bytes of a picture themselves, as an image file."""
        return self.plain[8:]


DROPPED: Final = Verdict(Sort.DROP)
_QUEUE_CHANGED: Final = Verdict(Sort.QUEUE_CHANGED)
# As Python's json writes ComfyUI's (0.3.64, server.py, send_json).
_STATUS: Final = b'{"type": "status", "data": {"status": {'


@dataclass(slots=True)
class RunState:
    """Which prompt this socket last saw starting and not yet ending."""

    running: str | None = None
    # When that prompt started, by ComfyUI's clock, and the nodes it was heard of since.
    started_ms: float | None = None
    nodes: set[str] = field(default_factory=set)
    # The last ones that ended.
    ended: tuple[str, ...] = ()


def is_status(text: bytes) -> bool:
    """Whether a text frame says that the queue changed, as most do: ComfyUI tells everybody of
    every change of anybody's. Known by its beginning; `judge_text` knows one that begins
    otherwise."""
    return text.startswith(_STATUS)


def judge_text(text: str, state: RunState, is_own: Callable[[str], bool]) -> Verdict:
    """The verdict on a text frame; `state` is brought up to date.

    `is_own` says whether a prompt id belongs to the client's user.
    """
    event, text = _parsed(text)
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return DROPPED
    kind, data = event["type"], event.get("data")
    if kind == "status":
        return _QUEUE_CHANGED
    if kind == "feature_flags":
        return Verdict(Sort.FLAGS, data=data)
    if kind == "logs":
        return Verdict(Sort.LOGS, text, kind=kind)
    prompt_id = data.get("prompt_id") if isinstance(data, dict) else None
    if not isinstance(prompt_id, str):
        return _without_id(kind, data, text, state)
    if not is_own(prompt_id):
        # Someone else's run: whatever comes without an id from here on is theirs.
        state.running = None
        return DROPPED
    _follow(kind, data, prompt_id, state)
    if kind == "execution_error":
        text = orjson.dumps({**event, "data": shown_error(data)}).decode()
    return Verdict(Sort.EVENT, text, data=data, kind=kind, prompt_id=prompt_id)


def _parsed(text: str) -> tuple[Any, str]:
    """A frame, and its text as JSON: Python writes NaN and Infinity, which no client reads."""
    try:
        return orjson.loads(text), text
    except orjson.JSONDecodeError:
        pass
    try:
        event = json.loads(text, parse_constant=lambda name: None)
        return event, orjson.dumps(event).decode()
    except (ValueError, TypeError, RecursionError):
        return None, text


def _without_id(kind: str, data: Any, text: str, state: RunState) -> Verdict:
    if kind in CORE_EVENTS:
        # On a reconnect ComfyUI tells the socket whose prompt runs which node, without its id.
        resumed = kind == "executing" and isinstance(data, dict) and data.get("node") is not None
        if state.running is not None or resumed:
            return Verdict(Sort.EVENT, text, kind=kind)
        return DROPPED
    if state.running is not None and _names_node(data, state.nodes):
        return Verdict(Sort.EVENT, text, kind=kind)
    return Verdict(Sort.CUSTOM, text, kind=kind)


def _names_node(data: Any, nodes: set[str], depth: int = 3) -> bool:
    """Whether an event's data names one of these nodes: custom nodes call the field `node`,
    `node_id`, `id`, `unique_id`, …"""
    if isinstance(data, dict):
        return any(
            (isinstance(value, str | int) and str(value) in nodes)
            or (depth > 0 and _names_node(value, nodes, depth - 1))
            for value in data.values()
        )
    return (
        depth > 0
        and isinstance(data, list)
        and any(_names_node(item, nodes, depth - 1) for item in data)
    )


def _follow(kind: str, data: Any, prompt_id: str, state: RunState) -> None:
    if kind == "execution_start":
        state.running = prompt_id
        state.started_ms = _number(data.get("timestamp"))
        state.nodes = set()
    elif kind in _ENDINGS or (kind == "executing" and data.get("node") is None):
        state.ended = (*state.ended[1 - MAX_ENDED :], prompt_id)
        if state.running == prompt_id:
            state.running = None
    elif kind in _SIGNS_OF_RUNNING and prompt_id not in state.ended:
        if state.running != prompt_id:
            # The start was missed (a reconnect). What a node's thread reports after the end of
            # its prompt is no such sign: by then another's may be running.
            state.running, state.started_ms, state.nodes = prompt_id, None, set()
        state.nodes |= _nodes_in(data)
    elif kind == "execution_cached" and state.running == prompt_id:
        state.nodes |= _nodes_in(data)


def _nodes_in(data: dict[str, Any]) -> set[str]:
    """The nodes that one of ComfyUI's own events names."""
    named = (data.get("node"), data.get("display_node"))
    several = data.get("nodes")
    members = [*several] if isinstance(several, list | dict) else []
    return {node for node in (*named, *members) if isinstance(node, str)}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def judge_binary(
    frame: bytes,
    state: RunState,
    is_own: Callable[[str], bool],
    result_nodes: Callable[[str], frozenset[str]],
) -> Verdict:
    """The verdict on a binary frame (u32 event, big endian, then the event's own layout).

    `result_nodes` gives the nodes of a prompt whose pictures are results, not previews.
    """
    if len(frame) < 8:
        return DROPPED
    (event,) = struct.unpack_from(">I", frame)
    if event == PREVIEW_WITH_METADATA:
        return _with_metadata(frame, is_own, result_nodes)
    if state.running is None:
        return DROPPED
    if event == PREVIEW:
        return Verdict(Sort.PREVIEW, frame, plain=frame)
    if event == TEXT_PROGRESS and _text_node(frame) in state.nodes:
        return Verdict(Sort.EVENT, frame)
    return DROPPED


def _text_node(frame: bytes) -> str:
    (length,) = struct.unpack_from(">I", frame, 4)
    return frame[8 : 8 + length].decode("utf-8", "replace")


def _with_metadata(
    frame: bytes, is_own: Callable[[str], bool], result_nodes: Callable[[str], frozenset[str]]
) -> Verdict:
    (length,) = struct.unpack_from(">I", frame, 4)
    picture = frame[8 + length :]
    try:
        metadata = orjson.loads(frame[8 : 8 + length])
    except orjson.JSONDecodeError:
        return DROPPED
    prompt_id = metadata.get("prompt_id") if isinstance(metadata, dict) else None
    if not isinstance(prompt_id, str) or not is_own(prompt_id):
        return DROPPED
    image_format = _FORMATS.get(str(metadata.get("image_type")), 1)
    plain = struct.pack(">II", PREVIEW, image_format) + picture
    node_id = metadata.get("node_id")
    is_result = isinstance(node_id, str) and node_id in result_nodes(prompt_id)
    return Verdict(Sort.RESULT if is_result else Sort.PREVIEW, frame, plain=plain)


def status_event(count: int, sid: str | None = None) -> str:
    """A `status` frame as ComfyUI sends it, with the client's own count (and its id)."""
    data: dict[str, Any] = {"status": {"exec_info": {"queue_remaining": count}}}
    if sid is not None:
        data["sid"] = sid
    return orjson.dumps({"type": "status", "data": data}).decode()


def flags_event(flags: Any) -> str:
    """A `feature_flags` frame."""
    return orjson.dumps({"type": "feature_flags", "data": flags}).decode()


def announced_flags(text: str) -> dict[str, Any] | None:
    """The flags of a client's `feature_flags` message, or None for any other message."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict) or message.get("type") != "feature_flags":
        return None
    data = message.get("data")
    return data if isinstance(data, dict) else {}


def may_go_up(frame: str | bytes) -> bool:
    """Whether a client's frame is passed on to ComfyUI: a JSON object of moderate size.

    ComfyUI writes everything else into its log, in full, and keeps the last 300 entries in
    memory (0.3.64, server.py websocket_handler): a guest could fill both.
    """
    if not isinstance(frame, str) or len(frame) > MAX_FRAME_UP_CHARS:
        return False
    try:
        return isinstance(orjson.loads(frame), dict)
    except orjson.JSONDecodeError:
        return False
