"""What the fleet survives: a killed web process, Redis and PostgreSQL that go and come back."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
import requests
from websockets.exceptions import ConnectionClosed

from tests.accounts.acting import session
from tests.cast import ALICE, BOB, PASSWORD
from tests.client import Client
from tests.conftest import People
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Listener, Refused, kinds
from tests.owncluster import OwnPostgres
from tests.prompts import ended, save, submit
from tests.refusals import wait_until
from tests.stack import OwnRedis
from tests.wire.fleet.both import NotConnectedError, Sockets, clients, process_of

# A killed process counts as living for 6 s; then its clients' sockets are opened elsewhere.
RECONNECTED_SECONDS = 12
# A token is refused everywhere within 5 s of its end, whoever is away.
REVOKED_SECONDS = 6

COUNT = """
from comfyproxy.models import PromptRecord
rows = PromptRecord.objects.filter(prompt_id__in=ids)
result = [rows.count(), rows.filter(state="success").count()]
"""


class Load(threading.Thread):
    """Sends prompts one after the other, each over a connection of its own, and asks for the
    queue; notes what was acknowledged and what broke off."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        super().__init__(daemon=True)
        self._gateway, self._token = gateway, token
        self._stopped = threading.Event()
        self.acknowledged: list[str] = []
        self.broken: list[Exception] = []
        self.answers: list[int] = []

    def run(self) -> None:
        while not self._stopped.is_set():
            client = Client(self._gateway.url, self._token)
            try:
                self.answers.append(client.get("/queue").status_code)
                sent = client.post("/prompt", json={"prompt": save()})
                self.answers.append(sent.status_code)
                if sent.status_code == 200:
                    self.acknowledged.append(sent.json()["prompt_id"])
            except requests.RequestException as error:
                self.broken.append(error)
            finally:
                client.close()

    def stop(self) -> None:
        self._stopped.set()
        self.join(60)


