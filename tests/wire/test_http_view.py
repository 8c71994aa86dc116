"""`GET /view`: one's own files in every spelling, and nobody else's in any."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests
from PIL import Image

from tests.client import Client, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log", "shelf")

MISSING = {"filename": "no such file.png"}


def picture(colour: tuple[int, int, int]) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 6), colour).save(buffer, "PNG")
    return buffer.getvalue()


RED = picture((255, 0, 0))


@pytest.fixture(scope="module")
def shelf(comfy: FakeComfyThread, gateway: Gateway) -> Iterator[None]:
    """Alice's and Bob's files, and some that are nobody's, in all three folders."""
    base, alice, bob = Path(comfy.base_dir), *map(gateway.namespaces.get, ("alice", "bob"))
    files = {
        f"output/{alice}/own.png": RED,
        f"output/{alice}/deep/er/own.png": b"deep",
        f"output/{alice}/sp ace ü%41.png": b"odd name",
        f"output/{alice}/own.png [temp]": b"a name that looks annotated",
        f"input/{alice}/both.png": b"alice's",
        f"input/{alice}/clipspace/mask.png": b"alice's mask",
        f"temp/{alice}/draft.png": b"alice's draft",
        f"output/{bob}/own.png": b"bob's",
        f"input/{bob}/photo.png": b"bob's photo",
        f"temp/{bob}/draft.png": b"bob's draft",
        "input/both.png": b"nobody's",
        "input/folder/inner.png": b"nobody's, below",
        "output/top.png": b"unowned output",
        "output/top.png [input]": b"unowned output with an odd name",
        "temp/preview.png": b"unowned temp",
        "secret.png": b"outside of all folders",
    }
    for name, content in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    yield
    for name in files:
        (base / name).unlink()


