"""/view for users who are kept from explicit images: judged by content, whatever the way."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.judge import BLUE, GREEN, RED, Judge
from tests.ownfiles import upload
from tests.prompts import file_of, preview, run, save
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("calm")

FORMS: list[dict[str, str]] = [
    {},
    {"preview": "webp;50"},
    {"preview": "jpeg"},
    {"channel": "rgb"},
    {"channel": "a"},
    {"channel": "rgba"},
]
CONTENTS = """
from comfyproxy.models import ContentVerdict
result = list(ContentVerdict.objects.filter(score__isnull=False).values_list("pk", flat=True))
"""


def check_blocked(client: Client, file: dict[str, Any], **params: Any) -> None:
    answer = client.get("/view", params={**file, **params})
    check_refusal(answer, 403, "NSFW_BLOCKED", reason="explicit")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("path", ["/view", "/api/view"])
def test_explicit_picture_is_blocked_in_every_form_and_a_harmless_one_is_shown(
    alice: Client, form: dict[str, str], path: str
) -> None:
    red = file_of(run(alice, save(color=RED)))
    green = file_of(run(alice, save(color=GREEN)))
    answer = alice.get(path, params={**red, **form})
    check_refusal(answer, 403, "NSFW_BLOCKED", reason="explicit")
    answer = alice.get(path, params={**green, **form})
    assert answer.status_code == 200
    Image.open(io.BytesIO(answer.content)).verify()
    # The next look asks again, so that a tag counts at once.
    assert answer.headers["cache-control"] == "private, no-cache"


def test_who_is_not_kept_from_anything_is_shown_all_without_a_look(
    bob: Client, judge: Judge
) -> None:
    file = file_of(run(bob, save(color=RED)))
    before = judge.asked
    answer = bob.get("/view", params=file)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private"
    assert judge.asked == before


@pytest.mark.parametrize("headers", [{"Range": "bytes=0-10"}, {"If-None-Match": "*"}])
def test_part_of_it_and_what_the_browser_has_already_are_blocked_too(
    alice: Client, headers: dict[str, str]
) -> None:
    file = file_of(run(alice, save(color=RED)))
    check_refusal(
        alice.get("/view", params=file, headers=headers), 403, "NSFW_BLOCKED", reason="explicit"
    )
    assert alice.request("HEAD", "/view", params=file, headers=headers).status_code == 403


def test_preview_and_upload_are_judged_as_outputs_are(alice: Client) -> None:
    check_blocked(alice, file_of(run(alice, preview(color=RED))))
    name = upload(alice, "red.png", (224, 16, 16))
    subfolder, _, filename = name.rpartition("/")
    check_blocked(alice, {"filename": filename, "subfolder": subfolder, "type": "input"})


def test_same_content_is_judged_once(alice: Client, judge: Judge, strict: Gateway) -> None:
    first = file_of(run(alice, save("twice", color=BLUE - 1)))
    assert alice.get("/view", params=first).status_code == 200
    before = judge.asked
    for _ in range(3):
        assert alice.get("/view", params=first).status_code == 200
    assert judge.asked == before
    assert len(strict.run(CONTENTS)) == len(set(strict.run(CONTENTS)))


def test_file_that_is_replaced_is_judged_anew(
    alice: Client, comfy: FakeComfyThread, judge: Judge
) -> None:
    file = file_of(run(alice, save("replaced", color=GREEN)))
    assert alice.get("/view", params=file).status_code == 200
    path = Path(comfy.base_dir) / "output" / file["subfolder"] / file["filename"]
    Image.new("RGB", (16, 16), (224, 16, 16)).save(path)
    check_blocked(alice, file)
    check_blocked(alice, file, preview="webp;50")
    Image.new("RGB", (17, 17), (16, 16, 224)).save(path)
    assert alice.get("/view", params=file).status_code == 200


@pytest.mark.parametrize(
    ("name", "content", "is_shown"),
    [
        ("notes.txt", b"just words", True),
        ("data.json", b"{}", True),
        ("what.dat", b"\x00\x01\x02 no picture", True),
        ("broken.png", b"\x89PNG\r\n\x1a\n broken", False),
        ("text.png", b"this is no picture", False),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><circle r='9'/></svg>", False),
        ("empty.webp", b"", False),
    ],
)
def test_what_is_no_picture_is_shown_and_what_nobody_can_judge_is_not(
    alice: Client, comfy: FakeComfyThread, name: str, content: bytes, is_shown: bool
) -> None:
    folder = Path(comfy.base_dir) / "output" / alice.namespace
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    params = {"filename": name, "subfolder": alice.namespace, "type": "output"}
    answer = alice.get("/view", params=params)
    if is_shown:
        assert answer.status_code == 200
        assert answer.content == content
    else:
        check_refusal(answer, 403, "NSFW_BLOCKED", reason="unknown")


def test_picture_under_another_name_is_found_out(alice: Client, comfy: FakeComfyThread) -> None:
    data = io.BytesIO()
    Image.new("RGB", (16, 16), (224, 16, 16)).save(data, "PNG")
    folder = Path(comfy.base_dir) / "output" / alice.namespace
    for name in ("picture.dat", "picture", "picture.mp3.x"):
        (folder / name).write_bytes(data.getvalue())
        check_blocked(alice, {"filename": name, "subfolder": alice.namespace, "type": "output"})


def test_person_sees_why_where_the_picture_would_be(alice: Client) -> None:
    file = file_of(run(alice, save(color=RED)))
    answer = alice.get("/view", params=file, headers={"Sec-Fetch-Dest": "image"})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "explicit" in answer.text
    assert "sandbox" in answer.headers["content-security-policy"]


def test_classifier_that_takes_too_long_or_fails_blocks_until_it_answers(
    alice: Client, judge: Judge
) -> None:
    file = file_of(run(alice, save("slow", color=GREEN + 5)))
    judge.held.clear()
    try:
        answer = alice.get("/view", params=file)
    finally:
        judge.held.set()
    check_refusal(answer, 403, "NSFW_BLOCKED", reason="unchecked")
    assert answer.headers["retry-after"] == "5"
    # It was gone on with.
    for _ in range(50):
        answer = alice.get("/view", params=file)
        if answer.status_code == 200:
            break
    assert answer.status_code == 200
    judge.failing = True
    try:
        other = file_of(run(alice, save("failing", color=GREEN + 6)))
        check_refusal(alice.get("/view", params=other), 403, "NSFW_BLOCKED", reason="unknown")
    finally:
        judge.failing = False
    assert alice.get("/view", params=other).status_code == 200


def test_me_tells_which_classifier_judges(alice: Client, bob: Client) -> None:
    told = alice.get("/mss-login/api/me").json()
    assert (told["sfw_enforced"], told["nsfw"]) == (
        True,
        {"classifier": "http", "unknown": "block"},
    )
    assert bob.get("/mss-login/api/me").json()["sfw_enforced"] is False
