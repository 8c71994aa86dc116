"""Userdata over HTTP: ComfyUI's routes, shapes and status codes, one user."""

import itertools
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.client import Client, raw_request
from tests.fakecomfy.thread import FakeComfyThread
from tests.granted import Given
from tests.refusals import asked, check_refusal
from tests.userdata import COMFYUIS, address, move, names, read, save, saved

pytestmark = pytest.mark.usefixtures("clean_log")

_numbers = itertools.count(1)


@pytest.fixture
def user(given: Given) -> Client:
    """Somebody who has saved nothing yet."""
    return given()


@pytest.fixture(scope="module")
def settled(given: Given) -> Client:
    """Somebody who has one workflow: for tests that leave it at that."""
    client = given()
    saved(client, "workflows/a.json")
    return client


@pytest.fixture(autouse=True)
def nothing_forwarded(comfy: FakeComfyThread) -> Iterator[None]:
    """ComfyUI's own userdata is asked for its workflows, never changed, never read."""
    comfy.clear_requests()
    yield
    for record in asked(comfy):
        if "userdata" in record.path or "settings" in record.path:
            assert record.method == "GET"
            assert record.path == "/userdata?dir=workflows&recurse=true&full_info=true"


def tree(user: Client) -> list[Any]:
    found = user.get("/v2/userdata").json()
    return [each for each in found if each["name"] not in (COMFYUIS, "workflows")]


# --- the shapes of ComfyUI, as recorded (http_userdata.json) ----------------------------------


def test_user_lists_a_folder_that_is_not_there_yet(user: Client) -> None:
    assert names(user) == []
    assert user.get("/v2/userdata", params={"path": "nope"}).json() == []
    assert tree(user) == []


def test_user_lists_without_a_folder_and_is_refused(user: Client) -> None:
    for params in ({}, {"dir": ""}):
        answer = user.get("/userdata", params=params)
        check_refusal(answer, 400, "BAD_REQUEST", field="dir")


def test_user_lists_files_in_each_shape(user: Client) -> None:
    for path in ("workflows/b.json", "workflows/a.json", "workflows/sub/c d.json", "x.json"):
        saved(user, path, b'{"v":1}')
    saved(user, "workflows/.index.json")
    assert names(user, recurse="") == ["a.json", "b.json"]
    assert names(user, recurse="1") == ["a.json", "b.json"]
    assert names(user, recurse="True") == ["a.json", "b.json", "sub/c d.json"]
    assert names(user, split="true") == [
        ["a.json", "a.json"],
        ["b.json", "b.json"],
        ["sub/c d.json", "sub", "c d.json"],
    ]
    infos = names(user, split="true", full_info="true")
    assert [info["path"] for info in infos] == ["a.json", "b.json", "sub/c d.json"]
    assert set(infos[0]) == {"path", "size", "modified", "created"}
    assert infos[0]["size"] == 7
    assert abs(infos[0]["modified"] - time.time()) < 60
    assert names(user, "workflows/sub") == ["c d.json"]
    assert names(user, "workflows/") == names(user)
    assert names(user, "workflows/a.json") == []
    assert names(user, ".") == [
        "workflows/a.json",
        "workflows/b.json",
        "workflows/sub/c d.json",
        "x.json",
    ]


def test_user_lists_folders_and_files_together(user: Client) -> None:
    for path in ("workflows/sub/c.json", "workflows/.index.json", "B.json"):
        saved(user, path, b'{"v":1}')
    found = tree(user)
    assert [(each["type"], each["name"], each["path"]) for each in found] == [
        ("directory", "sub", "workflows/sub"),
        ("file", ".index.json", "workflows/.index.json"),
        ("file", "B.json", "B.json"),
        ("file", "c.json", "workflows/sub/c.json"),
    ]
    assert set(found[0]) == {"name", "path", "type"}
    assert set(found[1]) == {"name", "path", "type", "size", "modified"}
    below = user.get("/v2/userdata", params={"path": "workflows/sub"}).json()
    assert [each["path"] for each in below] == ["workflows/sub/c.json"]
    answer = user.get("/v2/userdata", params={"path": "workflows/sub/c.json"})
    check_refusal(answer, 400, "BAD_REQUEST", field="path")


def test_user_saves_and_is_told_the_path(user: Client) -> None:
    answer = save(user, "workflows/sub/a b.json", b'{"nodes":[1]}')
    assert (answer.status_code, answer.json()) == (200, "workflows/sub/a b.json")
    info = save(user, "workflows/a.json", b"{}", full_info="true").json()
    assert set(info) == {"path", "size", "modified", "created"}
    assert (info["path"], info["size"]) == ("workflows/a.json", 2)


