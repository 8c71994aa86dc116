"""Uploads of pictures: into the caller's own folder and nowhere else, whatever the form says."""

import pytest

from tests.client import Client
from tests.comfydisk import ComfyDisk
from tests.fakecomfy.thread import FakeComfyThread
from tests.formbody import field, file, form, send_form
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")


def test_alice_uploads_into_her_folder_and_the_answer_is_usable_as_it_stands(
    alice: Client, bob: Client, disk: ComfyDisk
) -> None:
    before = disk.files()
    for path in ("/upload/image", "/api/upload/image"):
        answer = alice.post(path, files={"image": ("up.png", b"content", "image/png")})
        assert answer.status_code == 200
        assert answer.json() == {"name": "up.png", "subfolder": alice.namespace, "type": "input"}
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert disk.added(before) == {f"input/{alice.namespace}/up.png": b"content"}
    told = answer.json()
    query = {"filename": told["name"], "subfolder": told["subfolder"], "type": told["type"]}
    assert alice.get("/view", params=query).content == b"content"
    check_refusal(bob.get("/view", params=query), 404, "NOT_FOUND")


SUBFOLDERS = {
    "": "",
    "clipspace": "/clipspace",
    "a/./b//": "/a/b",
    "./": "",
    "NS": "",
    "NS/": "",
    "NS/deep": "/deep",
    "./NS/./deep": "/deep",
    "ünï ¢ode": "/ünï ¢ode",
    "%2e%2e": "/%2e%2e",
    "a;b=c": "/a;b=c",
    "input": "/input",
}


@pytest.mark.parametrize("first", [True, False], ids=["before the file", "after the file"])
@pytest.mark.parametrize("wanted", SUBFOLDERS)
def test_subfolder_lies_inside_ones_own_wherever_it_stands_in_the_form(
    alice: Client, disk: ComfyDisk, wanted: str, first: bool
) -> None:
    before = disk.files()
    part = field("subfolder", wanted.replace("NS", alice.namespace))
    parts = [part, file("s.png", b"x")] if first else [file("s.png", b"x"), part]
    answer = send_form(alice, form(*parts))
    subfolder = alice.namespace + SUBFOLDERS[wanted]
    assert answer.json() == {"name": "s.png", "subfolder": subfolder, "type": "input"}
    assert disk.added(before) == {f"input/{subfolder}/s.png": b"x"}


BAD_SUBFOLDERS = [
    "..",
    "../BOB",
    "a/../../BOB",
    "NS/../BOB",
    "BOB",
    "./BOB",
    "BOB/deep",
    "/etc",
    "/",
    "\\x",
    "..\\BOB",
    "C:\\x",
    "C:x",
    "a\0b",
    "a\r\nb",
    "\x7f",
    "x" * 300,
    "a/" * 2000,
]


@pytest.mark.parametrize("wanted", BAD_SUBFOLDERS)
def test_subfolder_that_leaves_ones_own_is_refused_and_nothing_written(
    alice: Client, bob: Client, disk: ComfyDisk, wanted: str
) -> None:
    before = disk.files()
    text = wanted.replace("NS", alice.namespace).replace("BOB", bob.namespace)
    for spelling in {text, text.replace("u-", "U-")}:
        part = field("subfolder", spelling)
        for parts in ([part, file("s.png", b"x")], [file("s.png", b"x"), part]):
            check_refusal(send_form(alice, form(*parts)), 400, "BAD_REQUEST", field="subfolder")
    assert disk.added(before) == {}


def test_first_of_repeated_fields_counts_and_only_one_is_sent(
    alice: Client, bob: Client, disk: ComfyDisk, forwarded: FakeComfyThread
) -> None:
    before = disk.files()
    parts = [field("subfolder", "one"), file("r.png", b"x"), field("subfolder", bob.namespace)]
    parts += [field("type", "temp"), field("type", "output"), field("overwrite", "no")]
    told = send_form(alice, form(*parts)).json()
    assert told == {"name": "r.png", "subfolder": f"{alice.namespace}/one", "type": "temp"}
    assert list(disk.added(before)) == [f"temp/{alice.namespace}/one/r.png"]
    [record] = [record for record in forwarded.requests if record.path == "/upload/image"]
    names = [line for line in record.text.splitlines() if "form-data" in line]
    assert names == [
        'Content-Disposition: form-data; name="image"; filename="r.png"',
        'Content-Disposition: form-data; name="type"',
        'Content-Disposition: form-data; name="subfolder"',
    ]


def test_type_output_is_for_managers_only(alice: Client, admin: Client, disk: ComfyDisk) -> None:
    before = disk.files()
    for part in (field("type", "output"), field("type", "models"), field("type", "")):
        for parts in ([part, file("o.png", b"x")], [file("o.png", b"x"), part]):
            check_refusal(send_form(alice, form(*parts)), 400, "BAD_REQUEST", field="type")
    assert disk.added(before) == {}
    told = send_form(admin, form(file("o.png", b"x"), field("type", "output"))).json()
    assert told == {"name": "o.png", "subfolder": admin.namespace, "type": "output"}
    assert disk.added(before) == {f"output/{admin.namespace}/o.png": b"x"}


def test_taken_name_is_kept_unless_overwritten(alice: Client, bob: Client, disk: ComfyDisk) -> None:
    send_form(alice, form(file("t.png", b"first")))
    assert send_form(bob, form(file("t.png", b"bob's"))).json()["name"] == "t.png"
    assert send_form(alice, form(file("t.png", b"second"))).json()["name"] == "t (1).png"
    assert send_form(alice, form(file("t.png", b"first"))).json()["name"] == "t.png"
    for word in ("true", "1"):
        part = field("overwrite", word)
        told = send_form(alice, form(part, file("t.png", word.encode()))).json()
        assert told["name"] == "t.png"
        assert disk.files()[f"input/{alice.namespace}/t.png"] == word.encode()
    told = send_form(alice, form(field("overwrite", "yes"), file("t.png", b"3"))).json()
    assert told["name"] == "t (2).png"
    assert disk.files()[f"input/{bob.namespace}/t.png"] == b"bob's"
