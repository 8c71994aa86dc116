"""Comfy Portal's endpoint: list, get, save, convert; as comfy-portal-endpoint 1.2.0 answers."""

import json
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.granted import Given
from tests.prompts import run
from tests.prompts import save as save_graph
from tests.refusals import check_refusal
from tests.userdata import COMFYUIS, names, read, saved

pytestmark = pytest.mark.usefixtures("clean_log")

API = "/cpe/workflow"


@pytest.fixture
def user(given: Given) -> Client:
    return given()


def refused(answer: Any, status: int, code: str, **fields: Any) -> None:
    """The gateway's shape of a refusal, and this endpoint's own in it."""
    body = answer.json()
    assert (body["status"], body["message"]) == ("error", body["error"])
    check_refusal(answer, status, code, status="error", message=body["message"], **fields)


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_app_saves_lists_and_gets_a_workflow(user: Client, prefix: str) -> None:
    text = '{"nodes": [], "name": "é"}'
    answer = user.post(f"{prefix}{API}/save", json={"workflow": text, "name": "sub/my flow"})
    assert answer.json() == {
        "status": "success",
        "message": "Workflow saved.",
        "filename": "sub/my flow.json",
    }
    listed = user.get(f"{prefix}{API}/list").json()
    assert listed["status"] == "success"
    found = {each["filename"]: each for each in listed["workflows"]}
    assert set(found["sub/my flow.json"]) == {"filename", "size", "modified"}
    assert found["sub/my flow.json"]["size"] == len(text.encode())
    assert COMFYUIS in found
    got = user.get(f"{prefix}{API}/get", params={"filename": "sub/my flow.json"}).json()
    assert got == {"status": "success", "filename": "sub/my flow.json", "workflow": text}
    # The same file as in the frontend.
    assert read(user, "workflows/sub/my flow.json").text == text


def test_app_saves_an_object_and_over_what_is_there(user: Client) -> None:
    saved(user, "workflows/a.json", b"1")
    answer = user.post(f"{API}/save", json={"workflow": {"nodes": []}, "name": "a.json"})
    assert answer.json()["filename"] == "a.json"
    assert read(user, "workflows/a.json").json() == {"nodes": []}


def test_app_saves_without_a_name_and_each_gets_one(user: Client) -> None:
    found = {user.post(f"{API}/save", json={"workflow": "{}"}).json()["filename"] for _ in "abc"}
    assert len(found) == 3
    assert all(name.startswith("workflow_") and name.endswith(".json") for name in found)
    assert set(names(user)) >= found


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "BAD_REQUEST", "workflow"),
        ({"workflow": 1}, "BAD_REQUEST", "workflow"),
        ({"workflow": "{"}, "INVALID_JSON", "workflow"),
        ({"workflow": "{}", "name": 1}, "BAD_REQUEST", "name"),
        ({"workflow": "{}", "name": "../x"}, "BAD_PATH", "name"),
        ({"workflow": "{}", "name": "/etc/x"}, "BAD_PATH", "name"),
        ({"workflow": "{}", "name": "nul"}, "BAD_REQUEST", "name"),
    ],
)
def test_app_saves_nonsense_and_is_refused(
    user: Client, body: dict[str, Any], code: str, field: str
) -> None:
    refused(user.post(f"{API}/save", json=body), 400, code, field=field)
    assert [name for name in names(user) if "shared" not in name] == []


def test_app_asks_for_what_is_not_there(user: Client, given: Given) -> None:
    saved(given(), "workflows/theirs.json")
    for route in ("get", "get-and-convert"):
        refused(user.get(f"{API}/{route}"), 400, "BAD_REQUEST", field="filename")
        for name in ("nope.json", "theirs.json"):
            refused(user.get(f"{API}/{route}", params={"filename": name}), 404, "NOT_FOUND")
        bad = user.get(f"{API}/{route}", params={"filename": "../x.json"})
        refused(bad, 400, "BAD_PATH", field="filename")


def test_guest_saves_nothing(guest: Client) -> None:
    answer = guest.post(f"{API}/save", json={"workflow": "{}", "name": "g"})
    check_refusal(answer, 403, "PERMISSION_DENIED", permission="can_modify_workflows")


def test_app_asks_whether_the_converter_is_ready(user: Client) -> None:
    found = user.get("/cpe/health").json()
    assert found == {"status": "success", "browser": {"status": "ready"}}


