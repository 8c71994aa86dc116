"""A site that hands out one large model, as Hugging Face does: `python -m bench.hub FILE [RATE]`.

RATE: bytes a second for each who takes it; without, as fast as it goes.
"""

import asyncio
import hashlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from tests.gateway import free_port

RESOLVE: Final = "/bench/model/resolve/main/large.safetensors"
STORED: Final = "/stored/large.safetensors"


def main(path: Path, rate: int | None) -> None:
    """Serve on a free port, which is printed, until killed."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    linked = {"X-Linked-Size": str(path.stat().st_size), "X-Linked-Etag": f'"{digest}"'}

    async def resolve(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": STORED, **linked})

    async def stored(request: web.Request) -> web.StreamResponse:
        if rate is None:
            return web.FileResponse(path)
        answer = web.StreamResponse(headers={"Content-Length": str(path.stat().st_size)})
        await answer.prepare(request)
        # At the end of a measurement downloads break off.
        with path.open("rb") as file, suppress(ConnectionResetError):
            while piece := file.read(rate // 10):
                await answer.write(piece)
                await asyncio.sleep(0.1)
        return answer

    async def tell(app: web.Application) -> None:
        print(app["port"], flush=True)

    app = web.Application()
    app.router.add_get(RESOLVE, resolve)
    app.router.add_get(STORED, stored)

    port = app["port"] = free_port()
    app.on_startup.append(tell)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
