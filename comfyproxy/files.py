"""Whose file is it? One answer for every way ComfyUI can be given a file's name.

ComfyUI keeps files in three folders (`input`, `output`, `temp`). A user's own lie below a
first folder that is their namespace (`u-` + 10 characters). Source of the parsing rules:
ComfyUI 0.3.64, `GET /view` in server.py and `annotated_filepath` in folder_paths.py.
"""

import re
from dataclasses import dataclass
from typing import Final

from accounts.errors import BadRequest, NotFound

TYPES: Final = ("output", "input", "temp")
_MARKS: Final = {f"[{kind}]": kind for kind in TYPES}
# Longer than what file systems take (255 bytes a name) and uploads allow.
MAX_SUBFOLDER_CHARS: Final = 1100
MAX_FILENAME_CHARS: Final = 300
NAMESPACE: Final = re.compile(r"u-[a-z0-9]{10}")


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file of ComfyUI's: folder type, sub folder (`a/b`, no leading slash), base name."""

    type: str
    subfolder: str
    filename: str

    @property
    def path(self) -> str:
        return f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename

    def annotated(self) -> str:
        """As a prompt names it: `sub/name.png`, ` [output]` or ` [temp]` behind it."""
        return self.path if self.type == "input" else f"{self.path} [{self.type}]"


class OutsideError(ValueError):
    """A path that leaves its folder, or one that means different things on different systems."""


# `..`, and what Windows takes for it or for `.`: it drops dots and spaces at the end.
_DOTS: Final = re.compile(r"\.[. ]+")


def normal_path(path: str) -> str:
    """`a//b/./c` → `a/b/c`.

    Raises:
        OutsideError: absolute, a `..` segment, a back-slash or a drive letter
    """
    if path.startswith("/") or "\\" in path or "\0" in path:
        raise OutsideError(path)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    normal = "/".join(parts)
    if any(_DOTS.fullmatch(part) for part in parts) or re.match(r"[A-Za-z]:", normal):
        raise OutsideError(path)
    return normal


def is_annotated(name: str) -> bool:
    """Whether a name says itself which of the three folders it is in."""
    return name.endswith(tuple(_MARKS))


def split_annotation(name: str, default: str) -> tuple[str, str]:
    """(name, type) of an annotated name: `x.png [output]` → (`x.png`, `output`).

    As ComfyUI does, one character before the bracket is cut whatever it is.
    """
    for mark, kind in _MARKS.items():
        if name.endswith(mark):
            return name[: -len(mark) - 1], kind
    return name, default


def parse_name(name: str, default_type: str) -> FileRef:
    """A file as a node input names it.

    Raises:
        OutsideError: it leaves its folder, or names a content and not a file
    """
    bare, kind = split_annotation(name, default_type)
    path = normal_path(bare)
    subfolder, _, filename = path.rpartition("/")
    if is_content_hash(filename):
        raise OutsideError(name)
    return FileRef(kind, subfolder, filename)


def parse_view(query: dict[str, str]) -> FileRef:
    """The file that `GET /view` with these (first) parameters means.

    Raises:
        NotFound, BadRequest: as ComfyUI answers, except that a sub folder which leaves its
            folder is 404 too (ComfyUI: 403): it tells nothing about what exists
    """
    if "filename" not in query:
        raise NotFound
    name, kind = split_annotation(query["filename"], query.get("type", "output"))
    if not name or name[0] == "/" or ".." in name or "\\" in name or "\0" in name:
        raise BadRequest("filename is not valid.", field="filename")
    if kind not in TYPES:
        raise BadRequest("type must be output, input or temp.", field="type")
    try:
        subfolder = normal_path(query.get("subfolder", ""))
    except OutsideError:
        raise NotFound from None
    # Of a file name with folders only the last part counts.
    filename = name.rpartition("/")[2]
    if not filename or is_content_hash(filename):
        raise NotFound
    return FileRef(kind, subfolder, filename)


def is_content_hash(filename: str) -> bool:
    """Whether newer ComfyUI reads the name as any stored file's content, whoever's and in
    whatever folder: `blake3:<hex>`."""
    return filename.lstrip().casefold().startswith("blake3:")


def namespace_of(subfolder: str) -> str | None:
    """The namespace a sub folder lies in, or None for one that belongs to nobody.

    Spellings that a case-insensitive or a Windows file system takes for the same folder
    count as that folder.
    """
    first = subfolder.partition("/")[0].rstrip(" .").casefold()
    return first if NAMESPACE.fullmatch(first) else None


def is_own(ref: FileRef, namespace: str) -> bool:
    """Whether the file lies in this namespace, exactly spelt."""
    return ref.subfolder == namespace or ref.subfolder.startswith(f"{namespace}/")


def may_see(ref: FileRef, *, namespace: str, sees_all: bool) -> bool:
    """Whether a caller may be shown this file: their own, or what lies unowned at the top of
    the input folder; with `sees_all` (can_view_all_history) every other too."""
    if is_own(ref, namespace):
        return True
    if ref.type == "input" and ref.subfolder == "":
        return True
    return sees_all


def is_attributable(ref: FileRef, namespace: str) -> bool:
    """Whether a file that a prompt of this namespace's user reports can be its result: spelt as
    it would be stored, in the own folder or, but for the input folder, in nobody's."""
    if ref.type not in TYPES or "\0" in ref.path or is_content_hash(ref.filename):
        return False
    try:
        ref.path.encode()
        exact = normal_path(ref.path) == ref.path
    except (OutsideError, UnicodeEncodeError):
        return False
    if not exact or not ref.filename or "/" in ref.filename:
        return False
    if len(ref.subfolder) > MAX_SUBFOLDER_CHARS or len(ref.filename) > MAX_FILENAME_CHARS:
        return False
    return is_own(ref, namespace) or (ref.type != "input" and namespace_of(ref.subfolder) is None)


# A namespace is part of a path if a slash stands on either side, or if it is the whole text.
_MENTION: Final = re.compile(
    r"(?<![a-z0-9_-])(u-[a-z0-9]{10})(?=[ .]*[/\\])"
    r"|(?<=[/\\])(u-[a-z0-9]{10})(?![a-z0-9_-])"
    r"|\A\W*(u-[a-z0-9]{10})(?:\W|\[(?:input|output|temp)\])*\Z",
    re.IGNORECASE,
)


def mentions_foreign(text: str, namespace: str) -> bool:
    """Whether a text holds a path into another user's namespace."""
    return any(match[match.lastindex or 0] != namespace for match in _MENTION.finditer(text))


def own_prefix(prefix: str, namespace: str) -> str:
    """A `filename_prefix` inside the caller's folder. Idempotent, so that a resubmitted
    history entry does not nest.

    Raises:
        OutsideError: it would leave the folder or enter another's
    """
    path = normal_path(prefix)
    first, _, rest = path.partition("/")
    if first == namespace:
        path = rest
    elif namespace_of(path) is not None:
        raise OutsideError(prefix)
    return f"{namespace}/{path or 'ComfyUI'}"
