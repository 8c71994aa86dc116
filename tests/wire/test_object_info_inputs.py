"""`GET /object_info`: lists of input files show the caller's own uploads and nobody else's."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.client import Client, RawAnswer, raw_request
from tests.comfydisk import ComfyDisk
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.ownfiles import check_refused, color_of, png, upload
from tests.prompts import load, run
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("clean_log", "nothing_uploaded")

RED, BLUE = (255, 0, 0), (0, 0, 255)
PATHS = ("/object_info", "/api/object_info", "/object_info/LoadImage", "/api/object_info/LoadImage")
LISTS = {
    "LoadImage": "image",
    "LoadImageMask": "image",
    "LoadAudio": "audio",
    "LoadVideo": "file",
    "Load3D": "model_file",
    "LoadLatent": "latent",
}


@pytest.fixture
def nothing_uploaded(gateway: Gateway) -> None:
    """What other tests uploaded is nobody's."""
    gateway.run(
        "from comfyproxy.models import FileRecord\nFileRecord.objects.filter(type='input').delete()"
    )


@pytest.fixture
def top_latent(disk: ComfyDisk, admin: Client) -> Iterator[str]:
    """A latent that lies unowned at the top of the input folder."""
    name = "shared.latent"
    disk.put(f"input/{name}", b"x")
    look_anew(admin)
    yield name
    (disk.base / "input" / name).unlink()
    look_anew(admin)


def look_anew(admin: Client) -> None:
    """Have the gateway ask ComfyUI again: a node that it does not know makes it."""
    admin.post("/prompt", json={"prompt": {"1": {"class_type": "NoSuchNode", "inputs": {}}}})


def put(client: Client, name: str, content: bytes = b"content", **fields: str) -> str:
    """Upload a file; its name as lists show it."""
    answer = client.post("/upload/image", files={"image": (name, content)}, data=fields).json()
    return f"{answer['subfolder']}/{answer['name']}"


def listed(info: dict[str, Any], node: str) -> list[str]:
    definition = info[node]["input"]["required"][LISTS[node]]
    return list(definition[1]["options"] if definition[0] == "COMBO" else definition[0])


def shown(client: Client, node: str = "LoadImage") -> list[str]:
    every = listed(client.get("/object_info").json(), node)
    assert listed(client.get(f"/object_info/{node}").json(), node) == every
    return every


def top(comfy: FakeComfyThread, node: str = "LoadImage") -> list[str]:
    """What ComfyUI itself lists: what lies at the top, nobody's."""
    return listed(Client(comfy.url).get("/object_info").json(), node)


@pytest.mark.parametrize("path", PATHS)
def test_alice_and_bob_upload_the_same_name_and_each_sees_their_own(
    path: str, alice: Client, bob: Client, charlie: Client, guest: Client, comfy: FakeComfyThread
) -> None:
    assert alice.namespace in upload(alice, "same.png", RED)
    assert bob.namespace in upload(bob, "same.png", BLUE)
    for client, other in ((alice, bob), (bob, alice)):
        answer = client.get(path)
        own = f"{client.namespace}/same.png"
        assert listed(answer.json(), "LoadImage") == [own, *top(comfy)]
        assert other.namespace not in answer.text
    for client in (charlie, guest):
        answer = client.get(path)
        assert listed(answer.json(), "LoadImage") == top(comfy)
        assert "same.png" not in answer.text


def test_who_sees_all_history_sees_comfyuis_list_and_their_own(
    alice: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    upload(alice, "same.png", RED)
    own = upload(admin, "same.png", BLUE)
    assert shown(admin) == [own, *top(comfy)]


def test_name_chosen_from_the_list_loads_and_is_viewed(
    alice: Client, bob: Client, charlie: Client, comfy: FakeComfyThread
) -> None:
    upload(alice, "chosen.png", RED)
    upload(bob, "chosen.png", BLUE)
    for client, color in ((alice, RED), (bob, BLUE)):
        name = shown(client)[0]
        assert color_of(client, run(client, load(name))) == color
        subfolder, _, filename = name.rpartition("/")
        query = {"filename": filename, "subfolder": subfolder, "type": "input"}
        assert client.get("/view", params=query).content == png(color)
    name = shown(alice)[0]
    for client in (bob, charlie):
        check_refused(client, comfy, load(name), ("1", "image"))


def test_sound_chosen_from_the_list_loads(alice: Client) -> None:
    put(alice, "chosen.flac", b"fLaC and so on")
    graph = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": shown(alice, "LoadAudio")[0]}},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "a"}},
    }
    (saved,) = run(alice, graph)["outputs"]["2"]["audio"]
    assert alice.get("/view", params=saved).content == b"fLaC and so on"