def content(answer: requests.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    return answer.content


def everything(answer: requests.Response) -> tuple[int, bytes, dict[str, str]]:
    return answer.status_code, answer.content, dict(answer.headers)


# --- one's own ---------------------------------------------------------------------------------


def own_spellings(ns: str) -> list[dict[str, str]]:
    return [
        {"filename": "own.png", "subfolder": ns},
        {"filename": "own.png", "subfolder": ns, "type": "output"},
        {"filename": "own.png [output]", "subfolder": ns},
        {"filename": "own.png [output]", "subfolder": ns, "type": "input"},
        {"filename": "own.png [output]", "subfolder": ns, "type": "nonsense"},
        {"filename": "own.png_[output]", "subfolder": ns, "type": "temp"},
        {"filename": "own.png", "subfolder": f"{ns}/"},
        {"filename": "own.png", "subfolder": f"./{ns}//."},
        {"filename": "bob/own.png", "subfolder": ns},
        {"filename": f"{ns}/x/own.png", "subfolder": ns},
    ]


def test_alice_sees_her_file_in_every_spelling(alice: Client) -> None:
    for query in own_spellings(alice.namespace):
        for path in ("/view", "/api/view"):
            assert content(alice.get(path, params=query)) == RED, query


def test_alice_sees_her_files_in_all_folders(alice: Client) -> None:
    ns = alice.namespace
    for filename, subfolder, kind, expected in (
        ("own.png", f"{ns}/deep/er", "output", b"deep"),
        ("sp ace ü%41.png", ns, "output", b"odd name"),
        ("own.png [temp] [output]", ns, "output", b"a name that looks annotated"),
        ("both.png", ns, "input", b"alice's"),
        ("mask.png", f"{ns}/clipspace", "input", b"alice's mask"),
        ("draft.png", ns, "temp", b"alice's draft"),
    ):
        query = {"filename": filename, "subfolder": subfolder, "type": kind}
        assert content(alice.get("/view", params=query)) == expected


def test_first_of_repeated_parameters_counts(alice: Client, bob: Client) -> None:
    own, other = alice.namespace, bob.namespace
    query = [("filename", "own.png"), ("subfolder", own), ("subfolder", other)]
    query += [("filename", "photo.png"), ("type", "output"), ("type", "input")]
    assert content(alice.get(f"/view?{urlencode(query)}")) == RED
    swapped = [query[0], query[2], query[1], *query[3:]]
    check_refusal(alice.get(f"/view?{urlencode(swapped)}"), 404, "NOT_FOUND")


def test_name_without_a_namespace_is_ones_own_first_then_the_unowned_input(
    alice: Client, bob: Client
) -> None:
    both = {"filename": "both.png", "type": "input"}
    assert content(alice.get("/view", params=both)) == b"alice's"
    assert content(bob.get("/view", params=both)) == b"nobody's"
    mask = {"filename": "mask.png", "subfolder": "clipspace", "type": "input"}
    assert content(alice.get("/view", params=mask)) == b"alice's mask"
    check_refusal(bob.get("/view", params=mask), 404, "NOT_FOUND")
    draft = {"filename": "draft.png [temp]"}
    assert content(alice.get("/view", params=draft)) == b"alice's draft"


# --- what is not one's own -------------------------------------------------------------------


def foreign_spellings(bob: str) -> list[dict[str, str]]:
    photo = {"filename": "photo.png", "type": "input"}
    return [
        {"filename": "own.png", "subfolder": bob},
        {"filename": "own.png", "subfolder": f"{bob}/"},
        {"filename": "own.png", "subfolder": f"./{bob}"},
        {"filename": "own.png", "subfolder": f".//{bob}//."},
        {"filename": "own.png [output]", "subfolder": bob, "type": "input"},
        {"filename": "own.png", "subfolder": f"ALICE/../{bob}"},
        {"filename": "own.png", "subfolder": f"ALICE/./../{bob}"},
        {"filename": "own.png", "subfolder": f"nowhere/../{bob}"},
        {"filename": "own.png", "subfolder": f"../output/{bob}"},
        {"filename": "own.png", "subfolder": f"BASE/output/{bob}"},
        {"filename": "own.png", "subfolder": f"ALICE\\..\\{bob}"},
        {"filename": "own.png", "subfolder": bob.upper()},
        {"filename": "own.png", "subfolder": f"{bob}."},
        {"filename": "own.png", "subfolder": f"{bob} "},
        {"filename": f"{bob}/own.png"},
        {**photo, "subfolder": bob},
        {"filename": f"{bob}/photo.png [input]"},
        {"filename": "photo.png [input]", "subfolder": bob, "type": "output"},
        {"filename": "draft.png", "subfolder": bob, "type": "temp"},
        {"filename": "top.png"},
        {"filename": "top.png", "subfolder": "."},
        {"filename": "top.png [output]", "type": "input"},
        {"filename": "top.png [output] [input]"},
        {"filename": "top.png [output]_[input]", "type": "input"},
        {"filename": "preview.png", "type": "temp"},
        {"filename": "preview.png [temp] [input]"},
        {"filename": "preview.png [temp]", "type": "input"},
        {"filename": "inner.png", "subfolder": "folder", "type": "input"},
        {"filename": "secret.png", "subfolder": "..", "type": "input"},
        {"filename": "secret.png", "subfolder": "ALICE/../..", "type": "output"},
        {"filename": "secret.png", "subfolder": "BASE", "type": "input"},
        {"filename": "passwd", "subfolder": "/etc", "type": "input"},
    ]


def test_what_is_not_alices_answers_exactly_as_what_does_not_exist(
    comfy: FakeComfyThread, alice: Client, bob: Client
) -> None:
    missing = everything(
        alice.get("/view", params={"filename": "no such.png", "subfolder": alice.namespace})
    )
    check_refusal(alice.get("/view", params=MISSING), 404, "NOT_FOUND")
    for query in foreign_spellings(bob.namespace):
        sent = {
            name: value.replace("ALICE", alice.namespace).replace("BASE", comfy.base_dir)
            for name, value in query.items()
        }
        assert everything(alice.get("/view", params=sent)) == missing, sent
        assert alice.head("/view", params=sent).status_code == 404, sent
        ranged = alice.get("/view", params=sent, headers={"Range": "bytes=0-1"})
        assert everything(ranged) == missing, sent
        assert everything(alice.get("/view", params={**sent, "preview": "webp"})) == missing, sent


def test_bobs_and_a_missing_file_of_bobs_look_alike_to_alice(alice: Client, bob: Client) -> None:
    for kind, name in (("output", "own.png"), ("input", "photo.png"), ("temp", "draft.png")):
        query = {"subfolder": bob.namespace, "type": kind}
        there = alice.get("/view", params={**query, "filename": name})
        absent = alice.get("/view", params={**query, "filename": f"not-{name}"})
        assert everything(there) == everything(absent)


def test_manager_sees_every_file(admin: Client, owner: Client, bob: Client) -> None:
    for client in (admin, owner):
        for query, expected in (
            ({"filename": "own.png", "subfolder": bob.namespace}, b"bob's"),
            ({"filename": "top.png"}, b"unowned output"),
            ({"filename": "preview.png", "type": "temp"}, b"unowned temp"),
            (
                {"filename": "inner.png", "subfolder": "folder", "type": "input"},
                b"nobody's, below",
            ),
        ):
            assert content(client.get("/view", params=query)) == expected


def test_nobody_leaves_comfyuis_folders(comfy: FakeComfyThread, owner: Client) -> None:
    for subfolder in (
        "..",
        "x/../..",
        comfy.base_dir,
        "/etc",
        "..\\..",
        f"{owner.namespace}/../..",
    ):
        for filename in ("secret.png", "passwd"):
            query = {"filename": filename, "subfolder": subfolder, "type": "input"}
            check_refusal(owner.get("/view", params=query), 404, "NOT_FOUND")


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "status", "code", "fields"),
    [
        ("", 404, "NOT_FOUND", {}),
        ("filename=", 400, "BAD_REQUEST", {"field": "filename"}),
        ("filename=/etc/passwd", 400, "BAD_REQUEST", {"field": "filename"}),
        ("filename=../secret.png", 400, "BAD_REQUEST", {"field": "filename"}),
        ("filename=a%00b", 400, "BAD_REQUEST", {"field": "filename"}),
        ("filename=a%5Cb", 400, "BAD_REQUEST", {"field": "filename"}),
        ("filename=[output]", 400, "BAD_REQUEST", {"field": "filename"}),
        ("filename=%20[output]", 400, "BAD_REQUEST", {"field": "filename"}),
        ("filename=a&type=", 400, "BAD_REQUEST", {"field": "type"}),
        ("filename=a&type=models", 400, "BAD_REQUEST", {"field": "type"}),
        ("filename=a&type=input%00", 400, "BAD_REQUEST", {"field": "type"}),
        ("filename=a&subfolder=%00", 404, "NOT_FOUND", {}),
        ("filename=%ff", 400, "BAD_REQUEST", {}),
        ("filename=a&x=%c3%28", 400, "BAD_REQUEST", {}),
        ("filename=folder/", 404, "NOT_FOUND", {}),
        ("filename=.&type=input", 404, "NOT_FOUND", {}),
        ("filename=%0d%0aSet-Cookie:x&type=input", 404, "NOT_FOUND", {}),
        ("filename=" + "x" * 300 + "&type=input", 404, "NOT_FOUND", {}),
        ("filename=" + "x" * 30_000 + "&type=input", 400, "BAD_REQUEST", {}),
        ("filename=x&type=input&subfolder=" + "a/" * 900, 404, "NOT_FOUND", {}),
    ],
)
def test_bad_question_is_refused(
    alice: Client, query: str, status: int, code: str, fields: dict[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {alice.token}"}
    answer = raw_request(alice.base_url, "GET", f"/view?{query}", headers)
    check_refusal(answer, status, code, **fields)


def test_what_is_no_picture_has_no_preview(alice: Client) -> None:
    query = {"filename": "both.png", "type": "input"}
    for name, value in (("preview", "webp"), ("channel", "rgb")):
        answer = alice.get("/view", params={**query, name: value})
        check_refusal(answer, 400, "BAD_REQUEST", field=name)
    assert alice.head("/view", params={**query, "preview": "webp"}).status_code == 400
