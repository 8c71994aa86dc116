"""Our extension of ComfyUI's page: its files, and its place in the list that the page asks for."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from accounts import errors
from accounts.capabilities import Capability
from accounts.credentials import header
from comfyproxy import upstream
from comfyproxy.calls import Call, Reply, json_reply
from comfyproxy.filters.extensions import shown_extensions

FOLDER: Final = Path(__file__).resolve().parent.parent / "extension"
ADDRESS: Final = "/extensions/mss-login"
_TYPES: Final = {".js": b"text/javascript; charset=utf-8", ".css": b"text/css; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    tag: bytes


def _read(path: Path) -> _File:
    body = path.read_bytes()
    tag = b'"' + hashlib.sha256(body).hexdigest()[:24].encode() + b'"'
    headers = (
        (b"content-type", _TYPES[path.suffix]),
        # ComfyUI's own scripts are revalidated, too: after an update the page is of one piece.
        (b"cache-control", b"no-cache"),
        (b"x-content-type-options", b"nosniff"),
        (b"etag", tag),
    )
    return _File(body, headers, tag)


# Read once: they are part of the program, 40 KB, and asked for by every page that is loaded.
_FILES: Final = {path.name: _read(path) for path in FOLDER.iterdir() if path.suffix in _TYPES}


async def extensions(call: Call) -> Reply:
    """`GET /extensions`: the scripts that the page loads, ours among them."""
    listed = await upstream.get_json("/extensions")
    manager = call.identity.can(Capability.ACCESS_MANAGER)
    return json_reply([*shown_extensions(listed, manager=manager), f"{ADDRESS}/main.js"])


async def own_extension(call: Call) -> Reply:
    """`GET /extensions/mss-login/{file}`."""
    file = _FILES.get(call.params["file"])
    if file is None:
        raise errors.NotFound
    known = header(call.headers, b"if-none-match") or ""
    if file.tag.decode() in known:
        return Reply(304, list(file.headers))
    return Reply(200, list(file.headers), file.body)