def test_app_converts_a_prompt_into_itself(user: Client) -> None:
    graph = save_graph()
    answer = user.post(f"{API}/convert", json=graph)
    assert answer.json() == {"status": "success", "data": {"workflow": graph}}
    saved(user, "workflows/api.json", json.dumps(graph).encode())
    answer = user.get(f"{API}/get-and-convert", params={"filename": "api.json"})
    assert answer.json() == {
        "status": "success",
        "message": "Workflow converted.",
        "filename": "api.json",
        "data": {"workflow": graph},
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "INVALID_JSON"), (b"{", "INVALID_JSON"), (b"[]", "BAD_REQUEST"), (b"{}", "BAD_REQUEST")],
)
def test_app_converts_nonsense_and_is_refused(user: Client, body: bytes, code: str) -> None:
    refused(user.post(f"{API}/convert", data=body), 400, code)


def test_workflow_of_a_model_that_was_not_given_is_not_converted(
    user: Client, given: Given
) -> None:
    graph = {
        "1": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "sd15.safetensors"},
        }
    }
    answer = user.post(f"{API}/convert", json=graph)
    assert answer.status_code == 403
    assert answer.json()["code"] == "MODEL_NOT_ALLOWED"
    assert set(answer.json()["node_errors"]) == {"1"}
    allowed = given(("checkpoints", "sd15.safetensors"))
    assert allowed.post(f"{API}/convert", json=graph).json()["data"]["workflow"] == graph


def test_workflow_that_cannot_be_converted_is_503_with_the_reason(user: Client) -> None:
    node = {"id": 1, "type": "NobodyKnowsThisNode", "mode": 0, "inputs": [], "outputs": []}
    workflow = {"version": 0.4, "nodes": [node], "links": []}
    answer = user.post(f"{API}/convert", json=workflow)
    assert answer.status_code == 503
    body = answer.json()
    assert (body["status"], body["code"]) == ("error", "CONVERSION_FAILED")
    assert "NobodyKnowsThisNode" in body["details"]


@pytest.mark.parametrize("body", [{"a": 1}, {"": {}}, {"nodes": {}}, {"1": {"inputs": {}}}])
def test_what_is_no_workflow_at_all_is_a_bad_request(user: Client, body: dict[str, Any]) -> None:
    answer = user.post(f"{API}/convert", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert answer.json()["status"] == "error"


def test_app_converts_a_saved_workflow_and_runs_it(given: Given, comfy: FakeComfyThread) -> None:
    nodes = [
        {
            "id": 7,
            "type": "EmptyImage",
            "mode": 0,
            "inputs": [],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [3]}],
            "widgets_values": [16, 16, 1, 255],
        },
        {
            "id": 9,
            "type": "SaveImage",
            "mode": 0,
            "inputs": [{"name": "images", "type": "IMAGE", "link": 3}],
            "outputs": [],
            "widgets_values": ["from the app"],
        },
    ]
    workflow = {"version": 0.4, "nodes": nodes, "links": [[3, 7, 0, 9, 0, "IMAGE"]]}
    user = given()
    saved(user, "workflows/of the app.json", json.dumps(workflow).encode())
    answer = user.get(f"{API}/get-and-convert", params={"filename": "of the app.json"})
    assert answer.status_code == 200, answer.text
    graph = answer.json()["data"]["workflow"]
    assert graph["9"]["inputs"] == {"filename_prefix": "from the app", "images": ["7", 0]}
    entry = run(user, graph)
    assert entry["status"]["completed"] is True
    assert user.post(f"{API}/convert", json=workflow).json()["data"] == answer.json()["data"]


def test_converted_workflow_of_a_model_that_was_not_given_is_refused(given: Given) -> None:
    node = {
        "id": 5,
        "type": "CheckpointLoaderSimple",
        "mode": 0,
        "inputs": [],
        "outputs": [{"name": "MODEL", "type": "MODEL", "links": None}],
        "widgets_values": ["sd15.safetensors"],
    }
    workflow = {"version": 0.4, "nodes": [node], "links": []}
    answer = given().post(f"{API}/convert", json=workflow)
    assert (answer.status_code, answer.json()["code"]) == (403, "MODEL_NOT_ALLOWED")
    allowed = given(("checkpoints", "*")).post(f"{API}/convert", json=workflow)
    assert allowed.json()["data"]["workflow"]["5"]["inputs"] == {"ckpt_name": "sd15.safetensors"}
