"""`embedding:NAME` in texts: how ComfyUI finds the names, and the files they stand for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from .folders import Folders

_MARK = "embedding:"
_EXTENSIONS = (".safetensors", ".pt", ".bin")


def resolve(folders: Folders, text: str) -> tuple[list[str], list[str]]:
    """(names looked up, paths of the files found), in order."""
    looked_up: list[str] = []
    opened: list[str] = []
    for name in _names(text):
        for spelling in dict.fromkeys((name, name.strip(","))):
            looked_up.append(spelling)
            path = _find(folders, spelling)
            if path is not None:
                opened.append(path)
                break
    return looked_up, opened


def _names(text: str) -> Iterator[str]:
    # Escaped parentheses are put aside first and are no part of the weighting syntax.
    text = text.replace("\\)", "\0\1").replace("\\(", "\0\2")
    for segment in _segments(text):
        plain = segment.replace("\0\1", ")").replace("\0\2", "(")
        first, *others = re.split(f"[ \n]{_MARK}", plain)
        words = [first, *(_MARK + other for other in others)]
        for word in words:
            if word.startswith(_MARK):
                # Nothing behind the colon is an IndexError upstream, too.
                yield word[len(_MARK) :].strip("\n").split()[0]


def _segments(text: str) -> Iterator[str]:
    """Pieces of a text between its parentheses, weights like `:1.2` cut off."""
    for piece in _split(text):
        if len(piece) < 2 or piece[0] != "(" or piece[-1] != ")":
            yield piece
            continue
        inner = piece[1:-1]
        colon = inner.rfind(":")
        if colon > 0 and _is_number(inner[colon + 1 :]):
            inner = inner[:colon]
        yield from _segments(inner)


def _split(text: str) -> list[str]:
    pieces, current, depth = [], "", 0
    for letter in text:
        if letter == "(":
            if depth == 0 and current:
                pieces.append(current)
                current = ""
            depth += 1
            current += letter
        elif letter == ")":
            depth -= 1
            current += letter
            if depth == 0:
                pieces.append(current)
                current = ""
        else:
            current += letter
    return [*pieces, current] if current else pieces


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _find(folders: Folders, name: str) -> str | None:
    for root in _roots(folders):
        path = os.path.abspath(os.path.join(root, name))
        if os.path.commonpath((root, path)) != root:
            continue
        for extension in ("", *_EXTENSIONS):
            if os.path.isfile(path + extension):
                return path + extension
    return None


def _roots(folders: Folders) -> Iterator[str]:
    # Every folder below is searched as if it were the top one.
    for top in folders.models["embeddings"][0]:
        for directory, _dirs, _files in os.walk(top, followlinks=True):
            yield directory
