"""Limits of people's files over HTTP, writers at the same time, and a gateway without converter."""

import threading
from collections.abc import Iterator

import pytest

from tests.accounts.acting import session
from tests.browser import Browser
from tests.cast import ALICE, BOB
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.refusals import check_refusal, faults
from tests.userdata import address, names, read, save, saved

SMALL = {
    "MSS_USERDATA_FILES": "3",
    "MSS_USERDATA_MB": "2",
    "MSS_USERDATA_FILE_MB": "1",
    "MSS_WORKFLOW_CONVERTER": "none",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    with serving(tmp_path_factory.mktemp("small"), comfy.url, (ALICE, BOB), **SMALL) as server:
        yield server
        assert faults(server.log(), []) == []


@pytest.fixture
def user(small: Gateway) -> Iterator[Client]:
    client = Client(small.url, session(small, ALICE))
    yield client
    for name in names(client, "."):
        client.delete(address(name))


def test_user_saves_more_files_than_allowed_and_is_told(user: Client) -> None:
    for name in "abc":
        saved(user, f"workflows/{name}.json")
    answer = save(user, "workflows/d.json")
    check_refusal(answer, 429, "QUOTA_EXCEEDED")
    assert "3 files" in answer.json()["error"]
    # What is there can be changed, and what was deleted makes room.
    saved(user, "workflows/a.json", b"{} ")
    user.delete(address("workflows/b.json"))
    saved(user, "workflows/d.json")


def test_user_saves_more_bytes_than_allowed_and_is_told(user: Client) -> None:
    check_refusal(save(user, "a.bin", b"x" * (2**20 + 1)), 413, "TOO_LARGE")
    for name in "ab":
        saved(user, f"{name}.bin", b"x" * 2**20)
    answer = save(user, "c.bin", b"x")
    check_refusal(answer, 429, "QUOTA_EXCEEDED")
    assert "2 MB" in answer.json()["error"]
    saved(user, "a.bin", b"x")
    saved(user, "c.bin", b"x")


def test_limits_are_each_users_own(user: Client, small: Gateway) -> None:
    for name in "abc":
        saved(user, f"{name}.json")
    bob = Client(small.url, session(small, BOB))
    saved(bob, "a.json")
    assert bob.delete(address("a.json")).status_code == 204


def test_many_writers_at_once_and_every_content_is_kept(user: Client, small: Gateway) -> None:
    contents = [b'{"writer":%d}' % number for number in range(12)]
    start = threading.Barrier(len(contents))
    statuses: list[int] = []

    def write(content: bytes) -> None:
        client = Client(small.url, user.token)
        start.wait()
        statuses.append(save(client, "workflows/same.json", content).status_code)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * len(contents)
    browser = Browser(small.url, user.token)
    as_json = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}
    kept = [
        browser.get("/account/files", params={"version": each["version"]}).content
        for each in browser.get("/account/files", headers=as_json).json()["versions"]
        if each["path"] == "workflows/same.json"
    ]
    assert sorted([read(user, "workflows/same.json").content, *kept]) == sorted(contents)


def test_app_is_told_that_there_is_no_converter(user: Client) -> None:
    assert user.get("/cpe/health").json()["browser"] == {"status": "not_installed"}
    workflow = {"nodes": [{"id": 1, "type": "EmptyImage", "mode": 0}], "links": []}
    answer = user.post("/cpe/workflow/convert", json=workflow)
    assert answer.status_code == 503
    assert answer.json()["details"] == "This server has no converter."
    graph = {"1": {"class_type": "EmptyImage", "inputs": {}}}
    answer = user.post("/cpe/workflow/convert", json=graph)
    assert answer.json()["data"] == {"workflow": graph}
