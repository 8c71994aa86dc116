"""A classifier behind an address, for `MSS_NSFW_CLASSIFIER=http`: the redder, the more explicit."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from PIL import Image

RED = 0xE01010
GREEN = 0x10E010
BLUE = 0x1010E0


def redness(picture: Image.Image) -> float:
    """1 of a red picture, 0 of any other and of grey."""
    red, green, blue = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    return max(0.0, min(1.0, (red - max(green, blue)) / 200))


class Judge:
    """`asked` counts the pictures; while `held` is clear, no answer is given; with `failing` each
    is a 500."""

    def __init__(self) -> None:
        self.asked = 0
        self.failing = False
        self.held = threading.Event()
        self.held.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/judge"

    @property
    def env(self) -> dict[str, str]:
        return {"MSS_NSFW_CLASSIFIER": "http", "MSS_NSFW_URL": self.url}

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.asked += 1
        self.held.wait(30)
        score = redness(Image.open(io.BytesIO(body)))
        answer = json.dumps({"score": score, "label": "red" if score > 0.5 else "other"}).encode()
        handler.send_response(500 if self.failing else 200)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
