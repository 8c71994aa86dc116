"""`/view_metadata`, `/experiment/models` and its previews: of given models, by listed names."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

from tests.cast import ADMIN
from tests.client import Client, raw_request
from tests.conftest import People
from tests.fakecomfy import safetensors
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.granted import Given
from tests.refusals import asked, check_refusal

pytestmark = pytest.mark.usefixtures("clean_log", "planted", "known")

PREVIEW = "/experiment/models/preview"
METADATA = "/view_metadata/checkpoints?filename="
SD15 = ("checkpoints", "sd15.safetensors")


def png(color: tuple[int, int, int]) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, format="PNG")
    return buffer.getvalue()


def cover(color: tuple[int, int, int]) -> dict[str, str]:
    return {"ssmd_cover_images": json.dumps([base64.b64encode(png(color)).decode()])}


@pytest.fixture(scope="module")
def planted(comfy: FakeComfyThread, people: People) -> Iterator[None]:
    """Models that make ComfyUI's own answers tempting; gone afterwards."""
    models = Path(comfy.base_dir) / "models"
    covered = models / "checkpoints/covered.v2.safetensors"
    files = {
        models / "checkpoints/portraits/real.png": png((1, 200, 1)),
        models / "checkpoints/covered.ckpt": b"x",
        models / "vae/it's odd; 100%.safetensors": b"",
        models / "vae/it's odd; 100%.png": png((200, 1, 1)),
    }
    for path, content in files.items():
        path.write_bytes(content)
    safetensors.write(covered, cover((1, 1, 200)))
    safetensors.write(models / "diffusion_models/flux-demo.safetensors", {"note": "flux"})
    yield
    for path in (*files, covered):
        path.unlink()
    # Later tests, too, know what there is.
    people.client(ADMIN).post("/mss-login/api/available-models/refresh")


def of_comfyui(comfy: FakeComfyThread, path: str) -> Any:
    answer = Client(comfy.url).get(path).json()
    assert answer
    return answer


def color(picture: bytes) -> tuple[int, ...]:
    with Image.open(BytesIO(picture)) as opened:
        assert opened.format == "WEBP"
        return tuple(opened.convert("RGB").getpixel((4, 4)))  # type: ignore[arg-type]


# --- /experiment/models ------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_only_who_manages_the_backend_sees_where_models_lie(
    prefix: str, alice: Client, power: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    path = "/experiment/models"
    full = of_comfyui(comfy, path)
    assert admin.get(prefix + path).json() == full
    for client in (alice, power):
        shown = client.get(prefix + path)
        assert [folder["name"] for folder in shown.json()] == [folder["name"] for folder in full]
        assert shown.json()[0]["folders"] == ["…/models/checkpoints", "…/output/checkpoints"]
        assert comfy.base_dir not in shown.text
        assert [len(folder["folders"]) for folder in shown.json()] == [
            len(folder["folders"]) for folder in full
        ]


def test_files_of_a_folder_are_those_that_were_given(
    alice: Client, power: Client, given: Given, comfy: FakeComfyThread
) -> None:
    path = "/experiment/models/checkpoints"
    full = of_comfyui(comfy, path)
    assert len(full) > 3
    assert power.get(path).json() == full
    assert alice.get(path).json() == []
    greta = given(SD15, ("checkpoints", "portraits/*"), ("loras", "*"))
    assert greta.get(path).json() == [
        file for file in full if file["name"] in ("sd15.safetensors", "portraits/real.safetensors")
    ]
    unet = given(("diffusion_models", "*"))
    for folder in ("unet", "diffusion_models"):
        found = unet.get(f"/api/experiment/models/{folder}").json()
        assert [file["name"] for file in found] == ["flux-demo.safetensors"]


@pytest.mark.parametrize("folder", ["nosuch", "CHECKPOINTS", "custom_nodes", "a%20b"])
def test_a_folder_that_there_is_not_is_not_found(
    folder: str, alice: Client, forwarded: FakeComfyThread
) -> None:
    for path in (f"/experiment/models/{folder}", f"/view_metadata/{folder}?filename=a"):
        check_refusal(alice.get(path), 404, "NOT_FOUND")
    check_refusal(alice.get(f"{PREVIEW}/{folder}/0/a.png"), 404, "NOT_FOUND")
    # The gateway may just be looking what ComfyUI offers.
    assert [one for one in asked(forwarded) if unquote(folder) in unquote(one.path)] == []


