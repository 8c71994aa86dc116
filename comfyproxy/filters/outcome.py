"""How a prompt ended and when, read from its history entry."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

# What `comfyproxy.models.PromptRecord.State` calls them.
SUCCESS: Final = "success"
ERROR: Final = "error"
INTERRUPTED: Final = "interrupted"
_ENDS: Final = {
    "execution_success": SUCCESS,
    "execution_error": ERROR,
    "execution_interrupted": INTERRUPTED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a prompt. Times are milliseconds since the epoch by ComfyUI's clock, None
    where ComfyUI does not tell."""

    state: str
    started_ms: float | None = None
    finished_ms: float | None = None

    @property
    def started_at(self) -> datetime | None:
        return _datetime(self.started_ms)

    @property
    def finished_at(self) -> datetime | None:
        return _datetime(self.finished_ms)

    @property
    def seconds(self) -> float | None:
        """How long it ran."""
        if self.started_ms is None or self.finished_ms is None:
            return None
        return max(self.finished_ms - self.started_ms, 0) / 1000


def outcome_of(entry: Any) -> Outcome:
    """The outcome that an entry of `GET /history` tells.

    `entry["status"]`: {"status_str": "success" | "error", "messages": [[event, {"timestamp":
    ms, …}], …]}, or null (ComfyUI 0.3.64, execution.py add_message and task_done).
    """
    status = entry.get("status") if isinstance(entry, dict) else None
    if not isinstance(status, dict):
        return Outcome(SUCCESS)
    state = ERROR if status.get("status_str") == "error" else SUCCESS
    started = finished = None
    messages = status.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, list) or len(message) != 2 or not isinstance(message[1], dict):
            continue
        event, moment = message[0], _moment(message[1].get("timestamp"))
        if event == "execution_start":
            started = moment
        elif isinstance(event, str) and event in _ENDS:
            state, finished = _ENDS[event], moment
    return Outcome(state, started, finished)


def _datetime(ms: float | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _moment(value: Any) -> float | None:
    """A time that a database can hold: from 1970 to the year 9999."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 253_370_764_800_000 else None
