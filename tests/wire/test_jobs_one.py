"""`GET /api/jobs/{job_id}`: one job in detail, for who may see it; secrets come back to nobody."""

import uuid
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import direct, run, save, slow, submit, wait_running
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("calm", "clean_log")

SECRETS = {
    "auth_token_comfy_org": "whisper-token",
    "api_key_comfy_org": "whisper-key",
    "unknown": {"deep": ["whisper-unknown"]},
    "create_time": 5,
}
PNGINFO = {"workflow": {"id": "flow", "nodes": []}}
EXTRA = {**SECRETS, "extra_pnginfo": PNGINFO}
SHOWN = {"client_id": "tab", "extra_pnginfo": PNGINFO}


def one(client: Client, job_id: str) -> dict[str, Any]:
    answer = client.get(f"/api/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def in_list(client: Client, job_id: str) -> dict[str, Any]:
    jobs = client.get("/api/jobs").json()["jobs"]
    return next(job for job in jobs if job["id"] == job_id)


def test_ended_job_has_outputs_status_and_workflow(alice: Client, comfy: FakeComfyThread) -> None:
    entry = run(alice, save(), client_id="tab", extra_data=EXTRA)
    number, job_id, graph, extra, _ = entry["prompt"]
    job = one(alice, job_id)
    assert job == {
        **in_list(alice, job_id),
        "outputs": entry["outputs"],
        "execution_status": entry["status"],
        "workflow": {"prompt": graph, "extra_data": SHOWN},
    }
    assert (job["status"], job["priority"], job["workflow_id"]) == ("completed", number, "flow")
    assert extra == SHOWN
    file = {key: job["preview_output"][key] for key in ("filename", "subfolder", "type")}
    assert alice.get("/view", params=file).status_code == 200
    real = Client(comfy.url).get(f"/api/jobs/{job_id}").json()
    assert job.keys() == real.keys()
    assert job["outputs"] == real["outputs"]
    assert job["execution_status"] == real["execution_status"]


def test_outputs_of_every_kind_count_as_in_newer_comfyui(
    alice: Client, comfy: FakeComfyThread
) -> None:
    words = {"class_type": "FakeText", "inputs": {"text": "w" * 2000}}
    kinds = "other,gifs,3d,audio"
    files = {"class_type": "FakeFiles", "inputs": {"filename_prefix": "f", "kinds": kinds}}
    look = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    # Saved media, which goes first; media on the way; a text alone.
    for graph, kind, counts in (
        ({"0": words, **save(), "5": files, "6": look}, "images", [6, 4]),
        ({"0": words, "1": save()["1"], "6": look}, "images", [1, 1]),
        ({"0": words}, "text", [0, 0]),
    ):
        job_id = run(alice, graph)["prompt"][1]
        jobs = (one(alice, job_id), Client(comfy.url).get(f"/api/jobs/{job_id}").json())
        shown, real = [
            [job["outputs_count"], job["previewable_outputs_count"], job["preview_output"]]
            for job in jobs
        ]
        assert shown == real
        assert (shown[:2], shown[2]["mediaType"]) == (counts, kind)


def test_running_and_pending_jobs_have_their_workflow_alone(
    alice: Client, comfy: FakeComfyThread
) -> None:
    graphs = {"in_progress": slow(), "pending": save()}
    for status, graph in graphs.items():
        job_id = submit(alice, graph, client_id="tab", extra_data=EXTRA)
        if status == "in_progress":
            wait_running(comfy, job_id)
        job = one(alice, job_id)
        assert job.keys() == Client(comfy.url).get(f"/api/jobs/{job_id}").json().keys()
        workflow = job.pop("workflow")
        assert job == in_list(alice, job_id)
        assert job["status"] == status
        assert workflow["extra_data"] == SHOWN
        (item,) = [
            item
            for part in alice.get("/queue").json().values()
            for item in part
            if item[1] == job_id
        ]
        assert workflow["prompt"] == item[2]


def test_secrets_of_a_prompt_come_back_to_nobody(
    alice: Client, admin: Client, comfy: FakeComfyThread
) -> None:
    running = submit(alice, slow(), client_id="tab", extra_data=EXTRA)
    wait_running(comfy, running)
    waiting = submit(alice, save(), client_id="tab", extra_data=EXTRA)
    nobodys = direct(comfy, save(), client_id="tab", extra_data=EXTRA)
    # ComfyUI has them, that is what they are for.
    assert "whisper-token" in Client(comfy.url).get("/queue").text

    def texts() -> list[str]:
        return [
            client.get(f"/api/jobs{path}").text
            for client, ids in ((alice, (running, waiting)), (admin, (running, waiting, nobodys)))
            for path in ("", *(f"/{job_id}" for job_id in ids))
        ]

    before = texts()
    alice.post("/interrupt")
    comfy.wait_idle()
    after = texts()
    assert [text for text in before + after if "whisper" in text or "mss_namespace" in text] == []
    assert all('"id":"flow"' in text for text in (before[1], after[1]))
    assert one(admin, nobodys)["workflow"]["extra_data"] == {"extra_pnginfo": PNGINFO}


def test_another_users_job_is_not_found_as_an_unknown_one(
    alice: Client,
    bob: Client,
    charlie: Client,
    guest: Client,
    admin: Client,
    anonymous: Client,
    comfy: FakeComfyThread,
) -> None:
    ended = run(alice, save())["prompt"][1]
    comfy.pause()
    waiting, nobodys = submit(alice, save()), direct(comfy, save())
    unknown = bob.get(f"/api/jobs/{uuid.uuid4()}")
    check_refusal(unknown, 404, "NOT_FOUND")
    for client in (bob, charlie, guest):
        for job_id in (ended, waiting, nobodys, ended.upper(), "x", "cancel"):
            answer = client.get(f"/api/jobs/{job_id}")
            check_refusal(answer, 404, "NOT_FOUND")
            assert answer.content == unknown.content
    check_refusal(anonymous.get(f"/api/jobs/{ended}"), 401, "AUTH_REQUIRED")
    check_refusal(admin.get("/api/jobs/x"), 404, "NOT_FOUND")
    for job_id in (ended, waiting, nobodys):
        assert one(admin, job_id)["id"] == job_id
    assert one(admin, waiting)["workflow"] == one(alice, waiting)["workflow"]


def test_failed_job_tells_why_and_not_where_comfyui_lives(
    alice: Client, comfy: FakeComfyThread
) -> None:
    graph = save()
    inputs = {"image": ["1", 0], "message": f"broken: {comfy.base_dir}/models/x.bin"}
    graph["3"] = {"class_type": "FakeFail", "inputs": inputs}
    graph["2"]["inputs"]["images"] = ["3", 0]
    job_id = run(alice, graph)["prompt"][1]
    job = one(alice, job_id)
    assert (job["status"], job["execution_error"]["node_id"]) == ("failed", "3")
    assert job["execution_error"]["exception_message"].startswith("broken: …/")
    assert job["execution_error"] == in_list(alice, job_id)["execution_error"]
    assert comfy.base_dir not in str({**job, "workflow": None})
    assert comfy.base_dir in Client(comfy.url).get(f"/api/jobs/{job_id}").text


def test_job_whose_entry_is_deleted_is_gone(alice: Client, bob: Client) -> None:
    mine, theirs = run(alice, save())["prompt"][1], run(bob, save())["prompt"][1]
    alice.post("/history", json={"delete": [mine, theirs]})
    check_refusal(alice.get(f"/api/jobs/{mine}"), 404, "NOT_FOUND")
    assert mine not in alice.get("/api/jobs").text
    assert one(bob, theirs)["status"] == "completed"


def test_head_and_other_methods_and_the_bare_spelling(alice: Client) -> None:
    job_id = run(alice, save())["prompt"][1]
    for path in ("/api/jobs", f"/api/jobs/{job_id}"):
        head = alice.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert alice.delete(path).status_code == 405
        assert alice.get(path.removeprefix("/api")).status_code == 404
    refused = alice.get(f"/api/jobs/{job_id}/assets")
    check_refusal(refused, 403, "PERMISSION_DENIED")