# --- /view_metadata ----------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_metadata_of_a_given_model_are_comfyuis(
    prefix: str, given: Given, power: Client, comfy: FakeComfyThread
) -> None:
    greta = given(SD15)
    comfy.clear_requests()
    answer = greta.get(f"{prefix}{METADATA}sd15.safetensors")
    assert answer.json() == of_comfyui(comfy, f"{METADATA}sd15.safetensors")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private"
    assert asked(comfy)[0].path == f"{METADATA}sd15.safetensors"
    assert greta.head(f"{prefix}{METADATA}sd15.safetensors").status_code == 200
    odd = given(("vae", "it's *"))
    name = "it's%20odd%3B%20100%25.safetensors"
    check_refusal(odd.get(f"/view_metadata/vae?filename={name}"), 404, "NOT_FOUND")
    for folder in ("unet", "diffusion_models"):
        path = f"/view_metadata/{folder}?filename=flux-demo.safetensors"
        assert given(("unet", "*")).get(path).json() == {"note": "flux"}
    sub = f"{METADATA}portraits%2Freal.safetensors"
    assert power.get(sub).json() == {"note": "in a subfolder"}


@pytest.mark.parametrize(
    "name",
    [
        "sdxl.safetensors",
        "./sd15.safetensors",
        "/sd15.safetensors",
        "x/../sd15.safetensors",
        "SD15.safetensors",
        "sd15",
        "sd15.safetensors%00",
        "sd15.safetensors%20",
        "..%2Floras%2Fstyle.safetensors",
        "real.safetensors",
        "nosuch.safetensors",
        "",
        "%FF",
    ],
)
def test_metadata_by_any_other_name_are_not_found(
    name: str, given: Given, forwarded: FakeComfyThread
) -> None:
    answer = given(SD15, ("loras", "*")).get(METADATA + name)
    assert (answer.status_code, answer.json()["code"]) in (
        (404, "NOT_FOUND"),
        (400, "BAD_REQUEST"),
    )
    assert asked(forwarded) == []


def test_of_several_names_the_first_counts(given: Given, forwarded: FakeComfyThread) -> None:
    greta = given(SD15)
    both = f"{METADATA}sd15.safetensors&filename=sdxl.safetensors"
    assert greta.get(both).json()["modelspec.title"] == "Demo SD 1.5"
    (record,) = asked(forwarded)
    assert "sdxl" not in str(record.as_json())
    other = f"{METADATA}sdxl.safetensors&filename=sd15.safetensors"
    check_refusal(greta.get(other), 404, "NOT_FOUND")
    check_refusal(greta.get("/view_metadata/checkpoints"), 404, "NOT_FOUND")


