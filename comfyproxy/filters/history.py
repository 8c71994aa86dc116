"""One history entry as its owner may see it."""

import re
from typing import Any, Final

from comfyproxy.cachekey import without_input, without_written_input
from comfyproxy.filters.queue import Ownership, shown_item

# An absolute path in a traceback or message, in double quotes or bare; not a URL's. Single
# spaces are part of it, so that a folder named `my user` does not end it.
_PART: Final = r"[^\s/\\'\"<>|:,]+(?: [^\s/\\'\"<>|:,]+)*"
_SERVER_PATH: Final = re.compile(
    r'(?<=")(?:[A-Za-z]:)?[/\\][^"\n]*(?=")'
    r"|(?:(?<=file:)|(?<![\w.~…\-/\\])(?!(?<=:)//))"
    rf"(?:[A-Za-z]:)?(?:[/\\]+{_PART})+"
)
_SEPARATORS: Final = re.compile(r"[/\\]+")
# Of one text, and of all texts of an error together.
MAX_TEXT_CHARS: Final = 16_000
MAX_ERROR_CHARS: Final = 300_000


def visible_entry(entry: Any, owner: Ownership | None) -> dict[str, Any] | None:
    """An entry of `GET /history`, or None for one that is not shaped like ComfyUI's.

    `entry`: {"prompt": tuple, "outputs", "status", "meta"} (ComfyUI 0.3.64, execution.py
    PromptQueue.task_done).
    """
    if not isinstance(entry, dict):
        return None
    item = entry.get("prompt")
    if not isinstance(item, list) or len(item) < 4:
        return None
    shown = {**entry, "prompt": shown_item(item, owner)}
    if isinstance(entry.get("status"), dict):
        shown["status"] = _status(entry["status"])
    return shown


def _status(status: dict[str, Any]) -> dict[str, Any]:
    messages = status.get("messages")
    if not isinstance(messages, list):
        return status
    return {**status, "messages": [_message(message) for message in messages]}


def _message(message: Any) -> Any:
    if isinstance(message, list) and len(message) == 2 and message[0] == "execution_error":
        return [message[0], shown_error(message[1])]
    return message


def shown_error(data: Any) -> Any:
    """An `execution_error`'s data without server paths and without what the gateway added."""
    if not isinstance(data, dict):
        return data
    shown = cut_paths(data)
    inputs = shown.get("current_inputs")
    if isinstance(inputs, dict):
        shown["current_inputs"] = without_input(inputs)
    return shown


def cut_paths(value: Any) -> Any:
    """Any JSON with the leading parts of server paths in its texts replaced by `…`: they tell
    where ComfyUI is installed and nothing a user needs. So does what the gateway added.

    ComfyUI's errors repeat what a prompt holds, megabytes maybe: long texts are shortened.
    """
    return _PathCutter().cut(value)


class _PathCutter:
    """Cuts so many characters; what comes after them is shortened, too."""

    def __init__(self) -> None:
        self._left = MAX_ERROR_CHARS

    def cut(self, value: Any) -> Any:
        if isinstance(value, str):
            short = shortened(value, min(MAX_TEXT_CHARS, max(0, self._left)))
            self._left -= len(short)
            return _SERVER_PATH.sub(_cut_path, without_written_input(short))
        if isinstance(value, list):
            return [self.cut(item) for item in value]
        if isinstance(value, dict):
            return {key: self.cut(item) for key, item in value.items()}
        return value


def shortened(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """A text of so many characters at most; what is left out begins where a word does, so that
    no half of a name or of a path is left."""
    if len(text) <= limit:
        return text
    start = text[:limit]
    end = max(start.rfind(mark) for mark in "'\" \n")
    return f"{start[: end + 1]}…"


def cut_path(path: str) -> str:
    """The end of a server path; the first part goes at least, and all before the last two."""
    parts = [part for part in _SEPARATORS.split(path) if part]
    has_drive = not path.startswith(("/", "\\"))
    kept = parts[1 + has_drive :][-2:]
    return "/".join(("…", *kept)) if kept else path


def _cut_path(match: re.Match[str]) -> str:
    return cut_path(match[0])
