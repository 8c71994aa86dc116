"""Uploads of pictures and masks: names, folders, duplicates, refusals."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.fakecomfy import FakeComfyThread

from .replay import Answer, multipart, send


def _upload(
    url: str, name: str, content: bytes = b"A", route: str = "image", **fields: str
) -> Answer:
    file = {"file": content, "filename": name, "content_type": "image/png"}
    body, kind = multipart({"image": file, **fields})
    return send(url, "POST", f"/upload/{route}", body, {"Content-Type": kind})


def _name(answer: Answer) -> str:
    assert answer.status == 200, answer.text
    return answer.json()["name"]


def test_client_uploads_same_name_content_decides(fake: FakeComfyThread, base: Path) -> None:
    first = _upload(fake.url, "up.png", b"A")
    assert first.json() == {"name": "up.png", "subfolder": "", "type": "input"}
    assert _name(_upload(fake.url, "up.png", b"A")) == "up.png"
    assert _name(_upload(fake.url, "up.png", b"B")) == "up (1).png"
    assert _name(_upload(fake.url, "up.png", b"B")) == "up (1).png"
    assert _name(_upload(fake.url, "up.png", b"C", overwrite="true")) == "up.png"
    assert _name(_upload(fake.url, "up.png", b"D", overwrite="1")) == "up.png"
    assert (base / "input/up.png").read_bytes() == b"D"
    assert _name(_upload(fake.url, "up.png", b"B", overwrite="TRUE")) == "up (1).png"


@pytest.mark.parametrize("subfolder", ["a/./b/", "clipspace", "<BASE>/input/abs"])
def test_client_uploads_into_subfolder_it_is_made_and_echoed(
    fake: FakeComfyThread, base: Path, subfolder: str
) -> None:
    subfolder = subfolder.replace("<BASE>", str(base))
    answer = _upload(fake.url, "up.png", subfolder=subfolder)
    assert answer.json() == {"name": "up.png", "subfolder": subfolder, "type": "input"}
    assert (base / "input" / subfolder / "up.png").is_file()


@pytest.mark.parametrize(
    ("name", "fields", "status"),
    [
        ("up.png", {"subfolder": ".."}, 400),
        ("up.png", {"subfolder": "/tmp"}, 400),
        ("up.png", {"type": "bogus"}, 500),
        ("zz/named.png", {}, 500),
        ("../x.png", {}, 400),
        ("/zz/x.png", {}, 500),
        (".", {}, 500),
        ("", {}, 500),
    ],
)
def test_client_uploads_bad_name_or_folder_gets_refused(
    fake: FakeComfyThread, name: str, fields: dict[str, Any], status: int
) -> None:
    assert _upload(fake.url, name, **fields).status == status


def test_client_uploads_odd_names_they_are_taken(fake: FakeComfyThread, base: Path) -> None:
    (base / "input/a/b").mkdir(parents=True)
    for name in ("a/b/named.png", "../input/inside.png", "x.png [output]", "evil.svg"):
        assert _name(_upload(fake.url, name)) == name
    assert (base / "input/inside.png").is_file()


def test_client_uploads_into_other_folders(fake: FakeComfyThread, base: Path) -> None:
    assert _upload(fake.url, "planted.png", type="output").json()["type"] == "output"
    assert _upload(fake.url, "t-up.png", type="temp").json()["type"] == "temp"
    assert (base / "output/planted.png").is_file()
    assert (base / "temp/t-up.png").is_file()


def test_client_uploads_without_a_file_gets_refused(fake: FakeComfyThread) -> None:
    for fields, status in (({"overwrite": "true"}, 400), ({"image": "text"}, 500)):
        body, kind = multipart(fields)
        answer = send(fake.url, "POST", "/upload/image", body, {"Content-Type": kind})
        assert answer.status == status
    assert send(fake.url, "POST", "/upload/image", "x").status == 400


def _png(alpha: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, alpha)).save(buffer, format="PNG")
    return buffer.getvalue()


def _original(path: Path) -> None:
    info = PngInfo()
    info.add_text("workflow", "{}")
    Image.new("RGB", (8, 8), (9, 8, 7)).save(path, pnginfo=info)


def _mask(url: str, name: str, reference: Any, **fields: str) -> Answer:
    return _upload(url, name, _png(100), "mask", original_ref=json.dumps(reference), **fields)


def test_client_uploads_mask_it_is_put_over_the_original(fake: FakeComfyThread, base: Path) -> None:
    _original(base / "output/someones.png")
    reference = {"filename": "someones.png", "subfolder": "", "type": "output"}
    answer = _mask(fake.url, "mask1.png", reference, subfolder="clipspace")
    assert answer.json() == {"name": "mask1.png", "subfolder": "clipspace", "type": "input"}
    with Image.open(base / "input/clipspace/mask1.png") as masked:
        assert masked.getpixel((0, 0)) == (9, 8, 7, 100)
        assert masked.text == {"workflow": "{}"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "reference",
    [
        {"filename": "missing.png", "type": "input"},
        {"filename": "../x.png", "type": "input"},
        {"filename": "example.png", "type": "input", "subfolder": ".."},
        {"filename": "example.png", "type": "bogus"},
    ],
)
def test_client_uploads_mask_of_bad_original_gets_200_and_nothing_is_written(
    fake: FakeComfyThread, base: Path, reference: dict[str, str]
) -> None:
    assert _name(_mask(fake.url, "mask2.png", reference)) == "mask2.png"
    assert not (base / "input/mask2.png").exists()


def test_client_uploads_mask_without_original_gets_500(fake: FakeComfyThread) -> None:
    assert _upload(fake.url, "mask3.png", _png(1), "mask").status == 500
