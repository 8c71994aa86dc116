"""A small S3: keeps objects with their metadata, takes whole and piecewise uploads.

As Amazon's REST reference describes PutObject, CreateMultipartUpload, UploadPart,
CompleteMultipartUpload, AbortMultipartUpload, DeleteObject and HeadObject, with `If-None-Match: *`.
"""

import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

LOGIN = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "secret-of-the-bucket-1"}
REGION = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"}


@dataclass
class Upload:
    key: str
    sha256: str
    pieces: dict[int, bytes] = field(default_factory=dict)


class BucketServer:
    """`objects` is "bucket/key" → (content, sha256 of its metadata). `slow`: seconds before each
    64 kB are read; `refusing`: the status of every answer; `rival`: what somebody else puts under
    the key of the next object, just before it."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.uploads: dict[str, Upload] = {}
        self.asked: list[str] = []
        self.slow = 0.0
        self.refusing: int | None = None
        self.rival: bytes | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                outer.serve(self)

            do_PUT = do_POST = do_DELETE = do_HEAD

            def handle_expect_100(self) -> bool:
                return super().handle_expect_100() if outer.refusing is None else True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # Uploads that are broken off are what some tests are about.

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        key, query = unquote(parts.path).lstrip("/"), parse_qs(parts.query, keep_blank_values=True)
        self.asked.append(f"{handler.command} {key}{'?' if query else ''}{'&'.join(sorted(query))}")
        body = self._read(handler)
        signed = f"Credential={LOGIN['AWS_ACCESS_KEY_ID']}/" in handler.headers["Authorization"]
        if self.refusing is not None or not signed:
            return self._answer(handler, self.refusing or 403, "AccessDenied")
        sha256 = handler.headers.get("x-amz-meta-sha256", "")
        only_new = handler.headers.get("If-None-Match") == "*"
        if handler.command == "HEAD":
            return self._head(handler, key)
        if handler.command == "PUT" and "uploadId" in query:
            self.uploads[query["uploadId"][0]].pieces[int(query["partNumber"][0])] = body
            return self._answer(handler, 200, headers={"ETag": '"piece"'})
        if handler.command == "PUT":
            return self._keep(handler, key, body, sha256, only_new)
        if handler.command == "POST" and "uploads" in query:
            upload_id = f"upload-{len(self.asked)}"
            self.uploads[upload_id] = Upload(key, sha256)
            named = f"<UploadId>{upload_id}</UploadId>"
            return self._answer(handler, 200, text=f"<Result>{named}</Result>")
        if handler.command == "DELETE" and "uploadId" not in query:
            self.objects.pop(key, None)
            return self._answer(handler, 204)
        upload = self.uploads.pop(query["uploadId"][0])
        if handler.command == "DELETE":
            return self._answer(handler, 204)
        numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)<", body)]
        whole = b"".join(upload.pieces[number] for number in numbers)
        return self._keep(handler, key, whole, upload.sha256, only_new)

    def _read(self, handler: BaseHTTPRequestHandler) -> bytes:
        left, body = int(handler.headers.get("Content-Length", 0)), bytearray()
        while left:
            if self.slow and handler.command == "PUT":
                time.sleep(self.slow)
            piece = handler.rfile.read(min(left, 65536))
            if not piece:
                raise ConnectionError
            body += piece
            left -= len(piece)
        return bytes(body)

    def _keep(
        self, handler: BaseHTTPRequestHandler, key: str, body: bytes, sha256: str, only_new: bool
    ) -> None:
        if self.rival is not None:
            self.objects[key], self.rival = (self.rival, ""), None
        if only_new and key in self.objects:
            return self._answer(handler, 412, "PreconditionFailed")
        self.objects[key] = body, sha256
        done = "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
        return self._answer(handler, 200, text=done, headers={"ETag": '"whole"'})

    def _head(self, handler: BaseHTTPRequestHandler, key: str) -> None:
        if key not in self.objects:
            return self._answer(handler, 404)
        content, sha256 = self.objects[key]
        about = {"Content-Length": str(len(content)), "x-amz-meta-sha256": sha256}
        return self._answer(handler, 200, headers=about)

    def _answer(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        code: str = "",
        text: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        body = f"<Error><Code>{code}</Code></Error>" if code else text
        handler.send_response(status)
        given = {"Content-Type": "application/xml", "Content-Length": str(len(body))}
        for name, value in {**given, **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body.encode())