def test_each_list_takes_its_kind_of_file_newest_first(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    names = ("a.png", "b.JPG", "c.flac", "d.mp4", "e.glb", "f.latent", "g.txt", "h", "i.webp")
    own = {name: put(alice, name, name.encode()) for name in names}
    expected = {
        "LoadImage": ["i.webp", "b.JPG", "a.png"],
        "LoadImageMask": ["i.webp", "b.JPG", "a.png"],
        "LoadAudio": ["d.mp4", "c.flac"],
        "LoadVideo": ["d.mp4"],
        "Load3D": ["e.glb"],
        # Nothing tells what an empty list without an upload button would hold.
        "LoadLatent": [],
    }
    for node, taken in expected.items():
        assert shown(alice, node) == [*(own[name] for name in taken), *top(comfy, node)]
        assert shown(bob, node) == top(comfy, node)
    info, plain = alice.get("/object_info").json(), Client(comfy.url).get("/object_info").json()
    # The page fetches this list itself; and other lists are what they were.
    assert info["LoadImageOutput"] == plain["LoadImageOutput"]
    assert info["KSampler"] == plain["KSampler"]
    asked = alice.get("/internal/files/input").json()
    assert asked[: len(own)] == [own[name] for name in reversed(names)]


def test_unflagged_list_of_latents_is_known_by_what_lies_at_the_top(
    alice: Client, bob: Client, top_latent: str
) -> None:
    own = put(alice, "mine.latent")
    put(alice, "picture.png")
    assert shown(alice, "LoadLatent") == [own, top_latent]
    assert shown(bob, "LoadLatent") == [top_latent]


def test_masks_layers_are_not_listed_and_other_sub_folders_are(
    alice: Client, comfy: FakeComfyThread
) -> None:
    deep = put(alice, "deep.png", subfolder="trips/2024")
    layer = put(alice, "layer.png", subfolder="clipspace")
    assert shown(alice) == [deep, *top(comfy)]
    assert alice.get("/internal/files/input").json()[:2] == [layer, deep]


def test_etag_stays_until_the_callers_lists_change(
    alice: Client, bob: Client, charlie: Client, admin: Client
) -> None:
    upload(alice, "first.png", RED)
    # Her folder, which may be new, is known to the gateway from now on.
    look_anew(admin)
    etags = {client: client.get("/object_info").headers["ETag"] for client in (alice, charlie)}

    def kept(client: Client) -> bool:
        answer = client.get("/object_info", headers={"If-None-Match": etags[client]})
        assert answer.status_code in (200, 304)
        return answer.status_code == 304

    assert (kept(alice), kept(charlie)) == (True, True)
    # Asked anew, ComfyUI says the same; another's upload is none of theirs; the same file
    # again and one that no list takes change nothing.
    look_anew(admin)
    upload(bob, "bobs.png", BLUE)
    upload(alice, "first.png", BLUE)
    put(alice, "notes.txt")
    assert (kept(alice), kept(charlie)) == (True, True)
    own = upload(alice, "second.png", RED)
    assert (kept(alice), kept(charlie)) == (False, True)
    assert shown(alice)[0] == own
    assert alice.get("/object_info").headers["ETag"] != etags[alice]


def same_tag(plain: RawAnswer, packed: requests.Response) -> bool:
    return plain.header("etag") == packed.headers["ETag"]


def test_compressed_or_not_the_answer_holds_the_new_name(alice: Client, gateway: Gateway) -> None:
    own = upload(alice, "packed.png", RED)
    headers = {"Authorization": f"Bearer {alice.token}"}

    def both() -> tuple[RawAnswer, requests.Response]:
        plain = raw_request(gateway.url, "GET", "/object_info", headers)
        return plain, alice.get("/object_info", headers={"Accept-Encoding": "gzip"})

    # Web processes look at ComfyUI one by one.
    pairs = [both()]
    wait_until(lambda: same_tag(*pairs[-1]) or pairs.append(both()), 30)
    plain, packed = pairs[-1]
    assert plain.header("content-encoding") is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.body == packed.content
    assert own.encode() in plain.body
    assert same_tag(plain, packed)
