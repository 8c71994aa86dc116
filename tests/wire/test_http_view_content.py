"""How `/view` delivers: re-encoded pictures, and nothing that a browser could run as ours."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway

pytestmark = pytest.mark.usefixtures("clean_log")

SANDBOX = "sandbox; default-src 'none'"
# Extension → the type it comes with, whether a browser may show it in place.
KINDS = {
    "png": ("image/png", True),
    "jpg": ("image/jpeg", True),
    "webp": ("image/webp", True),
    "gif": ("image/gif", True),
    "mp4": ("video/mp4", True),
    "flac": ("audio/flac", True),
    "txt": ("text/plain", True),
    "json": ("application/json", True),
    "svg": ("image/svg+xml", False),
    "xml": ("application/xml", False),
    "pdf": ("application/pdf", False),
    "js": ("application/javascript; charset=utf-8", False),
    "mjs": ("application/octet-stream", False),
    "html": ("application/octet-stream", False),
    "xhtml": ("application/octet-stream", False),
    "css": ("application/octet-stream", False),
    "safetensors": ("application/octet-stream", False),
    "glb": ("model/gltf-binary", False),
    "nothing known": ("application/octet-stream", False),
}


@pytest.fixture(scope="module")
def folder(comfy: FakeComfyThread, gateway: Gateway) -> Iterator[Path]:
    """Charlie's folder of outputs, with one file of each kind and a picture with holes."""
    path = Path(comfy.base_dir) / "output" / gateway.namespaces["charlie"]
    path.mkdir(parents=True, exist_ok=True)
    for extension in KINDS:
        (path / f"x.{extension}").write_bytes(b"<svg onload=alert(1)>")
    Image.new("RGBA", (16, 12), (200, 100, 50, 128)).save(path / "holes.png")
    yield path
    for file in path.iterdir():
        file.unlink()


@pytest.mark.parametrize("extension", KINDS)
def test_file_comes_so_that_no_browser_runs_it(
    charlie: Client, folder: Path, extension: str
) -> None:
    kind, inline = KINDS[extension]
    query = {"filename": f"x.{extension}", "subfolder": charlie.namespace}
    for method in ("GET", "HEAD"):
        answer = charlie.request(method, "/view", params=query)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "private"
        name = f'filename="x.{extension}"'
        disposition = name if inline else f"attachment;{name}"
        assert answer.headers["Content-Disposition"] == disposition
        assert answer.headers.get("Content-Security-Policy") == (None if inline else SANDBOX)


def test_private_and_nosniff_hold_for_304_and_206_too(charlie: Client, folder: Path) -> None:
    query = {"filename": "x.svg", "subfolder": charlie.namespace}
    etag = charlie.get("/view", params=query).headers["ETag"]
    for headers, status in (({"If-None-Match": etag}, 304), ({"Range": "bytes=0-3"}, 206)):
        answer = charlie.get("/view", params=query, headers=headers)
        assert answer.status_code == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "private"
        assert answer.headers["Content-Security-Policy"] == SANDBOX


@pytest.mark.parametrize(
    ("wish", "kind", "mode"),
    [
        ({"preview": "webp"}, "WEBP", "RGBA"),
        ({"preview": "webp;50"}, "WEBP", "RGBA"),
        ({"preview": "jpeg"}, "JPEG", "RGB"),
        ({"preview": "jpeg;80", "channel": "rgb"}, "JPEG", "RGB"),
        ({"preview": "anything"}, "WEBP", "RGBA"),
        ({"channel": "rgb"}, "PNG", "RGB"),
        ({"channel": "a"}, "PNG", "RGBA"),
        ({"channel": "rgba"}, "PNG", "RGBA"),
    ],
)
def test_preview_and_channel_come_as_asked(
    charlie: Client, folder: Path, wish: dict[str, str], kind: str, mode: str
) -> None:
    query = {"filename": "holes.png", "subfolder": charlie.namespace, **wish}
    answer = charlie.get("/view", params=query)
    assert answer.status_code == 200
    picture = Image.open(BytesIO(answer.content))
    assert (picture.format, picture.mode, picture.size) == (kind, mode, (16, 12))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_other_parameters_do_not_reach_comfyui(charlie: Client, forwarded: FakeComfyThread) -> None:
    query = {"filename": "holes.png", "subfolder": charlie.namespace, "preview": "webp;33"}
    charlie.get("/view", params={**query, "rand": "0.5", "hash": "x", "token_": "y"})
    asked = [record for record in forwarded.requests if record.method == "GET"]
    [path] = [record.path for record in asked if record.path.startswith("/view?")]
    names = [pair.partition("=")[0] for pair in path.partition("?")[2].split("&")]
    assert sorted(names) == ["filename", "preview", "subfolder", "type"]
