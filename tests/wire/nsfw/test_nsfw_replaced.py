"""A file that becomes another while it is sent, or that ComfyUI would send another for: nothing
that was not judged reaches who is kept from explicit images."""

import gzip
import io
import os
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread

pytestmark = pytest.mark.usefixtures("calm")

# Not each other's bytes one further on.
GREEN, RED = (16, 224, 16), (224, 32, 16)
# As a BMP has them: blue, green, red.
RED_ROW = bytes(reversed(RED)) * 1000


def picture(color: tuple[int, int, int], form: str, size: tuple[int, int]) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, color).save(target, form)
    return target.getvalue()


def upload(client: Client, name: str, data: bytes) -> dict[str, str]:
    sent = {"image": (name, data)}
    answer = client.post("/upload/image", files=sent, data={"overwrite": "true"}).json()
    return {"filename": answer["name"], "subfolder": answer["subfolder"], "type": "input"}


def on_disk(comfy: FakeComfyThread, file: dict[str, str]) -> Path:
    return Path(comfy.base_dir) / "input" / file["subfolder"] / file["filename"]


def test_slow_reader_is_cut_off_when_the_file_is_replaced_in_its_place(
    alice: Client, comfy: FakeComfyThread
) -> None:
    size = (3000, 4000)  # 36 MB: more than all that lies between ComfyUI and the reader
    file = upload(alice, "slow.bmp", picture(GREEN, "BMP", size))
    with alice.get("/view", params=file, stream=True) as answer:
        assert answer.status_code == 200, answer.text
        body = answer.iter_content(65536)
        begin = next(body)
        with on_disk(comfy, file).open("r+b") as target:
            target.write(picture(RED, "BMP", size))
        read = [begin]
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            read.extend(body)
    assert RED_ROW not in b"".join(read)
    assert alice.get("/view", params=file).status_code == 403
    on_disk(comfy, file).unlink()


def test_large_file_that_stays_what_it_is_comes_whole(
    alice: Client, comfy: FakeComfyThread
) -> None:
    data = picture(GREEN, "BMP", (1000, 3000))
    file = upload(alice, "whole.bmp", data)
    assert alice.get("/view", params=file).content == data
    part = alice.get("/view", params=file, headers={"Range": "bytes=100-4999999"})
    assert (part.status_code, part.content) == (206, data[100:5_000_000])
    on_disk(comfy, file).unlink()


def test_packed_sibling_is_not_sent_in_the_place_of_what_was_judged(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    green, red = picture(GREEN, "PNG", (64, 64)), gzip.compress(picture(RED, "PNG", (64, 64)))
    size = max(len(green), len(red)) + 10
    # Zeros behind either are passed over. Equal in size and time: the same version to ComfyUI.
    file = upload(alice, "sibling.png", green.ljust(size, b"\0"))
    path = on_disk(comfy, file)
    packed = path.with_name("sibling.png.gz")
    packed.write_bytes(red.ljust(size, b"\0"))
    moment = path.stat().st_mtime_ns
    os.utime(packed, ns=(moment, moment))
    assert alice.get("/view", params=file).status_code == 200
    answer = alice.get("/view", params=file, headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, "Content-Encoding" in answer.headers) == (200, False)
    assert Image.open(io.BytesIO(answer.content)).convert("RGB").getpixel((3, 3)) == GREEN
    for each in (path, packed):
        each.unlink()
