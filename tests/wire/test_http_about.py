"""What ComfyUI tells about itself: /system_stats, /features, /users and the frontend's lists."""

import pytest
import requests

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.refusals import asked, check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")


def direct(comfy: FakeComfyThread, path: str) -> requests.Response:
    return requests.get(comfy.url + path, timeout=10)


@pytest.mark.parametrize("path", ["/system_stats", "/api/system_stats"])
def test_command_line_is_shown_to_managers_only(
    comfy: FakeComfyThread,
    owner: Client,
    admin: Client,
    power: Client,
    alice: Client,
    guest: Client,
    path: str,
) -> None:
    argv = direct(comfy, "/system_stats").json()["system"]["argv"]
    assert argv, "there must be something to hide"
    for client in (owner, admin):
        assert client.get(path).json()["system"]["argv"] == argv
    for client in (power, alice, guest):
        answer = client.get(path)
        assert answer.json()["system"]["argv"] == []
        assert not any(word in answer.text for word in argv)
        assert set(answer.json()["system"]) == set(direct(comfy, "/system_stats").json()["system"])
        assert answer.headers["Cache-Control"].startswith("private")


def test_features_are_comfyuis_own(comfy: FakeComfyThread, guest: Client) -> None:
    assert guest.get("/features").json() == direct(comfy, "/features").json()
    assert guest.get("/api/features").json() == direct(comfy, "/features").json()


def test_each_user_is_comfyuis_only_user(
    alice: Client, guest: Client, admin: Client, forwarded: FakeComfyThread
) -> None:
    for client in (alice, guest, admin):
        for path in ("/users", "/api/users"):
            assert client.get(path).json() == {"storage": "server", "migrated": True}
    assert asked(forwarded) == []


@pytest.mark.parametrize(
    "path",
    [
        "/i18n",
        "/api/i18n",
        "/workflow_templates",
        "/api/workflow_templates",
        "/",
        "/api/",
        "/extensions/fake_pack/fake.js",
        "/api/workflow_templates/fake_pack/Demo.json",
    ],
)
def test_frontends_lists_and_files_come_as_they_are(
    comfy: FakeComfyThread, guest: Client, path: str
) -> None:
    there, here = direct(comfy, path), guest.get(path)
    assert there.status_code == 200
    assert there.content
    assert (here.status_code, here.content) == (200, there.content)
    for name in ("Content-Type", "Last-Modified", "Cache-Control", "Content-Length"):
        assert here.headers.get(name) == there.headers.get(name), name
    # Files are kept in the gateway, under a tag of its own.
    is_kept = path in ("/", "/api/") or path.startswith("/extensions/")
    assert (here.headers.get("ETag") == there.headers.get("ETag")) is not is_kept


def test_view_lane_asks_nothing_of_accept_and_format(alice: Client) -> None:
    """ComfyUI ignores both; clients send whatever their library likes."""
    plain = alice.get("/system_stats").json()["system"].keys()
    for accept in (
        "text/plain",
        "image/png",
        "text/html",
        "application/xml",
        "nonsense",
        "*/*;q=0",
    ):
        answer = alice.get("/system_stats", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["system"].keys()) == (200, plain)
    for query in ("format=xml", "format=json", "format=api", "_method=DELETE"):
        assert alice.get(f"/system_stats?{query}").status_code == 200


def test_view_lane_answers_head_with_the_length_alone(alice: Client) -> None:
    whole = alice.get("/features")
    head = alice.head("/features")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/jobs/7/assets"),
        ("GET", "/api/assets"),
        ("POST", "/api/assets"),
        ("POST", "/userdata/a.json/publish"),
        ("GET", "/experiment/models/preview/checkpoints"),
    ],
)
def test_route_that_is_not_built_yet_refuses_everyone(
    owner: Client, alice: Client, forwarded: FakeComfyThread, method: str, path: str
) -> None:
    for client in (owner, alice):
        check_refusal(client.request(method, path, data=b"{}"), 403, "PERMISSION_DENIED")
    assert [record.path for record in forwarded.requests if record.kind == "http"] == []


def test_manager_adds_one_of_comfyuis_own_users(comfy: FakeComfyThread, admin: Client) -> None:
    made = admin.post("/users", json={"username": "A Person"})
    assert (made.status_code, made.json()[:8]) == (200, "A-Person")
    again = admin.post("/api/users", data=b'{"username": "A Person", "more": 1}')
    assert (again.status_code, again.json()) == (400, {"error": "Duplicate username."})


@pytest.mark.parametrize("name", [None, 5, "", " ", ["a"], {}])
def test_user_of_comfyuis_without_a_name_is_refused_and_comfyui_not_asked(
    forwarded: FakeComfyThread, admin: Client, name: object
) -> None:
    for body in ({"username": name}, {}):
        check_refusal(admin.post("/users", json=body), 400, "BAD_REQUEST", field="username")
    check_refusal(admin.post("/users", data=b"{"), 400, "INVALID_JSON")
    assert asked(forwarded) == []
