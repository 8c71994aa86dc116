"""Two web processes are one gateway: what is changed through one holds in the other."""

import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import pytest

from tests.accounts.acting import session
from tests.cast import ADMIN, ALICE, BOB, PASSWORD, Person
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy import safetensors
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Frame, Listener, Refused, kind, kinds, prompts_of, status
from tests.prompts import calm_down, preview, save, slow, submit
from tests.refusals import check_refusal, wait_until
from tests.wire.fleet.both import Sockets, clients

# Sooner than the five seconds after which it would be noticed without being told.
SOON = 2.0


def test_ended_session_ends_in_both(fleet: Gateway) -> None:
    one, other = clients(fleet, session(fleet, BOB))
    assert [client.get("/queue").status_code for client in (one, other)] == [200, 200]
    assert one.post("/logout").status_code == 200
    wait_until(lambda: other.get("/queue").status_code == 401, SOON)
    assert other.get("/queue").json()["code"] == "TOKEN_REVOKED"


def test_granted_and_withdrawn_model_shows_and_hides_in_both(
    fleet: Gateway, fleet_people: People, fleet_admin: Client
) -> None:
    both = clients(fleet, fleet_people.token(BOB))
    item = {"folder": "checkpoints", "item_name": "sdxl.safetensors"}
    known = fleet_admin.get("/models/checkpoints").json()
    item["item_name"] = known[0]
    path = f"/mss-login/api/users/{BOB.username}/shared-items"
    assert [client.get("/models/checkpoints").json() for client in both] == [[], []]
    assert fleet_admin.post(path, json=item).status_code == 200
    for client in both:
        wait_until(lambda: client.get("/models/checkpoints").json() == [known[0]], SOON)  # noqa: B023
    assert fleet_admin.delete(path, json=item).status_code == 200
    for client in both:
        wait_until(lambda: client.get("/models/checkpoints").json() == [], SOON)  # noqa: B023


def test_model_that_a_worker_brought_is_in_the_lists_of_both(
    fleet: Gateway, fleet_people: People, fleet_comfy: FakeComfyThread
) -> None:
    both = clients(fleet, fleet_people.token(ADMIN))
    name = "brought.safetensors"
    path = Path(fleet_comfy.base_dir) / "models/vae" / name
    # What each knows is as new as it can be, and is believed for 15 s.
    fresh = {"Cache-Control": "no-cache"}
    for client in both:
        assert name not in client.get("/models/vae", headers=fresh).json()
    safetensors.write(path, {})
    try:
        fleet.run("from downloads import notices\nnotices.came()\nresult = None")
        for client in both:
            wait_until(lambda: name in client.get("/models/vae").json(), SOON)  # noqa: B023
    finally:
        path.unlink()


def test_blocked_address_is_blocked_in_both(
    fleet: Gateway, fleet_people: People, fleet_admin: Client
) -> None:
    both = clients(fleet, fleet_people.token(BOB), **{"X-Forwarded-For": "203.0.113.9"})
    path = "/mss-login/api/ip-lists"
    assert fleet_admin.put(path, json={"blacklist": ["203.0.113.9"]}).status_code == 200
    try:
        for client in both:
            wait_until(lambda: client.get("/queue").status_code == 403, SOON)  # noqa: B023
    finally:
        assert fleet_admin.put(path, json={"blacklist": []}).status_code == 200


def test_wrong_passwords_are_counted_together(fleet: Gateway) -> None:
    """Five lock a name (MSS_LOCKOUT_NAME_FAILURES), however they are spread."""
    create = "from accounts import services; services.create_user(username='locked', "
    fleet.run(create + "password=password, role='user', actor=None)", password=PASSWORD)
    both = cycle(clients(fleet, "", **{"X-Forwarded-For": "198.51.100.7"}))
    wrong = {"username": "locked", "password": "wrong"}
    answers = [next(both).post("/login", json=wrong).status_code for _ in range(5)]
    assert answers == [401] * 5
    for _ in range(2):
        answer = next(both).post("/login", json={"username": "locked", "password": PASSWORD})
        assert answer.json()["code"] == "LOCKED_OUT"


def test_logins_are_counted_together(fleet: Gateway) -> None:
    """MSS_LOGIN_RATE a minute and address, not for each process."""
    both = cycle(clients(fleet, "", **{"X-Forwarded-For": "198.51.100.8"}))
    looked = {"username": "nobody"}
    codes = [next(both).post("/login", json=looked).status_code for _ in range(45)]
    assert codes.count(429) == 5
    refused = next(both).post("/login", json=looked)
    check_refusal(refused, 429, "THROTTLED")
    assert 0 < int(refused.headers["Retry-After"]) <= 60


@pytest.fixture
def limited(fleet: Gateway, fleet_comfy: FakeComfyThread) -> Person:
    """Somebody who may have three prompts waiting, at a ComfyUI that runs none."""
    person = Person(f"limited{uuid.uuid4().hex[:6]}", "limited")
    fleet.run(
        """
from accounts import models, services
user = models.Role.objects.get(slug="user")
role, _ = models.Role.objects.get_or_create(
    slug="limited", defaults={"name": "limited", "rank": user.rank, "max_waiting_prompts": 3})
role.permissions.set(user.permissions.all())
services.create_user(username=name, password=password, role="limited", actor=None)
""",
        name=person.username,
        password=PASSWORD,
    )
    return person


