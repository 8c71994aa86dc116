"""Whether bytes are the model that their name says: pages, errors and broken headers are not."""

import json
from threading import Lock
from typing import Any, BinaryIO, Final

from accounts.sentences import english
from downloads.errors import UnsafeFormat, WrongContent
from downloads.paths import is_model, is_pickle, suffix_of

# safetensors' own bound (safetensors/src/tensor.rs, MAX_HEADER_SIZE).
MAX_HEADER: Final = 100_000_000
# What is read of it here: parsed it takes some twenty times as much memory. The largest models
# have headers of a few hundred kB, most of it notes of their training.
MAX_PARSED: Final = 8_000_000
# Downloads run side by side; their headers are parsed one by one.
_parsing: Final = Lock()
SNIFFED: Final = 512
_TEXTS: Final = frozenset({".json", ".yaml"})
_SAFETENSORS: Final = frozenset({".safetensors", ".sft"})
_PAGES: Final = ("text/html", "application/xhtml+xml")


def check_format(name: str, allow_pickle: bool) -> None:
    """Raises UnsafeFormat for what may not be downloaded under this name."""
    if is_pickle(name):
        if not allow_pickle:
            raise UnsafeFormat
    elif not is_model(name):
        raise UnsafeFormat(english("The file is no model. Choose a .safetensors file."))


def check_type(name: str, content_type: str) -> None:
    """Raises WrongContent where the Content-Type header alone says page or error."""
    kind = content_type.split(";", 1)[0].strip().lower()
    if kind in _PAGES:
        raise WrongContent(
            english("The site sent a web page instead of the model. Try again later.")
        )
    if suffix_of(name) not in _TEXTS and (kind == "application/json" or kind.endswith("+json")):
        raise WrongContent(
            english("The site sent a message instead of the model. Try again later.")
        )


def check_start(name: str, start: bytes, size: int | None) -> None:
    """Looks at the first bytes (at most `SNIFFED` are needed) before the rest is fetched.

    Raises:
        WrongContent
    """
    suffix = suffix_of(name)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if suffix in _SAFETENSORS:
        _header_length(start, size)
        if start[8:9] not in (b"{", b""):
            raise WrongContent(english("The file is no safetensors file. Nothing was kept."))
    elif suffix == ".gguf" and not start.startswith(b"GGUF"):
        raise WrongContent(english("The file is no GGUF file. Nothing was kept."))
    elif suffix not in _TEXTS and text.startswith((b"{", b"[", b"<")):
        raise WrongContent(
            english("The site sent a message instead of the model. Try again later.")
        )
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WrongContent(
            english("The site sent a web page instead of the model. Try again later.")
        )


def check_file(name: str, file: BinaryIO, size: int) -> None:
    """The whole file's structure, as far as its format allows to tell.

    Raises:
        WrongContent
    """
    if size == 0:
        raise WrongContent(english("The site sent an empty file. Nothing was kept."))
    file.seek(0)
    start = file.read(SNIFFED)
    check_start(name, start, size)
    if suffix_of(name) in _SAFETENSORS:
        file.seek(0)
        check_safetensors(file, size)


def _header_length(start: bytes, size: int | None) -> int:
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or not 2 <= length < MAX_HEADER or (size is not None and length + 8 > size):
        raise WrongContent(english("The file is no safetensors file. Nothing was kept."))
    if length > MAX_PARSED:
        raise WrongContent(
            english(
                "The file's header is larger than %(megabytes)s MB, which no model needs. "
                "Nothing was kept.",
                megabytes=MAX_PARSED // 1_000_000,
            )
        )
    return length


def check_safetensors(file: BinaryIO, size: int) -> None:
    """The header of a safetensors file (read from the current position) against its size.

    Format: https://huggingface.co/docs/safetensors, "Format".

    Raises:
        WrongContent: no header, a huge one, no JSON, or tensors that lie outside the file
    """
    length = _header_length(file.read(8), size)
    with _parsing:
        _check_header(file.read(length), size - 8 - length)


def _check_header(text: bytes, room: int) -> None:
    damaged = WrongContent(english("The safetensors header is damaged. Nothing was kept."))
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise damaged from None
    if not isinstance(header, dict) or not _is_texts(header.pop("__metadata__", {})):
        raise damaged
    if not all(_fits(entry, room) for entry in header.values()):
        raise WrongContent(english("The file is cut off or damaged. Nothing was kept."))


def _is_texts(notes: Any) -> bool:
    """Whether this is what the format allows beside tensors: text to text."""
    return isinstance(notes, dict) and all(isinstance(value, str) for value in notes.values())


def _fits(entry: Any, room: int) -> bool:
    """Whether one tensor's entry is well-formed and inside the data."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    offsets, shape = entry.get("data_offsets"), entry.get("shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not isinstance(shape, list):
        return False
    # bool is an int to Python, not to the format.
    if not all(type(number) is int and number >= 0 for number in [*offsets, *shape]):
        return False
    return bool(offsets[0] <= offsets[1] <= room)