# --- previews ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd15.webp", "sd15.safetensors", "sd15.png", "sd15"])
@pytest.mark.parametrize("prefix", ["", "/api"])
def test_a_preview_is_asked_for_by_the_models_own_name(
    prefix: str, name: str, given: Given, forwarded: FakeComfyThread
) -> None:
    greta = given(SD15)
    answer = greta.get(f"{prefix}{PREVIEW}/checkpoints/0/{name}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private"
    assert color(answer.content) == pytest.approx((200, 120, 40), abs=9)
    (record,) = asked(forwarded)
    assert record.path == f"{PREVIEW}/checkpoints/0/sd15.safetensors"


@pytest.mark.parametrize("name", ["portraits/real.webp", "portraits%2Freal.safetensors"])
def test_a_preview_in_a_sub_folder_comes_in_both_spellings(
    name: str, given: Given, alice: Client, comfy: FakeComfyThread
) -> None:
    path = f"{PREVIEW}/checkpoints/0/{name}"
    answer = given(("checkpoints", "portraits/*")).get(path)
    assert color(answer.content) == pytest.approx((1, 200, 1), abs=9)
    check_refusal(alice.get(path), 404, "NOT_FOUND")
    odd = given(("vae", "*")).get(f"{PREVIEW}/vae/0/it's%20odd%3B%20100%25.webp")
    assert color(odd.content) == pytest.approx((200, 1, 1), abs=9)


@pytest.mark.parametrize(
    "tail",
    [
        "checkpoints/0/../../input/example.png",
        "checkpoints/0/..%2F..%2Finput%2Fexample.png",
        "checkpoints/0/%2E%2E/%2E%2E/input/example.png",
        "checkpoints/0/%252E%252E%252Finput%252Fexample.png",
        "checkpoints/0//etc/passwd.png",
        "checkpoints/0/%2Fetc%2Fpasswd.png",
        "checkpoints/0/..%5C..%5Cinput%5Cexample.png",
        "checkpoints/0/sd15.safetensors/../../../input/example.png",
        "checkpoints/0/x%2F..%2Fsd15.safetensors",
        "checkpoints/0/./sd15.safetensors",
        "checkpoints/0/SD15.webp",
        "checkpoints/0/sd15.safetensors%00.png",
        "checkpoints/0/s*.webp",
        "checkpoints/0/sd1[5].webp",
        "checkpoints/0/real.webp",
        "checkpoints/0/sdxl.webp",
        "checkpoints/0/sdxl.safetensors",
        "checkpoints/0/nosuch.webp",
        "checkpoints/0/",
        "checkpoints/0",
        "checkpoints/-1/sd15.webp",
        "checkpoints/x/sd15.webp",
        "checkpoints/100/sd15.webp",
        "checkpoints/9999999999/sd15.webp",
        "checkpoints/1_0/sd15.webp",
        "checkpoints/+0/sd15.webp",
        "checkpoints/%200/sd15.webp",
        "checkpoints/%D9%A0/sd15.webp",
        "checkpoints/0%2F..%2F0/sd15.webp",
        "../preview/checkpoints/0/sd15.webp",
    ],
)
def test_no_other_picture_can_be_asked_for(
    tail: str, given: Given, gateway: Gateway, forwarded: FakeComfyThread
) -> None:
    greta = given(SD15)
    headers = {"Authorization": f"Bearer {greta.token}"}
    answer = raw_request(gateway.url, "GET", f"{PREVIEW}/{tail}", headers)
    assert answer.status in (400, 403, 404), answer.body
    assert asked(forwarded) == []


def test_what_comfyui_does_not_have_is_not_found(given: Given, power: Client) -> None:
    greta = given(("checkpoints", "*"), ("vae", "*"))
    for tail in ("checkpoints/1/sd15.webp", "checkpoints/77/sd15.webp", "vae/0/ft-mse.webp"):
        for client in (greta, power):
            check_refusal(client.get(f"{PREVIEW}/{tail}"), 404, "NOT_FOUND")


def test_the_cover_out_of_a_hidden_model_is_not_shown_for_another(
    given: Given, comfy: FakeComfyThread
) -> None:
    path = f"{PREVIEW}/checkpoints/0/covered.webp"
    raw = Client(comfy.url).get(f"{PREVIEW}/checkpoints/0/covered.ckpt").content
    assert color(raw) == pytest.approx((1, 1, 200), abs=9), "ComfyUI takes the neighbour's"
    check_refusal(given(("checkpoints", "covered.ckpt")).get(path), 404, "NOT_FOUND")
    both = given(("checkpoints", "covered.*")).get(path)
    assert color(both.content) == pytest.approx((1, 1, 200), abs=9)


def test_nobody_unknown_is_told_anything(anonymous: Client, forwarded: FakeComfyThread) -> None:
    for path in (
        "/experiment/models",
        "/experiment/models/checkpoints",
        f"{METADATA}sd15.safetensors",
        f"{PREVIEW}/checkpoints/0/sd15.webp",
    ):
        check_refusal(anonymous.get(path), 401, "AUTH_REQUIRED")
    assert asked(forwarded) == []
