"""How our own pages show a file: by the gateway's own /view, so nobody is shown more than there."""

from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlencode

from comfyproxy.files import FileRef

PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".bmp"})


def address_of(ref: FileRef) -> str:
    """Where the gateway shows a file."""
    query = {"filename": ref.filename, "subfolder": ref.subfolder, "type": ref.type}
    return f"/view?{urlencode(query)}"


def is_picture(ref: FileRef) -> bool:
    """Whether a browser shows it in a page."""
    return PurePosixPath(ref.filename).suffix.lower() in PICTURES
