"""`POST /queue` and `POST /interrupt`: each user's own prompts only, others' untouched."""

import json
import uuid
from typing import Any

import pytest

from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.prompts import direct, ended, ids, save, slow, submit, wait_running
from tests.refusals import asked, check_refusal, wait_until

pytestmark = pytest.mark.usefixtures("calm", "clean_log")

STATE = """
from comfyproxy.models import PromptRecord
result = PromptRecord.objects.get(prompt_id=prompt_id).state
"""


def changed(client: Client, path: str, body: Any) -> None:
    """A change that is answered as ComfyUI answers: 200 and nothing."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, data=data)
    assert (answer.status_code, answer.content) == (200, b""), answer.text


@pytest.mark.parametrize("path", ["/queue", "/api/queue"])
@pytest.mark.parametrize("clear", [True, 1])
def test_alice_clears_the_queue_and_only_her_waiting_prompts_go(
    path: str, clear: Any, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    running = submit(alice, slow())
    wait_running(comfy, running)
    theirs = submit(bob, save())
    for _ in range(3):
        submit(alice, save())
    nobodys = direct(comfy, save())
    changed(alice, path, {"clear": clear})
    assert ids(comfy) == ([running], [theirs, nobodys])
    changed(alice, path, {"clear": True})
    assert ids(comfy) == ([running], [theirs, nobodys])


@pytest.mark.parametrize("body", [{}, {"clear": False}, {"clear": None}, {"delete": []}], ids=str)
def test_alice_asks_for_nothing_and_nothing_goes(
    body: Any, alice: Client, comfy: FakeComfyThread
) -> None:
    comfy.pause()
    mine = submit(alice, save())
    changed(alice, "/queue", body)
    assert ids(comfy) == ([], [mine])


def test_alice_deletes_ids_and_only_her_own_go(
    alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    running = submit(alice, slow())
    wait_running(comfy, running)
    mine, kept = submit(alice, save()), submit(alice, save())
    theirs, nobodys = submit(bob, save()), direct(comfy, save())
    wanted = [theirs, nobodys, mine, mine, running, str(uuid.uuid4()), "x", "", theirs.upper()]
    changed(alice, "/queue", {"delete": wanted})
    assert ids(comfy) == ([running], [kept, theirs, nobodys])
    # Nothing tells whether an id is somebody's or nobody's.
    for pid in (theirs, nobodys, str(uuid.uuid4())):
        changed(alice, "/queue", {"delete": [pid]})
    assert ids(comfy) == ([running], [kept, theirs, nobodys])


def test_removed_prompt_never_comes_to_the_history(
    alice: Client, comfy: FakeComfyThread, gateway: Any
) -> None:
    comfy.pause()
    mine = submit(alice, save())
    changed(alice, "/queue", {"delete": [mine]})
    assert gateway.run(STATE, prompt_id=mine) == "cancelled"
    assert alice.get(f"/history/{mine}").json() == {}


def test_admin_deletes_anybodys(
    admin: Client, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    comfy.pause()
    mine, theirs, nobodys = submit(alice, save()), submit(bob, save()), direct(comfy, save())
    changed(admin, "/queue", {"delete": [mine, nobodys]})
    assert ids(comfy) == ([], [theirs])


FOREIGN: list[Any] = [
    b"",
    b"not json",
    b"[]",
    b"null",
    b"\xff",
    {},
    {"prompt_id": None},
    {"prompt_id": ""},
    {"prompt_id": "{theirs}"},
    {"prompt_id": ["{theirs}"]},
    {"prompt_id": "unknown"},
    {"prompt_id": 5},
]


@pytest.mark.parametrize("body", FOREIGN, ids=str)
@pytest.mark.parametrize("whose", ["bob", "nobody"])
def test_alice_interrupts_and_anothers_prompt_runs_on(
    whose: str, body: Any, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    theirs = submit(bob, slow()) if whose == "bob" else direct(comfy, slow())
    wait_running(comfy, theirs)
    waiting = submit(alice, save())
    if isinstance(body, dict):
        body = json.loads(json.dumps(body).replace("{theirs}", theirs))
    for path in ("/interrupt", "/api/interrupt"):
        changed(alice, path, body)
    changed(alice, "/interrupt", {"prompt_id": waiting})
    assert ids(comfy) == ([theirs], [waiting])
    assert not comfy.server.running_core.executor.interrupt._event.is_set()


@pytest.mark.parametrize("body", [b"", b"not json", {}, {"prompt_id": "{mine}"}], ids=str)
def test_alice_interrupts_her_own_prompt(
    body: Any, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    mine = submit(alice, slow())
    wait_running(comfy, mine)
    theirs = submit(bob, slow())
    if isinstance(body, dict):
        body = json.loads(json.dumps(body).replace("{mine}", mine))
    changed(alice, "/interrupt", body)
    entry = ended(alice, mine)
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"
    wait_running(comfy, theirs)


def test_alice_names_a_prompt_that_does_not_run_and_hers_runs_on(
    alice: Client, comfy: FakeComfyThread
) -> None:
    mine = submit(alice, slow())
    wait_running(comfy, mine)
    waiting = submit(alice, save())
    for named in (waiting, "unknown", ["x"], 5, str(uuid.uuid4())):
        changed(alice, "/interrupt", {"prompt_id": named})
    assert ids(comfy) == ([mine], [waiting])


@pytest.mark.parametrize("body", [b"", {}, {"prompt_id": "{theirs}"}], ids=str)
def test_admin_interrupts_anybodys_prompt(
    body: Any, admin: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    theirs = submit(bob, slow())
    wait_running(comfy, theirs)
    changed(admin, "/interrupt", {"prompt_id": str(uuid.uuid4())})
    assert ids(comfy)[0] == [theirs]
    if isinstance(body, dict):
        body = json.loads(json.dumps(body).replace("{theirs}", theirs))
    changed(admin, "/interrupt", body)
    wait_until(lambda: ids(comfy)[0] == [])
    assert ended(bob, theirs)["status"]["status_str"] == "error"


@pytest.mark.parametrize("path", ["/queue", "/interrupt", "/history", "/api/queue"])
def test_guest_may_not_change_anything(
    path: str, guest: Client, anonymous: Client, forwarded: FakeComfyThread
) -> None:
    answer = guest.post(path, json={"clear": True})
    check_refusal(answer, 403, "PERMISSION_DENIED", permission="can_run")
    check_refusal(anonymous.post(path, json={}), 401, "AUTH_REQUIRED")
    assert asked(forwarded) == []


@pytest.mark.parametrize("path", ["/queue", "/history"])
@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "INVALID_JSON", None),
        (b"{", "INVALID_JSON", None),
        (b"\xff", "INVALID_JSON", None),
        (b'{"delete": ["\\ud800"]}', "INVALID_JSON", None),
        (b"null", "BAD_REQUEST", None),
        (b"[]", "BAD_REQUEST", None),
        (b'"clear"', "BAD_REQUEST", None),
        (b'{"delete": "abc"}', "BAD_REQUEST", "delete"),
        (b'{"delete": {"a": 1}}', "BAD_REQUEST", "delete"),
        (b'{"delete": 5}', "BAD_REQUEST", "delete"),
        (b'{"delete": [5]}', "BAD_REQUEST", "delete"),
        (b'{"delete": [null]}', "BAD_REQUEST", "delete"),
        (b'{"clear": true, "delete": [[]]}', "BAD_REQUEST", "delete"),
    ],
    ids=str,
)
def test_alice_sends_garbage_and_nothing_goes(
    path: str, body: bytes, code: str, field: str | None, alice: Client, comfy: FakeComfyThread
) -> None:
    comfy.pause()
    mine = submit(alice, save())
    answer = alice.post(path, data=body)
    check_refusal(answer, 400, code, **({} if field is None else {"field": field}))
    assert ids(comfy) == ([], [mine])


@pytest.mark.parametrize("path", ["/queue", "/history"])
def test_alice_names_very_many_ids_and_is_answered(
    path: str, alice: Client, bob: Client, comfy: FakeComfyThread
) -> None:
    comfy.pause()
    mine, theirs = submit(alice, save()), submit(bob, save())
    wanted = [str(uuid.uuid4()) for _ in range(996)]
    changed(alice, path, {"delete": [*wanted, "\0", "é" * 1000, theirs, mine]})
    assert ids(comfy) == ([], [theirs] if path == "/queue" else [mine, theirs])
