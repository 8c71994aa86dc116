"""Model lists: /models, /embeddings, /experiment/models, previews, /view_metadata."""

from __future__ import annotations

import base64
import glob
import json
import os
from io import BytesIO
from typing import TYPE_CHECKING, Any

from aiohttp import web
from PIL import Image

from . import safetensors
from .folders import PT_EXTENSIONS, is_content_type

if TYPE_CHECKING:
    from .core import Core


def add_routes(routes: web.RouteTableDef, core: Core) -> None:
    folders = core.folders

    @routes.get("/embeddings")
    async def get_embeddings(request: web.Request) -> web.Response:
        names = folders.model_files("embeddings")
        return web.json_response([os.path.splitext(name)[0] for name in names])

    @routes.get("/models")
    async def get_folders(request: web.Request) -> web.Response:
        return web.json_response(list(folders.models))

    @routes.get("/models/{folder}")
    async def get_models(request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        if folder not in folders.models:
            return web.Response(status=404)
        return web.json_response(folders.model_files(folder))

    @routes.get("/experiment/models")
    async def experiment_folders(request: web.Request) -> web.Response:
        return web.json_response(
            [
                {"name": name, "folders": paths}
                for name, (paths, _) in folders.models.items()
                if name not in ("configs", "custom_nodes")
            ]
        )

    @routes.get("/experiment/models/{folder}")
    async def experiment_models(request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        if folder not in folders.models:
            return web.Response(status=404)
        found: list[dict[str, Any]] = []
        for index, path in enumerate(folders.models[folder][0]):
            found += _detailed(path, index)
        return web.json_response(found)

    @routes.get("/experiment/models/preview/{folder}/{path_index}/{filename:.*}")
    async def model_preview(request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        index = int(request.match_info["path_index"])
        if folder not in folders.models:
            return web.Response(status=404)
        # Joined as it comes: dots and absolute names reach any picture, as upstream.
        path = os.path.join(folders.models[folder][0][index], request.match_info["filename"])
        picture = _preview_of(path)
        if picture is None:
            return web.Response(status=404)
        try:
            buffer = BytesIO()
            with Image.open(picture) as opened:
                opened.save(buffer, format="WEBP")
        except Exception:
            return web.Response(status=404)
        return web.Response(body=buffer.getvalue(), content_type="image/webp")

    @routes.get("/view_metadata/{folder_name}")
    async def view_metadata(request: web.Request) -> web.Response:
        name = request.rel_url.query.get("filename", "")
        if not name.endswith(".safetensors"):
            return web.Response(status=404)
        path = folders.model_path(request.match_info["folder_name"], name)
        if path is None:
            return web.Response(status=404)
        header = safetensors.read_header(path, 1024 * 1024)
        if header is None or "__metadata__" not in header:
            return web.Response(status=404)
        return web.json_response(header["__metadata__"])


def _detailed(root: str, index: int) -> list[dict[str, Any]]:
    found = []
    for directory, dirs, files in os.walk(root, followlinks=True):
        dirs[:] = [d for d in dirs if not d.startswith(".")]
        for name in sorted(files):
            if name.startswith(".") or os.path.splitext(name)[1].lower() not in PT_EXTENSIONS:
                continue
            path = os.path.join(directory, name)
            found.append(
                {
                    "name": os.path.relpath(path, root),
                    "pathIndex": index,
                    "modified": os.path.getmtime(path),
                    "created": os.path.getctime(path),
                    "size": os.path.getsize(path),
                }
            )
    return found


def _preview_of(path: str) -> str | BytesIO | None:
    if not os.path.exists(os.path.dirname(path)):
        return None
    stem = os.path.splitext(path)[0]
    found = glob.glob(f"{stem}.*")
    for candidate in found:
        bare = os.path.splitext(candidate)[0]
        if is_content_type(candidate, {"image"}) and bare in (stem, f"{stem}.preview"):
            return candidate if os.path.isfile(candidate) else None
    # The first file of that pattern with a header, whichever model's it is, as upstream.
    model = next((name for name in found if name.endswith(".safetensors")), None)
    header = safetensors.read_header(model, 8 * 1024 * 1024) if model else None
    covers = (header or {}).get("__metadata__", {}).get("ssmd_cover_images")
    return BytesIO(base64.b64decode(json.loads(covers)[0])) if covers else None