@pytest.mark.parametrize("path", ["a.json", "workflows/a.json"])
def test_user_saves_what_exists(user: Client, path: str) -> None:
    saved(user, path, b"1")
    check_refusal(save(user, path, b"2", overwrite="false"), 409, "FILE_EXISTS")
    assert read(user, path).content == b"1"
    # ComfyUI knows exactly one spelling of no.
    assert save(user, path, b"3", overwrite="False").status_code == 200
    assert read(user, path).content == b"3"


def test_user_reads_what_was_saved_byte_for_byte(user: Client) -> None:
    content = bytes(range(256)) * 10
    saved(user, "data.bin", content)
    answer = read(user, "data.bin")
    assert answer.content == content
    assert answer.headers["Content-Length"] == str(len(content))
    head = user.head(address("data.bin"))
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(content)))
    assert head.content == b""


def test_user_has_the_file_already_and_is_sent_nothing(user: Client) -> None:
    saved(user, "a.json", b'{"v":1}')
    first = read(user, "a.json")
    tag, since = first.headers["ETag"], first.headers["Last-Modified"]
    assert parsedate_to_datetime(since).timestamp() == pytest.approx(time.time(), abs=60)
    for known in (
        {"If-None-Match": tag},
        {"If-None-Match": f'"x", W/{tag}'},
        {"If-Modified-Since": since},
    ):
        answer = user.get(address("a.json"), headers=known)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
    saved(user, "a.json", b'{"v":22}')
    answer = user.get(address("a.json"), headers={"If-None-Match": tag})
    assert answer.json() == {"v": 22}


@pytest.mark.parametrize("path", ["user.css", "workflows/nope.json", "nope.png", "workflows"])
def test_user_reads_what_is_not_there(user: Client, path: str) -> None:
    check_refusal(read(user, path), 404, "NOT_FOUND")


def test_user_reads_or_deletes_a_folder_and_is_refused(user: Client) -> None:
    saved(user, "workflows/sub/a.json")
    check_refusal(read(user, "workflows/sub"), 404, "NOT_FOUND")
    check_refusal(user.delete(address("workflows/sub")), 400, "BAD_REQUEST")
    check_refusal(save(user, "workflows/sub"), 400, "BAD_REQUEST")
    check_refusal(save(user, "workflows/sub/a.json/x"), 400, "BAD_REQUEST")
    assert names(user) == ["sub/a.json"]


def test_user_deletes_and_it_is_gone(user: Client) -> None:
    saved(user, "workflows/a.json")
    answer = user.delete(address("workflows/a.json"))
    assert (answer.status_code, answer.content) == (204, b"")
    check_refusal(user.delete(address("workflows/a.json")), 404, "NOT_FOUND")
    assert names(user) == []


def test_user_moves_a_file(user: Client) -> None:
    saved(user, "workflows/a.json", b"1")
    saved(user, "workflows/b.json", b"2")
    answer = move(user, "workflows/a.json", "workflows/b.json", overwrite="false")
    check_refusal(answer, 409, "FILE_EXISTS")
    answer = move(user, "workflows/a.json", "workflows/new/c.json")
    assert (answer.status_code, answer.json()) == (200, "workflows/new/c.json")
    info = move(
        user, "workflows/new/c.json", "workflows/b.json", overwrite="true", full_info="true"
    ).json()
    assert (info["path"], info["size"]) == ("workflows/b.json", 1)
    assert read(user, "workflows/b.json").content == b"1"
    assert names(user) == ["b.json"]
    check_refusal(move(user, "workflows/nope.json", "x.json"), 404, "NOT_FOUND")


def test_user_moves_a_folder(user: Client) -> None:
    saved(user, "workflows/sub/a.json")
    assert move(user, "workflows/sub", "workflows/other").json() == "workflows/other"
    assert names(user) == ["other/a.json"]


# --- spellings ------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_user_writes_slashes_plainly(user: Client, prefix: str) -> None:
    answer = user.post(f"{prefix}/userdata/workflows/sub/a.json", data=b"1")
    assert answer.json() == "workflows/sub/a.json"
    assert user.get(f"{prefix}/userdata/workflows/sub/a.json").content == b"1"
    answer = user.post(f"{prefix}/userdata/workflows/sub/a.json/move/workflows/b.json")
    assert answer.json() == "workflows/b.json"
    assert user.delete(f"{prefix}/userdata/workflows/b.json").status_code == 204


