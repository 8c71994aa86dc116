"""The page: the installed front-end package, a given folder, or a tiny built-in one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from aiohttp import web

BUILT_IN = Path(__file__).parent / "static"


def web_root(wish: str | None) -> Path:
    """The folder served at /: `auto`, `none` (or None), or a path."""
    if wish is None or wish == "none":
        return BUILT_IN / "web"
    if wish != "auto":
        return Path(wish).resolve()
    # find_spec locates the package without importing it.
    spec = importlib.util.find_spec("comfyui_frontend_package")
    if spec is None or spec.origin is None:
        raise RuntimeError("comfyui-frontend-package is not installed")
    return Path(spec.origin).parent / "static"


def add_routes(routes: web.RouteTableDef, root: Path) -> None:
    @routes.get("/")
    async def index(request: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "0"}
        return web.FileResponse(root / "index.html", headers=headers)
