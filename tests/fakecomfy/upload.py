"""POST /upload/image and /upload/mask: writes any file into input, output or temp."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .folders import Folders

if TYPE_CHECKING:
    from .core import Core

Save = Callable[[Any, str], None]


def add_routes(routes: web.RouteTableDef, core: Core) -> None:
    @routes.post("/upload/image")
    async def upload_image(request: web.Request) -> web.Response:
        return _upload(core.folders, await request.post(), _save_plain)

    @routes.post("/upload/mask")
    async def upload_mask(request: web.Request) -> web.Response:
        post = await request.post()

        def save(image: Any, path: str) -> None:
            _save_masked(core.folders, post, image, path)

        return _upload(core.folders, post, save)


def _upload(folders: Folders, post: Any, save: Save) -> web.Response:
    image = post.get("image")
    kind = post.get("type")
    if kind is None:
        kind = "input"
    root = folders.by_type(kind)
    if root is None:
        raise ValueError(f"unknown upload type {kind}")  # a 500, as upstream
    if not image or not image.file:  # a plain field has no `file`: AttributeError, a 500
        return web.Response(status=400)
    filename = image.filename
    if not filename:
        return web.Response(status=400)
    subfolder = post.get("subfolder", "")
    folder = os.path.join(root, os.path.normpath(subfolder))
    path = os.path.abspath(os.path.join(folder, filename))
    if os.path.commonpath((root, path)) != root:
        return web.Response(status=400)
    os.makedirs(folder, exist_ok=True)
    stem, extension = os.path.splitext(filename)
    duplicate = False
    if post.get("overwrite") not in ("true", "1"):
        number = 1
        while os.path.exists(path):
            if _same_content(path, image):
                duplicate = True
                break
            filename = f"{stem} ({number}){extension}"
            path = os.path.join(folder, filename)
            number += 1
    if not duplicate:
        save(image, path)
    return web.json_response({"name": filename, "subfolder": subfolder, "type": kind})


def _save_plain(image: Any, path: str) -> None:
    with open(path, "wb") as file:
        file.write(image.file.read())


def _same_content(path: str, image: Any) -> bool:
    with open(path, "rb") as file:
        old = hashlib.sha256(file.read()).digest()
    new = hashlib.sha256(image.file.read()).digest()
    image.file.seek(0)
    return old == new


def _save_masked(folders: Folders, post: Any, image: Any, path: str) -> None:
    """Writes the original with the mask's alpha. A refusal in here is lost: 200 all the same."""
    reference = json.loads(post.get("original_ref"))
    filename, base = folders.split_annotation(reference["filename"])
    if not filename or filename[0] == "/" or ".." in filename:
        return
    if base is None:
        base = folders.by_type(reference.get("type", "output"))
    if base is None:
        return
    if reference.get("subfolder", "") != "":
        folder = os.path.join(base, reference["subfolder"])
        if os.path.commonpath((os.path.abspath(folder), base)) != base:
            return
        base = folder
    original = os.path.join(base, filename)
    if not os.path.isfile(original):
        return
    with Image.open(original) as opened:
        metadata = PngInfo()
        for key, value in getattr(opened, "text", {}).items():
            metadata.add_text(key, value)
        picture = opened.convert("RGBA")
    with Image.open(image.file) as mask:
        alpha = mask.convert("RGBA").getchannel("A")
    picture.putalpha(alpha)
    picture.save(path, compress_level=4, pnginfo=metadata)