def test_user_saves_below_a_folder_called_move(user: Client) -> None:
    saved(user, "workflows/move/a.json", b"1")
    assert read(user, "workflows/move/a.json").content == b"1"
    answer = user.post("/userdata/workflows/move/b/move/c.json")
    check_refusal(answer, 400, "BAD_PATH")
    assert names(user) == ["move/a.json"]


@pytest.mark.parametrize(
    "name", ["Grüße 你好 👩‍💻.json", "e\u0301.json", "a+b&c=d #1.json", "100%.json", "  x.json"]
)
def test_user_names_a_file_in_any_language(settled: Client, name: str) -> None:
    saved(settled, f"workflows/{name}", b"1")
    assert name in names(settled)
    assert read(settled, f"workflows/{name}").content == b"1"
    settled.delete(address(f"workflows/{name}"))


BAD_TARGETS = [
    "..%2Fa",
    "..%2F..%2Finput%2Fexample.png",
    "workflows%2F..%2F..%2Fa",
    "%2Fetc%2Fpasswd",
    "%2e%2e%2fa",
    "..%5Ca",
    "C%3A%5Ca",
    "a%00b",
    "a%252Fb",
    "a%252e%252e%252fb",
    "..%252Fa",
    "workflows%2F%2Fa",
    "workflows%2F.%2Fa",
]
BAD_NAMES = ["nul", "workflows%2FCON.json", "a%3Astream", "a%3F", "a.", "a%20", "Workflows%2Fa"]
BAD_NAMES += ["x" * 256, "%2F".join(["x" * 200] * 6)]


@pytest.mark.parametrize("target", [*BAD_TARGETS, *BAD_NAMES])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_user_gives_a_bad_name_and_nothing_is_touched(
    settled: Client, method: str, target: str
) -> None:
    headers = {"Authorization": f"Bearer {settled.token}"}
    for path in (
        f"/userdata/{target}",
        f"/userdata/workflows%2Fa.json/move/{target}",
        f"/userdata/{target}/move/b.json",
    ):
        if "move" in path and method != "POST":
            continue
        answer = raw_request(settled.base_url, method, path, headers, b"x")
        assert answer.status in (400, 404), (path, answer.status)
    assert [name for name in names(settled, ".") if "shared" not in name] == ["workflows/a.json"]


@pytest.mark.parametrize("folder", ["..", "/etc", "a/../..", "a\\..", "%2e%2e", "nul", "x:"])
def test_user_lists_outside_and_is_refused(settled: Client, folder: str) -> None:
    for path, name in (("/userdata", "dir"), ("/v2/userdata", "path")):
        assert settled.get(path, params={name: folder}).status_code == 400


# --- what comes back is harmless --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "inline"),
    [
        ("a.json", "application/json", True),
        ("a.txt", "text/plain", True),
        ("a.png", "image/png", True),
        ("a.html", "text/html", False),
        ("a.svg", "image/svg+xml", False),
        ("user.css", "text/css", False),
        ("a.webp", "image/webp", True),
        ("a.xml", "text/xml", False),
        ("a", "application/octet-stream", False),
    ],
)
def test_file_that_a_browser_could_run_comes_as_an_attachment(
    settled: Client, name: str, kind: str, inline: bool
) -> None:
    saved(settled, name, b"<script>1</script>")
    answer = read(settled, name)
    settled.delete(address(name))
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers.get("Content-Disposition", "").startswith("attachment") is not inline
    assert ("sandbox" in answer.headers.get("Content-Security-Policy", "")) is not inline


# --- limits -----------------------------------------------------------------------------------


def test_user_saves_more_than_a_file_may_have_and_is_refused(user: Client) -> None:
    limit = 10 * 1024 * 1024
    saved(user, "a.bin", b"x" * limit)
    for overwrite in ("true", "false"):
        answer = save(user, "b.bin", b"x" * (limit + 1), overwrite=overwrite)
        check_refusal(answer, 413, "TOO_LARGE")
    assert names(user, ".") == ["a.bin"]


def test_user_saves_without_a_length_and_more_than_allowed_and_is_refused(user: Client) -> None:
    pieces = (b"x" * 1024 * 1024 for _ in range(11))
    answer = user.post(address("a.bin"), data=pieces)
    check_refusal(answer, 413, "TOO_LARGE")
    assert names(user, ".") == []