@contextmanager
def load(gateway: Gateway, token: str, number: int = 3) -> Iterator[list[Load]]:
    threads = [Load(gateway, token) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.stop()


def reconnected(client: Client, client_id: str, seconds: float) -> Listener:
    """As ComfyUI's page does it: again and again, until a socket is open."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Listener(client, client_id)
        except (Refused, ConnectionClosed, OSError, EOFError):
            assert time.monotonic() < deadline, "no socket again"
            time.sleep(0.3)


def test_killed_web_process_loses_nothing_that_was_acknowledged(
    fleet: Gateway, fleet_alice: Client, fleet_bob: Client, fleet_comfy: FakeComfyThread
) -> None:
    client_id = uuid.uuid4().hex
    assert fleet_alice.token is not None and fleet_bob.token is not None
    with Listener(fleet_alice, client_id) as socket, load(fleet, fleet_bob.token) as threads:
        wait_until(lambda: all(len(thread.acknowledged) > 5 for thread in threads), 30)
        pid = process_of(fleet, socket.socket.socket.getsockname()[1])
        (victim,) = [process for process in fleet.processes if process.pid == pid]
        victim.kill()
        victim.wait(10)
        fleet.processes.remove(victim)
        sent = [len(thread.acknowledged) for thread in threads]
        assert socket.close_code(5) is None
        # The other goes on at once.
        wait_until(lambda: sum(len(t.acknowledged) for t in threads) > sum(sent) + 10, 20)
        with reconnected(fleet_alice, client_id, RECONNECTED_SECONDS) as again:
            prompt_id = submit(fleet_alice, save(), client_id=client_id)
            assert "executed" in kinds(again.until_end(prompt_id))
        fleet.start_process()
        time.sleep(3)
    # What broke off was under way in the killed process, one request of each thread at most.
    assert sum(len(thread.broken) for thread in threads) <= len(threads)
    assert {status for thread in threads for status in thread.answers} == {200}
    ids = [prompt_id for thread in threads for prompt_id in thread.acknowledged]
    assert len(ids) > 20
    fleet_comfy.wait_idle()

    def all_done() -> bool:
        # Whose end the killed process's relay would have noted, whoever asks finds out.
        fleet_bob.get("/history", params={"max_items": 1})
        return bool(fleet.run(COUNT, ids=ids) == [len(ids), len(ids)])

    wait_until(all_done, 10)


@contextmanager
def away(server: OwnRedis | OwnPostgres) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


def quickly(act: Callable[[], requests.Response]) -> requests.Response:
    started = time.monotonic()
    answer = act()
    assert time.monotonic() - started < 3
    return answer


def test_without_redis_everybody_works_on_and_nobody_is_let_in(
    fleet: Gateway, fleet_people: People, fleet_alice: Client, redis_server: OwnRedis
) -> None:
    client_id = uuid.uuid4().hex
    token = session(fleet, BOB)
    one, other = clients(fleet, token)
    with ExitStack() as stack:
        socket = stack.enter_context(Listener(fleet_alice, client_id))
        with away(redis_server):
            # Prompts, lists, sockets: as ever.
            prompt_id = quickly(
                lambda: fleet_alice.post("/prompt", json={"prompt": save(), "client_id": client_id})
            ).json()["prompt_id"]
            assert "executed" in kinds(socket.until_end(prompt_id))
            with Listener(fleet_alice) as new:
                second = submit(fleet_alice, save(), client_id=new.sid)
                assert "executed" in kinds(new.until_end(second))
            login = {"username": ALICE.username, "password": PASSWORD}
            assert quickly(lambda: Client(fleet.url).post("/login", json=login)).status_code == 200
            # Nobody is let in: not without a token, and not with one that has ended.
            assert quickly(lambda: Client(fleet.url).get("/queue")).status_code == 401
            for client in (one, other):
                assert quickly(lambda: client.get("/queue")).status_code == 200  # noqa: B023
            assert quickly(lambda: one.post("/logout")).status_code == 200
            for client in (one, other):
                wait_until(lambda: client.get("/queue").status_code == 401, REVOKED_SECONDS)  # noqa: B023
    # Once it is back, both hear each other again.
    one, other = clients(fleet, session(fleet, BOB))

    def announced() -> bool:
        token = session(fleet, BOB)
        first, second = clients(fleet, token)
        assert second.get("/queue").status_code == 200
        first.post("/logout")
        time.sleep(0.5)
        return second.get("/queue").status_code == 401

    wait_until(announced, 15)

    def both_hear() -> bool:
        # A session of the outage may have to give way first; that closes its sockets.
        try:
            with Sockets(fleet, fleet_alice, client_id) as sockets:
                prompt_id = submit(fleet_alice, save(), client_id=client_id)
                told = [socket.until_end(prompt_id) for socket in sockets.by_process.values()]
        except (ConnectionClosed, NotConnectedError):
            return False
        return all("executed" in kinds(frames) for frames in told)

    wait_until(both_hear, RECONNECTED_SECONDS)


def test_sockets_that_both_opened_while_redis_was_away_become_one(
    fleet: Gateway, fleet_alice: Client, fleet_comfy: FakeComfyThread, redis_server: OwnRedis
) -> None:
    """While nobody can be asked each process opens a socket of ComfyUI's for that id; one of
    them gives way as soon as Redis is back, and no event is missed after that."""
    client_id = uuid.uuid4().hex
    fleet_comfy.clear_requests()
    with away(redis_server):
        with Sockets(fleet, fleet_alice, client_id) as sockets:
            pass
        opened = [record for record in fleet_comfy.requests if record.kind == "ws_open"]
        assert len(opened) == 2

    def closed() -> int:
        return sum(record.kind == "ws_close" for record in fleet_comfy.requests)

    del sockets
    # Of the two sessions, which live on for 15 s without a client, one gives way before.
    wait_until(lambda: closed() >= 1, 12)
    wait_until(lambda: hears(fleet_alice, client_id), RECONNECTED_SECONDS)


def hears(client: Client, client_id: str) -> bool:
    """Whether a socket hears of a prompt to its end; False if it is closed meanwhile."""
    with reconnected(client, client_id, RECONNECTED_SECONDS) as socket:
        prompt_id = submit(client, save(), client_id=client_id)
        try:
            return "executed" in kinds(socket.until_end(prompt_id))
        except ConnectionClosed:
            return False


def answers_with_a_fault(client: Client) -> bool:
    return client.get("/queue").status_code >= 500


def test_restart_of_postgresql_lets_nobody_in_and_is_over_by_itself(
    fleet: Gateway, fleet_alice: Client, postgres: OwnPostgres
) -> None:
    client_id = uuid.uuid4().hex
    ended(fleet_alice, submit(fleet_alice, save()))
    stranger = Client(fleet.url, "mss_" + "x" * 43)
    both = clients(fleet, str(fleet_alice.token))
    with away(postgres):
        # Remembered for at most 5 s in each process, then refused; a stranger at once.
        assert quickly(lambda: stranger.get("/queue")).status_code >= 500
        for client in both:
            wait_until(partial(answers_with_a_fault, client), REVOKED_SECONDS)
        refused = fleet_alice.post("/prompt", json={"prompt": save()})
        assert refused.status_code >= 500
        assert refused.json()["code"] == "DATABASE_AWAY"
        with pytest.raises(Refused):
            Listener(fleet_alice, client_id)
    wait_until(lambda: fleet_alice.get("/queue").status_code == 200, 10)
    for client in both:
        assert client.get("/queue").status_code == 200
        assert client.get("/mss-login/api/me").status_code == 200
    assert stranger.get("/queue").status_code == 401
    with Listener(fleet_alice, client_id) as socket:
        prompt_id = submit(fleet_alice, save(), client_id=client_id)
        assert "executed" in kinds(socket.until_end(prompt_id))
