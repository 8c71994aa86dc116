"""Facts about the server: /object_info, /system_stats, /features, /extensions, /i18n…"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

if TYPE_CHECKING:
    from .core import Core

_EXAMPLES = ("example_workflows", "example", "examples", "workflow", "workflows")
_GIB = 1024**3


def custom_packs(core: Core) -> list[Path]:
    root = Path(core.folders.base) / "custom_nodes"
    return sorted(p for p in root.glob("*") if p.is_dir() and not p.name.startswith((".", "_")))


def add_routes(routes: web.RouteTableDef, core: Core, web_root: Path) -> None:
    @routes.get("/object_info")
    async def object_info(request: web.Request) -> web.Response:
        return web.json_response(core.registry.all_info())

    @routes.get("/object_info/{node_class}")
    async def object_info_of(request: web.Request) -> web.Response:
        name = request.match_info["node_class"]
        known = name in core.registry.classes
        return web.json_response({name: core.registry.info(name)} if known else {})

    @routes.get("/features")
    async def features(request: web.Request) -> web.Response:
        return web.json_response(core.features())

    @routes.get("/system_stats")
    async def system_stats(request: web.Request) -> web.Response:
        return web.json_response(_stats(core))

    @routes.get("/extensions")
    async def extensions(request: web.Request) -> web.Response:
        scripts = (web_root / "extensions").rglob("*.js")
        found = ["/" + file.relative_to(web_root).as_posix() for file in scripts]
        for pack in custom_packs(core):
            for file in sorted((pack / "web").rglob("*.js")):
                relative = file.relative_to(pack / "web").as_posix()
                found.append(f"/extensions/{quote(pack.name)}/{relative}")
        return web.json_response(found)

    @routes.get("/workflow_templates")
    async def workflow_templates(request: web.Request) -> web.Response:
        found: dict[str, list[str]] = {}
        for pack in custom_packs(core):
            for folder in _EXAMPLES:
                for file in sorted((pack / folder).glob("*.json")):
                    found.setdefault(pack.name, []).append(file.stem)
        return web.json_response(found)

    @routes.get("/i18n")
    async def i18n(request: web.Request) -> web.Response:
        found: dict[str, dict[str, Any]] = {}
        for pack in custom_packs(core):
            for file in sorted((pack / "locales").glob("*/main.json")):
                texts = json.loads(file.read_text(encoding="utf-8"))
                found.setdefault(file.parent.name, {}).update(texts)
        return web.json_response(found)

    @routes.get("/fakepack/info")
    async def fakepack(request: web.Request) -> web.Response:
        """A route a custom node might add; a gateway knows nothing about it."""
        return web.json_response({"pack": "fake_pack", "query": dict(request.rel_url.query)})

    @routes.get("/fakepack/picture")
    async def fakepack_picture(request: web.Request) -> web.Response:
        """Another: a picture of its own making, under the content type and status asked for."""
        kind = request.rel_url.query.get("type", "image/png")
        status = int(request.rel_url.query.get("status", 200))
        return web.Response(body=b"\x89PNG\r\n\x1a\n picture", content_type=kind, status=status)


def add_static(app: web.Application, core: Core) -> None:
    """Static trees of custom nodes; only those there at the start are served."""
    for pack in custom_packs(core):
        if (pack / "web").is_dir():
            app.add_routes([web.static(f"/extensions/{pack.name}", pack / "web")])
        for folder in _EXAMPLES:
            if (pack / folder).is_dir():
                prefix = f"/api/workflow_templates/{pack.name}"
                app.add_routes([web.static(prefix, pack / folder)])


def _stats(core: Core) -> dict[str, Any]:
    folders = core.folders
    argv = ["main.py", "--cpu", "--listen", core.options.host, "--port", str(core.on_port())]
    argv += ["--base-directory", folders.base, "--output-directory", folders.output]
    argv += ["--input-directory", folders.input]
    return {
        "system": {
            "os": os.name,
            "ram_total": 24 * _GIB,
            "ram_free": 22 * _GIB,
            "comfyui_version": "0.3.64",
            "required_frontend_version": "1.27.10",
            "installed_templates_version": "0.1.95",
            "required_templates_version": "0.1.95",
            "python_version": sys.version,
            "pytorch_version": "2.13.0+cpu",
            "embedded_python": False,
            "argv": argv,
        },
        "devices": [
            {
                "name": "cpu",
                "type": "cpu",
                "index": None,
                "vram_total": 24 * _GIB,
                "vram_free": 22 * _GIB,
                "torch_vram_total": 24 * _GIB,
                "torch_vram_free": 22 * _GIB,
            }
        ],
    }