def test_prompts_sent_at_once_through_both_keep_to_the_quota(
    fleet: Gateway, fleet_comfy: FakeComfyThread, limited: Person, fleet_alice: Client
) -> None:
    running = submit(fleet_alice, slow(60))
    try:
        senders = cycle(clients(fleet, session(fleet, limited)))
        bodies = [(next(senders), {"prompt": save()}) for _ in range(12)]

        def send(sender: tuple[Client, object]) -> int:
            one = Client(fleet.url, sender[0].token)
            return one.post("/prompt", json=sender[1]).status_code

        with ThreadPoolExecutor(12) as pool:
            answers = sorted(pool.map(send, bodies))
        assert answers == [200] * 3 + [429] * 9
    finally:
        calm_down(fleet_comfy)
    assert running


def test_sockets_of_one_id_in_both_hear_everything_over_one_socket_of_comfyuis(
    fleet: Gateway, fleet_comfy: FakeComfyThread, fleet_alice: Client, fleet_bob: Client
) -> None:
    client_id = uuid.uuid4().hex
    fleet_comfy.clear_requests()
    with Sockets(fleet, fleet_alice, client_id) as sockets, Listener(fleet_bob) as bobs:
        ids = {socket.sid for socket in sockets.by_process.values()}
        assert ids == {client_id}
        prompt_id = submit(fleet_alice, preview(), client_id=client_id)
        told = [socket.until_end(prompt_id) for socket in sockets.by_process.values()]
        assert kinds_of(told[0]) == kinds_of(told[1])
        assert all(prompts_of(frames) == {prompt_id} for frames in told)
        # The number of hers goes back to none in both.
        for socket in sockets.by_process.values():
            socket.rest()
            assert [status(frame) for frame in socket.frames if kind(frame) == "status"][-1] == 0
            assert kinds(socket.frames).count("status") > 1
        assert prompts_of(bobs.rest()) == set()
    opened = [record.sid for record in fleet_comfy.requests if record.kind == "ws_open"]
    assert len(opened) == 2


def kinds_of(frames: list[Frame]) -> list[str]:
    """What was told of the prompt; a `status` comes when it comes."""
    return kinds(frames, "status")


def test_far_socket_gets_previews_in_the_form_it_asked_for(
    fleet: Gateway, fleet_alice: Client
) -> None:
    client_id = uuid.uuid4().hex
    with Sockets(fleet, fleet_alice, client_id) as sockets:
        one, other = sockets.by_process.values()
        other.announce()
        prompt_id = submit(fleet_alice, slow(0.2, steps=2, preview=True), client_id=client_id)
        frames = [socket.until_end(prompt_id) for socket in (one, other)]
        forms = [{kind(frame) for frame in told if isinstance(frame, bytes)} for told in frames]
        assert forms == [{"binary 1"}, {"binary 4"}]


def test_socket_that_comes_back_in_the_other_process_has_missed_nothing(
    fleet: Gateway, fleet_alice: Client
) -> None:
    client_id = uuid.uuid4().hex
    for _ in range(4):
        with Listener(fleet_alice, client_id):
            prompt_id = submit(fleet_alice, slow(0.3), client_id=client_id)
        time.sleep(0.5)
        with Listener(fleet_alice, client_id) as back:
            assert "executed" in kinds_of(back.until_end(prompt_id))


def test_revoked_token_closes_the_sockets_in_both(fleet: Gateway) -> None:
    token = session(fleet, BOB)
    bob = Client(fleet.url, token)
    with Sockets(fleet, bob, uuid.uuid4().hex) as sockets:
        bob.post("/logout")
        started = time.monotonic()
        codes = [socket.close_code() for socket in sockets.by_process.values()]
        assert codes == [4401, 4401]
        assert time.monotonic() - started < 10
    with pytest.raises(Refused):
        Listener(bob)


def test_sent_frames_of_a_far_socket_reach_comfyui(
    fleet: Gateway, fleet_comfy: FakeComfyThread, fleet_alice: Client
) -> None:
    """Of a far socket, as of a near one."""
    with Sockets(fleet, fleet_alice, uuid.uuid4().hex) as sockets:
        for number, socket in enumerate(sockets.by_process.values()):
            socket.socket.send(f'{{"type": "custom_up", "data": {{"number": {number}}}}}')
        wait_until(lambda: len(sent_up(fleet_comfy)) == 2)
    assert ALICE.username not in str(sent_up(fleet_comfy))


def sent_up(comfy: FakeComfyThread) -> set[bytes]:
    return {record.body for record in comfy.requests if b"custom_up" in record.body}


def test_monitor_who_asks_one_process_hears_of_both(fleet: Gateway, fleet_alice: Client) -> None:
    both = clients(fleet, str(fleet_alice.token))

    def answered() -> float:
        found = re.search(
            r'^mss_requests_total{lane="stream",status="200"} (\S+)$',
            both[0].get("/metrics").text,
            re.MULTILINE,
        )
        return float(found[1]) if found else 0.0

    before = answered()
    for client in both:
        assert client.get("/history").status_code == 200
    assert answered() == before + 2
