"""Userdata: /userdata and /v2/userdata, files of a user below user/<id>."""

from __future__ import annotations

import glob
import os
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web

if TYPE_CHECKING:
    from .core import Core

_BAD_NAME = 'Invalid filename. Please avoid special characters like :\\/*?"<>|'


def user_path(
    core: Core, request: web.Request, file: str | None, create: bool = True
) -> str | None:
    """Path of a user's file; None when it would leave the user's folder."""
    root = os.path.abspath(core.folders.user)
    home = os.path.abspath(os.path.join(root, core.user_of(request.headers)))
    if os.path.commonpath((root, home)) != root:
        return None
    path = home
    if file is not None:
        if "%" in file:
            file = unquote(file)
        path = os.path.abspath(os.path.join(home, file))
        if os.path.commonpath((home, path)) != home:
            return None
    parent = os.path.dirname(path)
    if create and not os.path.exists(parent):
        os.makedirs(parent, exist_ok=True)
    return path


def _info(path: str, root: str) -> dict[str, Any]:
    return {
        "path": os.path.relpath(path, root).replace(os.sep, "/"),
        "size": os.path.getsize(path),
        "modified": os.path.getmtime(path),
        "created": os.path.getctime(path),
    }


def _answer(core: Core, request: web.Request, path: str) -> web.Response:
    root = user_path(core, request, None)
    assert root is not None
    if request.query.get("full_info", "false").lower() == "true":
        return web.json_response(_info(path, root))
    return web.json_response(os.path.relpath(path, root))


def add_routes(routes: web.RouteTableDef, core: Core) -> None:
    def locate(
        request: web.Request, param: str = "file", exists: bool = False
    ) -> str | web.Response:
        path = user_path(core, request, request.match_info[param])
        if not path:
            return web.Response(status=403)
        if exists and not os.path.exists(path):
            return web.Response(status=404)
        return path

    @routes.get("/userdata")
    async def list_userdata(request: web.Request) -> web.Response:
        query = request.rel_url.query
        directory = query.get("dir", "")
        if not directory:
            return web.Response(status=400, text="Directory not provided")
        path = user_path(core, request, directory)
        if not path:
            return web.Response(status=403, text="Invalid directory")
        if not os.path.exists(path):
            return web.Response(status=404, text="Directory not found")
        wish = {n: query.get(n, "").lower() == "true" for n in ("recurse", "full_info", "split")}
        pattern = os.path.join(glob.escape(path), *(["**"] if wish["recurse"] else []), "*")
        found: list[Any] = []
        for full in glob.glob(pattern, recursive=wish["recurse"]):
            if not os.path.isfile(full):
                continue
            relative = os.path.relpath(full, path).replace(os.sep, "/")
            if wish["full_info"]:
                found.append(_info(full, path))
            elif wish["split"]:
                found.append([relative, *relative.split("/")])
            else:
                found.append(relative)
        return web.json_response(found)

    @routes.get("/v2/userdata")
    async def list_userdata_v2(request: web.Request) -> web.Response:
        wanted = unquote(request.rel_url.query.get("path", ""))
        try:
            root = user_path(core, request, None, create=False)
            target = user_path(core, request, wanted, create=False) if wanted else root
        except KeyError:
            return web.Response(status=403, text="Invalid user specified in request")
        if not target or root is None:
            return web.Response(status=400, text="Invalid path requested")
        if not os.path.exists(target):
            if target == root:
                return web.json_response([])
            return web.Response(status=404, text="Requested path not found")
        if not os.path.isdir(target):
            return web.Response(status=400, text="Requested path is not a directory")
        return web.json_response(_tree(target, root))

    @routes.get("/userdata/{file}")
    async def get_userdata(request: web.Request) -> web.StreamResponse:
        path = locate(request, exists=True)
        return web.FileResponse(path) if isinstance(path, str) else path

    @routes.post("/userdata/{file}")
    async def post_userdata(request: web.Request) -> web.Response:
        path = locate(request)
        if not isinstance(path, str):
            return path
        if request.query.get("overwrite", "true") == "false" and os.path.exists(path):
            return web.Response(status=409, text="File already exists")
        try:
            body = await request.read()
            with open(path, "wb") as file:
                file.write(body)
        except OSError:
            return web.Response(status=400, reason=_BAD_NAME)
        return _answer(core, request, path)

    @routes.delete("/userdata/{file}")
    async def delete_userdata(request: web.Request) -> web.Response:
        path = locate(request, exists=True)
        if not isinstance(path, str):
            return path
        os.remove(path)
        return web.Response(status=204)

    @routes.post("/userdata/{file}/move/{dest}")
    async def move_userdata(request: web.Request) -> web.Response:
        source = locate(request, exists=True)
        if not isinstance(source, str):
            return source
        # An escaping destination is not refused but fails further on: 500, nothing moved.
        dest: Any = locate(request, "dest")
        if request.query.get("overwrite", "true") == "false" and os.path.exists(dest):
            return web.Response(status=409, text="File already exists")
        shutil.move(source, dest)
        return _answer(core, request, dest)


def _tree(target: str, root: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for directory, dirs, files in os.walk(target):
        for name in [*dirs, *files]:
            path = os.path.join(directory, name)
            entry: dict[str, Any] = {
                "name": name,
                "path": os.path.relpath(path, root).replace(os.sep, "/"),
                "type": "directory" if name in dirs else "file",
            }
            if entry["type"] == "file":
                stat = os.stat(path)
                entry.update(size=stat.st_size, modified=stat.st_mtime)
            entries.append(entry)
    entries.sort(key=lambda e: (e["type"] != "directory", e["name"].lower()))
    return entries
