"""A classifier's service for the tests: what is red is explicit."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image


class Redness(ThreadingHTTPServer):
    """Answers `answer` if that is set, after `release` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.version = "1"
        self.status = 200
        self.answer: bytes | None = None
        self.asked = threading.Event()
        self.release = threading.Event()
        self.release.set()
        self.headers: list[dict[str, str]] = []
        self.sizes: list[tuple[int, int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/score"


class _Handler(BaseHTTPRequestHandler):
    server: Redness

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        image = Image.open(io.BytesIO(body), formats=["JPEG"])
        self.server.headers.append(dict(self.headers))
        self.server.sizes.append(image.size)
        self.server.asked.set()
        self.server.release.wait(30)
        pixel = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert isinstance(pixel, tuple)
        score = max(0, pixel[0] - max(pixel[1:])) / 255
        told = {"score": score, "label": "red", "version": self.server.version}
        answer = json.dumps(told).encode() if self.server.answer is None else self.server.answer
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def redness() -> Iterator[Redness]:
    """The service, running."""
    with Redness() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
            thread.join()
