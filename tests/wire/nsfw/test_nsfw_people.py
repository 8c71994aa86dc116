"""What people say of pictures: owners, administrators; quarantine; what the worker judges."""

from typing import Any

import pytest

from tests.client import Client
from tests.gateway import Gateway
from tests.judge import BLUE, GREEN, RED, Judge
from tests.prompts import file_of, load, run, save
from tests.refusals import check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("calm")

MARK = "/mss-login-gallery/mark-nsfw"
MANAGE = "/mss-login/api/nsfw-management"
WORK = """
from comfyproxy import nsfwscan, quarantine
left = True
while left:
    left = nsfwscan.judge_pictures()
result = None
"""
PUT = """
from comfyproxy import quarantine
from comfyproxy.models import FileRecord
rows = FileRecord.objects.filter(subfolder=file["subfolder"], filename=file["filename"])
result = (quarantine.put if away else quarantine.restore)([row.pk for row in rows])
"""
AUDITED = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(event__startswith="nsfw.").order_by("-pk")
result = [[row.event, row.actor_name, row.details] for row in rows[:1]]
"""


def mark(client: Client, file: dict[str, Any], is_nsfw: Any = True, **more: Any) -> Any:
    return client.post(MARK, json={**file, "is_nsfw": is_nsfw, **more})


def is_shown(client: Client, file: dict[str, Any]) -> bool:
    return client.get("/view", params=file).status_code == 200


def test_owner_tags_a_picture_and_every_copy_of_it_is_blocked_at_once(
    alice: Client, strict: Gateway
) -> None:
    first = file_of(run(alice, save("copied", color=GREEN + 20)))
    second = file_of(run(alice, {**save("copied", color=GREEN + 20), "9": save()["1"]}))
    assert is_shown(alice, first)
    assert is_shown(alice, second)
    answer = mark(alice, first, score=0.9, label="by hand")
    assert answer.json() == {"status": "ok", **first, "is_nsfw": True}
    assert not is_shown(alice, first)
    ((event, actor, details),) = strict.run(AUDITED)
    assert (event, actor, details["tag"]) == ("nsfw.tagged", "alice", "nsfw")


def test_owner_does_not_clear_a_tag_and_administrator_does(alice: Client, admin: Client) -> None:
    file = file_of(run(alice, save("cleared", color=RED + 20)))
    assert not is_shown(alice, file)
    check_refusal(mark(alice, file, False), 403, "PERMISSION_DENIED")
    assert not is_shown(alice, file)
    assert mark(admin, file, False).status_code == 200
    assert is_shown(alice, file)


def test_owner_of_a_copy_does_not_change_what_an_administrator_said(
    alice: Client, bob: Client, admin: Client
) -> None:
    hers = file_of(run(alice, save("said", color=GREEN + 60)))
    copy = {"image": ("said.png", alice.get("/view", params=hers).content)}
    answer = bob.post("/upload/image", files=copy).json()
    his = {"filename": answer["name"], "subfolder": answer["subfolder"], "type": "input"}
    assert mark(admin, hers, False).status_code == 200
    check_refusal(mark(bob, his), 403, "PERMISSION_DENIED")
    assert is_shown(alice, hers)
    assert mark(admin, hers).status_code == 200
    assert not is_shown(alice, hers)


def test_anothers_and_unknown_files_cannot_be_tagged(alice: Client, bob: Client) -> None:
    file = file_of(run(alice, save("hers", color=BLUE + 20)))
    check_refusal(mark(bob, file), 404, "NOT_FOUND")
    check_refusal(mark(alice, {**file, "filename": "none.png"}), 404, "NOT_FOUND")
    assert is_shown(alice, file)
    assert Client(alice.base_url).post(MARK, json={**file, "is_nsfw": True}).status_code == 401


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"is_nsfw": "yes"}, "is_nsfw"),
        ({"is_nsfw": None}, "is_nsfw"),
        ({"score": 2}, "score"),
        ({"score": True}, "score"),
        ({"label": 5}, "label"),
        ({"label": "x" * 61}, "label"),
        ({"filename": 7}, "filename"),
        ({"type": "temporary"}, "type"),
    ],
)
def test_tag_that_is_none_is_refused(alice: Client, changes: dict[str, Any], field: str) -> None:
    body = {"filename": "a.png", "is_nsfw": True, **changes}
    check_refusal(alice.post(MARK, json=body), 400, "BAD_REQUEST", field=field)


def test_worker_judges_new_pictures_before_anybody_asks(
    alice: Client, strict: Gateway, judge: Judge
) -> None:
    files = [file_of(run(alice, save("new", color=color + 30))) for color in (RED, GREEN)]
    strict.run(WORK)
    before = judge.asked
    assert [is_shown(alice, file) for file in files] == [False, True]
    assert judge.asked == before


def test_administrator_scans_lists_clears_and_looks_again(
    alice: Client, admin: Client, strict: Gateway, judge: Judge
) -> None:
    file = file_of(run(alice, save("scanned", color=RED + 40)))
    strict.run(WORK)
    begun = admin.post(MANAGE, json={"action": "scan"}).json()
    assert begun["scan"]["status"] == "running"
    assert begun["classifier"]["name"] == "http"
    again = admin.post(MANAGE, json={"action": "scan"}).json()
    assert again["scan"]["started_at"] == begun["scan"]["started_at"]
    strict.run(WORK)
    listed = admin.post(MANAGE, json={"action": "list", "flagged": True}).json()
    assert listed["scan"]["status"] == "done"
    assert listed["scan"]["done"] == listed["scan"]["total"] > 0
    assert listed["scan"]["flagged"] > 0
    (item,) = (each for each in listed["items"] if each["filename"] == file["filename"])
    assert (item["score"] > 0.5, item["label"], item["tag"]) == (True, "red", None)
    # Cleared scores come back with the next look; people's tags stay.
    assert admin.post(MANAGE, json={"action": "clear"}).json()["cleared"] > 0
    before = judge.asked
    assert not is_shown(alice, file)
    assert judge.asked == before + 1
    assert admin.post(MANAGE, json={"action": "fix"}).json()["queued"] > 0
    strict.run(WORK)
    listed = admin.post(MANAGE, json={"action": "list"}).json()["items"]
    assert file["filename"] in {each["filename"] for each in listed if each["score"] is not None}


def test_only_administrators_manage(alice: Client, bob: Client, admin: Client) -> None:
    for client in (alice, bob):
        check_refusal(client.post(MANAGE, json={"action": "list"}), 403, "PERMISSION_DENIED")
    for body in ({}, {"action": "burn"}, {"action": []}, []):
        fields = {"field": "action"} if isinstance(body, dict) else {}
        check_refusal(admin.post(MANAGE, json=body), 400, "BAD_REQUEST", **fields)


def test_quarantined_file_is_out_of_reach_for_all_but_administrators(
    alice: Client, bob: Client, admin: Client, strict: Gateway
) -> None:
    file = file_of(run(bob, save("away", color=BLUE + 50)))
    assert is_shown(bob, file)
    assert strict.run(PUT, file=file, away=True) == 1
    # The change was made by another process than the server: it counts within 5 s.
    wait_until(lambda: not is_shown(bob, file), 7)
    check_refusal(bob.get("/view", params=file), 404, "NOT_FOUND")
    name = f"{file['subfolder']}/{file['filename']} [output]"
    answer = bob.post("/prompt", json={"prompt": load(name)})
    assert answer.status_code in (400, 403)
    assert is_shown(admin, file)
    assert strict.run(PUT, file=file, away=False) == 1
    wait_until(lambda: is_shown(bob, file), 7)
