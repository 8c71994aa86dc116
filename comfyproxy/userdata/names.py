"""What a file of a user's may be called: one spelling each, safe on every system.

A name comes decoded once. It is refused, not repaired, so that what was saved is found again
under the very same name. The rules are those of Windows, the narrowest of the three systems
(Microsoft, "Naming Files, Paths, and Namespaces"), so that a data directory can be moved.
"""

import re
import unicodedata
from typing import Final

from accounts.errors import BadPath, BadRequest

WORKFLOWS: Final = "workflows"
# The most that Linux and macOS take of one name (bytes), and Windows (UTF-16 units).
MAX_PART: Final = 255
MAX_PATH_BYTES: Final = 1000
MAX_DEPTH: Final = 20

_FORBIDDEN: Final = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\]')
_ENCODED: Final = re.compile(r"%(?:25)*(?:2f|2e|5c|[01][0-9a-f]|7f)", re.IGNORECASE | re.ASCII)
_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(?:\..*)?",
    re.IGNORECASE | re.DOTALL,
)
NOT_A_NAME: Final = 'This is no name for a file. Leave out : * ? " < > | and \\.'


def parse(text: str) -> str:
    """The path of a file below its tree: parts joined by `/`, as it was given.

    Raises:
        BadPath: leaves the tree, is absolute or empty, or still holds an encoded separator
        BadRequest: cannot be a file's name on some system
    """
    if _ENCODED.search(text) or "\\" in text:
        raise BadPath
    parts = text.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise BadPath
    if len(parts) > MAX_DEPTH or len(_bytes(text)) > MAX_PATH_BYTES:
        raise BadRequest("This name is too long.")
    for part in parts:
        _require_name(part)
    # On some systems `Workflows` is the same folder: one spelling, so that nobody locks
    # themselves out of it.
    if is_workflow(text) and parts[0] != WORKFLOWS:
        raise BadRequest(f"Write {WORKFLOWS} in small letters.")
    return text


def parse_folder(text: str) -> str:
    """The path of a folder; empty: the tree's root. `.`, doubled and closing slashes are
    passed over, as ComfyUI does.

    Raises:
        BadPath, BadRequest: as `parse`
    """
    if text.startswith("/"):
        raise BadPath
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return parse("/".join(parts)) if parts else ""


def is_workflow(path: str) -> bool:
    """Whether a path is `workflows` or below it, in whatever letters."""
    return collision_key(path.partition("/")[0]) == WORKFLOWS


def collision_key(path: str) -> str:
    """The same for names that some system takes for one: capital letters and accents are
    stored differently (Windows, macOS)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _require_name(part: str) -> None:
    if len(_bytes(part)) > MAX_PART:
        raise BadRequest("This name is too long.")
    # Windows drops dots and spaces at the end.
    if _FORBIDDEN.search(part) or _DEVICE.fullmatch(part) or part[-1] in ". ":
        raise BadRequest(NOT_A_NAME)


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, from JSON
        raise BadRequest(NOT_A_NAME) from None
