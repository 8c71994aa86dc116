"""Masks: laid over pictures that the caller may see, and over nobody else's."""

import json
from collections.abc import Iterator
from io import BytesIO

import pytest
from PIL import Image

from tests.client import Client
from tests.comfydisk import ComfyDisk
from tests.fakecomfy.thread import FakeComfyThread
from tests.formbody import field, file, form, send_form
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")

MASK = "/upload/mask"
SIZE = (128, 96)  # of the simulated ComfyUI's example.png


def png(mode: str, colour: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    Image.new(mode, SIZE, colour).save(buffer, "PNG")
    return buffer.getvalue()


HALF = png("RGBA", (0, 0, 0, 128))


@pytest.fixture
def shelf(comfy: FakeComfyThread, gateway: Gateway, disk: ComfyDisk) -> Iterator[dict[str, bytes]]:
    """Alice's and Bob's pictures, and some that are nobody's; all files there are."""
    alice, bob = gateway.namespaces["alice"], gateway.namespaces["bob"]
    disk.put(f"input/{alice}/face.png", png("RGB", (250, 0, 0)))
    disk.put(f"input/{alice}/clipspace/face.png", png("RGB", (0, 250, 0)))
    disk.put(f"output/{alice}/made.png", png("RGB", (0, 0, 250)))
    disk.put(f"input/{bob}/face.png", png("RGB", (9, 9, 9)))
    disk.put(f"output/{bob}/made.png", png("RGB", (8, 8, 8)))
    disk.put("output/top.png", png("RGB", (7, 7, 7)))
    disk.put("input/open.png", png("RGB", (1, 2, 3)))
    yield disk.files()


def mask_form(original: object, *more: bytes, content: bytes = HALF) -> bytes:
    text = original if isinstance(original, str) else json.dumps(original)
    return form(file("mask.png", content), field("original_ref", text), *more)


def colours(content: bytes) -> tuple[str, object]:
    picture = Image.open(BytesIO(content))
    return picture.mode, picture.getpixel((0, 0))


OWN = [
    ({"filename": "face.png", "subfolder": "NS", "type": "input"}, (250, 0, 0)),
    ({"filename": "face.png [input]", "subfolder": "NS"}, (250, 0, 0)),
    ({"filename": "NS/face.png", "type": "input"}, (250, 0, 0)),
    ({"filename": "NS/clipspace/face.png [input]", "type": "output"}, (0, 250, 0)),
    ({"filename": "made.png", "subfolder": "NS", "type": "output"}, (0, 0, 250)),
    ({"filename": "made.png", "subfolder": "./NS//"}, (0, 0, 250)),
    # Without a namespace: one's own first, then the unowned top of the input folder.
    ({"filename": "face.png", "type": "input"}, (250, 0, 0)),
    ({"filename": "face.png", "subfolder": "clipspace", "type": "input"}, (0, 250, 0)),
    ({"filename": "clipspace/face.png [input]", "subfolder": ""}, (0, 250, 0)),
    ({"filename": "open.png", "type": "input"}, (1, 2, 3)),
    ({"filename": "open.png", "subfolder": None, "type": "input"}, (1, 2, 3)),
]


@pytest.mark.parametrize(("original", "colour"), OWN)
def test_alice_lays_a_mask_over_what_she_may_see(
    alice: Client,
    disk: ComfyDisk,
    shelf: dict[str, bytes],
    original: dict[str, str],
    colour: tuple[int, int, int],
) -> None:
    named = {key: value and value.replace("NS", alice.namespace) for key, value in original.items()}
    answer = send_form(alice, mask_form(named, field("subfolder", "clipspace")), MASK)
    subfolder = f"{alice.namespace}/clipspace"
    assert answer.json() == {"name": "mask.png", "subfolder": subfolder, "type": "input"}
    added = disk.added(shelf)
    assert list(added) == [f"input/{subfolder}/mask.png"]
    assert colours(added[f"input/{subfolder}/mask.png"]) == ("RGBA", (*colour, 128))
    told = {"filename": "mask.png", "subfolder": subfolder, "type": "input"}
    assert alice.get("/view", params=told).content == added[f"input/{subfolder}/mask.png"]


FOREIGN = [
    {"filename": "face.png", "subfolder": "BOB", "type": "input"},
    {"filename": "face.png [input]", "subfolder": "BOB"},
    {"filename": "BOB/face.png [input]"},
    {"filename": "BOB/face.png", "type": "input"},
    {"filename": "face.png", "subfolder": "./BOB/", "type": "input"},
    {"filename": "face.png", "subfolder": "NS/../BOB", "type": "input"},
    {"filename": "made.png", "subfolder": "BOB", "type": "output"},
    {"filename": "made.png", "subfolder": "BOB"},
    {"filename": "top.png", "type": "output"},
    {"filename": "top.png"},
    {"filename": "top.png [output]", "type": "input"},
    {"filename": "top.png [output] [input]", "type": "input"},
    {"filename": "made.png [output] [input]", "subfolder": "BOB"},
    {"filename": "no such.png", "type": "input"},
    {"filename": "no such.png", "subfolder": "NS", "type": "input"},
    {"filename": "passwd", "subfolder": "/etc", "type": "input"},
    {"filename": "etc/passwd", "subfolder": "/", "type": "input"},
    {"filename": "x.png", "subfolder": "..", "type": "input"},
]


@pytest.mark.parametrize("original", FOREIGN)
def test_mask_over_what_is_not_alices_is_404_and_writes_nothing(
    alice: Client, bob: Client, disk: ComfyDisk, shelf: dict[str, bytes], original: dict[str, str]
) -> None:
    named = {
        key: value.replace("NS", alice.namespace).replace("BOB", bob.namespace)
        for key, value in original.items()
    }
    check_refusal(send_form(alice, mask_form(named), MASK), 404, "NOT_FOUND")
    assert disk.added(shelf) == {}


@pytest.mark.parametrize(
    ("original", "field_name"),
    [
        ("", "original_ref"),
        ("not JSON", "original_ref"),
        ("[]", "original_ref"),
        ('"face.png"', "original_ref"),
        ("null", "original_ref"),
        ("{}", "original_ref"),
        ({"filename": 5}, "original_ref"),
        ({"filename": ["face.png"]}, "original_ref"),
        ("[" * 10_000, "original_ref"),
        ({"filename": ""}, "filename"),
        ({"filename": "/face.png"}, "filename"),
        ({"filename": "..", "type": "input"}, "filename"),
        ({"filename": "a\0b", "type": "input"}, "filename"),
        ({"filename": "face.png", "type": "models"}, "type"),
    ],
)
def test_mask_over_nothing_sensible_is_400_and_writes_nothing(
    alice: Client, disk: ComfyDisk, shelf: dict[str, bytes], original: object, field_name: str
) -> None:
    answer = send_form(alice, mask_form(original), MASK)
    check_refusal(answer, 400, "BAD_REQUEST", field=field_name)
    assert disk.added(shelf) == {}


def test_mask_without_an_original_or_a_picture_is_400(
    alice: Client, disk: ComfyDisk, shelf: dict[str, bytes]
) -> None:
    answer = send_form(alice, form(file("mask.png", HALF)), MASK)
    check_refusal(answer, 400, "BAD_REQUEST", field="original_ref")
    own = {"filename": "face.png", "type": "input"}
    answer = send_form(alice, mask_form(own, content=b"no picture"), MASK)
    check_refusal(answer, 400, "BAD_REQUEST", field="image")
    assert disk.added(shelf) == {}


def test_mask_cannot_be_laid_into_bobs_folder(
    alice: Client, bob: Client, disk: ComfyDisk, shelf: dict[str, bytes]
) -> None:
    own = {"filename": "face.png", "type": "input"}
    for more in (field("subfolder", bob.namespace), field("subfolder", f"../{bob.namespace}")):
        answer = send_form(alice, mask_form(own, more), MASK)
        check_refusal(answer, 400, "BAD_REQUEST", field="subfolder")
    answer = send_form(alice, mask_form(own, field("type", "output")), MASK)
    check_refusal(answer, 400, "BAD_REQUEST", field="type")
    assert disk.added(shelf) == {}


def test_manager_lays_a_mask_over_bobs_picture_into_their_own_folder(
    admin: Client, bob: Client, disk: ComfyDisk, shelf: dict[str, bytes]
) -> None:
    named = {"filename": "made.png", "subfolder": bob.namespace, "type": "output"}
    assert send_form(admin, mask_form(named), MASK).status_code == 200
    added = disk.added(shelf)
    assert list(added) == [f"input/{admin.namespace}/mask.png"]
    assert colours(added[f"input/{admin.namespace}/mask.png"]) == ("RGBA", (8, 8, 8, 128))
