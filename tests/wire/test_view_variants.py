"""Pictures that ComfyUI converts for `/view`: made once, and only shown to whom the file is."""

import os
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.ownfiles import upload as uploaded
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

RED, BLUE = (255, 0, 0), (0, 0, 255)


def upload(client: Client, name: str, color: tuple[int, int, int]) -> dict[str, str]:
    """An input file of the client's, as `/view` names it."""
    uploaded(client, name, color)
    return {"filename": name, "subfolder": client.namespace, "type": "input"}


def converted(comfy: FakeComfyThread) -> int:
    """How often ComfyUI converted since its record was cleared."""
    return sum(
        record.kind == "http"
        and record.method == "GET"
        and record.path.startswith("/view")
        and ("preview=" in record.path or "channel=" in record.path)
        for record in comfy.requests
    )


def color(data: bytes) -> tuple[int, ...]:
    with Image.open(BytesIO(data)) as picture:
        pixel = picture.convert("RGB").getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return tuple(round(value / 255) * 255 for value in pixel)


@pytest.mark.parametrize(
    "shown_as", [{"preview": "webp;80"}, {"preview": "jpeg"}, {"channel": "rgb"}, {"channel": "a"}]
)
def test_gallery_asks_again_and_comfyui_converts_once(
    alice: Client, forwarded: FakeComfyThread, shown_as: dict[str, str]
) -> None:
    name = f"gallery-{'-'.join(shown_as)}-{'-'.join(shown_as.values())}.png".replace(";", "")
    wanted = {**upload(alice, name, RED), **shown_as}
    forwarded.clear_requests()
    first = alice.get("/view", params=wanted)
    again = [alice.get("/view", params=wanted) for _ in range(3)]
    assert first.status_code == 200
    assert {answer.content for answer in again} == {first.content}
    for answer in again:
        for header in ("Content-Type", "Content-Disposition", "Cache-Control", "ETag"):
            assert answer.headers[header] == first.headers[header]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert converted(forwarded) == 1
    had = alice.get("/view", params=wanted, headers={"If-None-Match": first.headers["ETag"]})
    assert (had.status_code, had.content) == (304, b"")
    assert converted(forwarded) == 1


def test_other_file_of_the_same_name_is_another_picture(
    alice: Client, comfy: FakeComfyThread
) -> None:
    file = upload(alice, "changes.png", RED)
    wanted = {**file, "preview": "webp"}
    assert color(alice.get("/view", params=wanted).content) == RED
    path = Path(comfy.base_dir) / "input" / alice.namespace / "changes.png"
    buffer = BytesIO()
    Image.new("RGB", (16, 16), BLUE).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    os.utime(path, (time.time() + 5, time.time() + 5))
    assert color(alice.get("/view", params=wanted).content) == BLUE


def test_kept_picture_is_nobody_elses(alice: Client, bob: Client) -> None:
    wanted = {**upload(alice, "kept-mine.png", RED), "preview": "webp"}
    for _ in range(2):
        assert alice.get("/view", params=wanted).status_code == 200
    check_refusal(bob.get("/view", params=wanted), 404, "NOT_FOUND")


def test_deleted_file_is_not_shown_out_of_memory(alice: Client, comfy: FakeComfyThread) -> None:
    wanted = {**upload(alice, "kept-gone.png", RED), "preview": "webp"}
    assert alice.get("/view", params=wanted).status_code == 200
    (Path(comfy.base_dir) / "input" / alice.namespace / "kept-gone.png").unlink()
    check_refusal(alice.get("/view", params=wanted), 404, "NOT_FOUND")


def test_damaged_or_missing_memory_costs_nothing_but_time(
    alice: Client, gateway: Gateway, forwarded: FakeComfyThread
) -> None:
    wanted = {**upload(alice, "kept-damaged.png", RED), "preview": "webp"}
    assert color(alice.get("/view", params=wanted).content) == RED
    kept = list((gateway.data_dir / "variants" / alice.namespace).iterdir())
    assert kept
    for path in kept:
        path.write_bytes(b"no head")
    assert color(alice.get("/view", params=wanted).content) == RED


def test_memory_is_bounded_and_keeps_what_is_in_use(
    alice: Client, gateway: Gateway, forwarded: FakeComfyThread
) -> None:
    wanted = {**upload(alice, "kept-used.png", RED), "preview": "webp"}
    alice.get("/view", params=wanted)
    folder = gateway.data_dir / "variants" / alice.namespace
    old = time.time() - 3600
    for number in range(3):
        path = folder / f"old{number}"
        path.write_bytes(b"x" * 100_000)
        os.utime(path, (old, old))
    gateway.run("from comfyproxy import variants; variants.sweep(150_000)")
    assert len(list(folder.glob("old*"))) == 1
    forwarded.clear_requests()
    assert alice.get("/view", params=wanted).status_code == 200
    assert converted(forwarded) == 0
    gateway.run("from comfyproxy import variants; variants.sweep(1)")
    assert list(folder.iterdir()) == []
