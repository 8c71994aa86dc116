"""GET /view: files of the three folders, re-encoded on request."""

from __future__ import annotations

import mimetypes
import os
from io import BytesIO
from typing import TYPE_CHECKING

from aiohttp import web
from PIL import Image

if TYPE_CHECKING:
    from .core import Core

# Never shown by the browser, always offered as a download.
_UNSAFE = frozenset(
    {"text/html", "text/html-sandboxed", "application/xhtml+xml", "text/javascript", "text/css"}
)
# Fixed here because a system's own table may say otherwise. The script type is upstream's: it
# is no member of the set above, so scripts do get served as scripts.
_TYPES = {
    ".js": "application/javascript; charset=utf-8",
    ".mjs": "text/javascript",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".xml": "application/xml",
    ".json": "application/json",
    ".flac": "audio/flac",
    ".glb": "model/gltf-binary",
    ".mp4": "video/mp4",
    ".xhtml": "application/xhtml+xml",
    ".shtml": "text/html",
    ".latent": "application/octet-stream",
    ".safetensors": "application/octet-stream",
}


def content_type(filename: str) -> str:
    extension = os.path.splitext(filename)[1].lower()
    kind = _TYPES.get(extension) or mimetypes.guess_type(filename)[0] or "application/octet-stream"
    return "application/octet-stream" if kind in _UNSAFE else kind


def add_routes(routes: web.RouteTableDef, core: Core) -> None:
    @routes.get("/view")
    async def view(request: web.Request) -> web.StreamResponse:
        query = request.rel_url.query
        if "filename" not in query:
            return web.Response(status=404)
        filename, base = core.folders.split_annotation(query["filename"])
        if not filename or filename[0] == "/" or ".." in filename:
            return web.Response(status=400)
        if base is None:
            base = core.folders.by_type(query.get("type", "output"))
        if base is None:
            return web.Response(status=400)
        if "subfolder" in query:
            folder = os.path.join(base, query["subfolder"])
            if os.path.commonpath((os.path.abspath(folder), base)) != base:
                return web.Response(status=403)
            base = folder
        filename = os.path.basename(filename)
        path = os.path.join(base, filename)
        if not os.path.isfile(path):
            return web.Response(status=404)
        disposition = {"Content-Disposition": f'filename="{filename}"'}
        channel = query.get("channel", "rgba")
        if "preview" in query:
            body, kind = _preview(path, query["preview"], query.get("channel", ""))
            return web.Response(body=body, content_type=kind, headers=disposition)
        if channel in ("rgb", "a"):
            body = _channel(path, channel)
            return web.Response(body=body, content_type="image/png", headers=disposition)
        headers = {**disposition, "Content-Type": content_type(filename)}
        return web.FileResponse(path, headers=headers)


def _preview(path: str, wish: str, channel: str) -> tuple[bytes, str]:
    parts = wish.split(";")
    kind = parts[0]
    if kind not in ("webp", "jpeg") or "a" in channel:
        kind = "webp"
    quality = int(parts[-1]) if parts[-1].isdigit() else 90
    if quality > 100:
        # WebP's encoder refuses it upstream; newer versions of Pillow are patient.
        raise ValueError(f"could not encode with quality {quality}")
    buffer = BytesIO()
    with Image.open(path) as opened:
        picture = opened.convert("RGB") if kind == "jpeg" or channel == "rgb" else opened
        picture.save(buffer, format=kind, quality=quality)
    return buffer.getvalue(), f"image/{kind}"


def _channel(path: str, channel: str) -> bytes:
    buffer = BytesIO()
    with Image.open(path) as opened:
        if channel == "rgb":
            opened.convert("RGB").save(buffer, format="PNG")
        else:
            alpha = opened.getchannel("A") if opened.mode == "RGBA" else None
            picture = Image.new("RGBA", opened.size)
            picture.putalpha(alpha if alpha is not None else Image.new("L", opened.size, 255))
            picture.save(buffer, format="PNG")
    return buffer.getvalue()
