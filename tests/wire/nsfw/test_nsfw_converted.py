"""An explicit picture under another name, or in a form that nobody can judge: what is sent as a
picture is judged as one."""

import io
import json

import pytest
from PIL import Image

from tests.client import Client
from tests.judge import RED
from tests.prompts import file_of, run, save

pytestmark = pytest.mark.usefixtures("calm")

FORMS: tuple[dict[str, str], ...] = ({"preview": "webp;90"}, {"channel": "rgb"}, {"channel": "a"})


def png(color: tuple[int, ...], size: int = 64) -> bytes:
    target = io.BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", (size, size), color).save(target, "PNG")
    return target.getvalue()


def named(answer: dict[str, str]) -> dict[str, str]:
    return {"filename": answer["name"], "subfolder": answer["subfolder"], "type": "input"}


@pytest.mark.parametrize("name", ["x.txt", "x.bin", "x.flac", "x.zip", "x.png.gz"])
def test_picture_with_another_name_is_shown_in_no_form_that_is_one(
    alice: Client, name: str
) -> None:
    sent = {"image": (name, png((224, 16, 16)))}
    file = named(alice.post("/upload/image", files=sent, data={"overwrite": "true"}).json())
    for form in FORMS:
        answer = alice.get("/view", params=file | form)
        assert (answer.status_code, answer.json()["code"]) == (403, "NSFW_BLOCKED"), form
    plain = alice.get("/view", params=file)
    assert plain.status_code == 403 or not plain.headers["Content-Type"].startswith("image/")


@pytest.mark.parametrize("suffix", ["ppm", "sgi", "dds", "png"])
def test_blocked_picture_saved_again_in_another_format_stays_blocked(
    alice: Client, suffix: str
) -> None:
    red = file_of(run(alice, save("again", color=RED)))
    answer = alice.post(
        "/upload/mask",
        files={"image": (f"m.{suffix}", png((0, 0, 0, 255), 16))},
        data={"overwrite": "true", "type": "input", "original_ref": json.dumps(red)},
    )
    assert answer.status_code == 200, answer.text
    for form in FORMS:
        assert alice.get("/view", params=named(answer.json()) | form).status_code == 403, form


@pytest.mark.parametrize("name", ["u.png.gz", "u.png.xz", "u.jpg.bz2"])
def test_packed_name_in_userdata_is_sent_as_no_picture(alice: Client, name: str) -> None:
    assert alice.post(f"/userdata/{name}", data=png((224, 16, 16))).status_code == 200
    answer = alice.get(f"/userdata/{name}")
    assert answer.headers["Content-Type"] == "application/octet-stream"
