"""`GET /object_info`: node definitions whose lists hold only what the caller may know of."""

import gzip
import json
from typing import Any

import pytest

from tests.client import Client, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.refusals import wait_until

pytestmark = pytest.mark.usefixtures("clean_log", "known")

FRESH = {"Cache-Control": "no-cache"}
PATHS = ("/object_info", "/api/object_info")


def full(comfy: FakeComfyThread) -> dict[str, Any]:
    return dict(Client(comfy.url).get("/object_info").json())


def model_names(comfy: FakeComfyThread) -> set[str]:
    """The names of all models, with folders and without."""
    upstream = Client(comfy.url)
    found = {
        name
        for folder in upstream.get("/models").json()
        if folder not in ("custom_nodes", "configs")
        for name in upstream.get(f"/models/{folder}").json()
    }
    return found | {name.rpartition("/")[2] for name in found}


def texts(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return set().union(*map(texts, value), *map(texts, value.values()))
    if isinstance(value, list):
        return set().union(*map(texts, value))
    return set()


def without_own(value: Any, client: Client) -> Any:
    """The answer without the client's uploads in its lists: other tests leave some."""
    if isinstance(value, list):
        own = f"{client.namespace}/"
        kept = (item for item in value if not (isinstance(item, str) and item.startswith(own)))
        return [without_own(item, client) for item in kept]
    if isinstance(value, dict):
        return {key: without_own(item, client) for key, item in value.items()}
    return value


@pytest.fixture(autouse=True)
def up_to_date(admin: Client, comfy: FakeComfyThread) -> None:
    """The gateway may be behind what an earlier test left or took away, for seconds."""

    def shows_all() -> bool:
        shown = admin.get("/object_info", headers=FRESH).json()
        return bool(without_own(shown, admin) == without_own(full(comfy), admin))

    wait_until(shows_all, 10)


@pytest.mark.parametrize("path", PATHS)
def test_alice_sees_every_node_and_no_model(
    path: str, alice: Client, guest: Client, comfy: FakeComfyThread
) -> None:
    everything, names = full(comfy), model_names(comfy)
    assert names & texts(everything) >= {"sd15.safetensors", "4x-demo.safetensors"}
    for client in (alice, guest):
        shown = without_own(client.get(path).json(), client)
        assert list(shown) == list(everything)
        assert names & texts(shown) == set()
    # Both combo styles; values that are no models stay.
    assert shown["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] == []
    new_style = shown["FakeNewStyleLoader"]["input"]["required"]
    assert new_style["model_name"][1]["options"] == []
    assert new_style["extra_name"][1]["options"] == ["[None]"]
    assert shown["VAELoader"]["input"]["required"]["vae_name"][0] == ["pixel_space"]
    assert shown["LoadImage"]["input"]["required"]["image"][0] == ["example.png"]
    assert shown["KSampler"] == everything["KSampler"]


@pytest.mark.parametrize("path", PATHS)
def test_admin_and_power_user_see_comfyuis_own_answer(
    path: str, admin: Client, power: Client, comfy: FakeComfyThread
) -> None:
    shown = admin.get(path, headers=FRESH).json()
    assert without_own(shown, admin) == without_own(full(comfy), admin)
    shown = power.get(path).json()
    assert model_names(comfy) & texts(shown) == model_names(comfy) & texts(full(comfy))


def test_one_node_is_filtered_as_all_are(
    alice: Client, power: Client, comfy: FakeComfyThread
) -> None:
    everything = full(comfy)
    mine = alice.get("/object_info").json()
    for name in ("CheckpointLoaderSimple", "FakeNewStyleLoader", "LoadImage", "KSampler"):
        for prefix in ("", "/api"):
            assert alice.get(f"{prefix}/object_info/{name}").json() == {name: mine[name]}
            theirs = power.get(f"{prefix}/object_info/{name}").json()
            assert without_own(theirs, power) == {name: everything[name]}
    for name in ("NoSuchNode", "ksampler", "%C3%A9"):
        answer = alice.get(f"/object_info/{name}")
        assert (answer.status_code, answer.content) == (200, b"{}")


def test_users_folders_are_shown_to_their_owners_only(
    alice: Client, bob: Client, charlie: Client, admin: Client, power: Client
) -> None:
    for client in (alice, bob):
        answer = client.post("/upload/image", files={"image": ("f.png", b"not a picture")})
        assert answer.json()["subfolder"] == client.namespace
    node = "LoadImageSetFromFolderNode"

    def listed(client: Client, path: str) -> list[str]:
        shown = client.get(path, headers=FRESH).json()
        return list(shown[node]["input"]["required"]["folder"][0])

    def owners(folders: list[str]) -> set[str]:
        # Other tests leave folders too, of their own and of nobody's.
        return {first for name in folders if (first := name.partition("/")[0]).startswith("u-")}

    # A node that nobody knows makes the gateway look anew, at once.
    admin.post("/prompt", json={"prompt": {"1": {"class_type": "NoSuchNode", "inputs": {}}}})
    for path in ("/object_info", f"/object_info/{node}"):
        for client in (alice, bob):
            assert client.namespace in listed(client, path)
        for client in (alice, bob, charlie, power):
            assert owners(listed(client, path)) <= {client.namespace}
        assert {alice.namespace, bob.namespace} <= set(listed(admin, path))
    for client, other in ((alice, bob), (bob, alice), (power, alice)):
        assert other.namespace not in client.get("/object_info").text
    # Nor does a refused prompt tell them.
    graph = {
        "1": {"class_type": node, "inputs": {"folder": "guess"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    refused = alice.post("/prompt", json={"prompt": graph})
    (error,) = refused.json()["node_errors"]["1"]["errors"]
    # ComfyUI names what there is, if it is not more than twenty: her own and what is nobody's.
    hers = listed(alice, f"/object_info/{node}")
    told = error["details"].removeprefix("folder: 'guess' not in ")
    assert told in (str(hers), "(a long list)")
    assert bob.namespace not in refused.text


def test_answer_is_kept_by_its_etag(alice: Client, power: Client) -> None:
    first = alice.get("/object_info")
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in first.headers["Vary"]
    etag = first.headers["ETag"]
    for value in (etag, f"W/{etag}", f'"other", {etag}'):
        again = alice.get("/object_info", headers={"If-None-Match": value})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    # Another's copy is not the caller's.
    theirs = power.get("/object_info", headers={"If-None-Match": etag})
    assert theirs.status_code == 200
    assert theirs.headers["ETag"] != etag
    other = alice.get("/object_info", headers={"If-None-Match": theirs.headers["ETag"]})
    assert (other.status_code, other.json()) == (200, first.json())


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0.0, identity", None),
        ("identity", None),
        ("x-gzip-not", None),
        ("", None),
        (None, None),
    ],
)
def test_answer_is_compressed_for_who_accepts_it(
    accepted: str | None, coding: str | None, alice: Client, gateway: Gateway
) -> None:
    headers = {"Authorization": f"Bearer {alice.token}"}
    if accepted is not None:
        headers["Accept-Encoding"] = accepted
    answer = raw_request(gateway.url, "GET", "/object_info", headers)
    assert answer.header("content-encoding") == coding
    assert "Accept-Encoding" in (answer.header("vary") or "")
    body = gzip.decompress(answer.body) if coding else answer.body
    assert json.loads(body) == alice.get("/object_info").json()
    head = raw_request(gateway.url, "HEAD", "/object_info", headers)
    assert (head.status, head.body) == (200, b"")
    assert head.header("etag") == answer.header("etag")


def test_comfyui_is_asked_once_for_many(
    alice: Client, bob: Client, power: Client, forwarded: FakeComfyThread
) -> None:
    alice.get("/object_info")
    forwarded.clear_requests()
    for client in (alice, bob, power, alice):
        client.get("/object_info")
        client.get("/object_info/KSampler")
    assert [record.path for record in forwarded.requests if "object_info" in record.path] == []
