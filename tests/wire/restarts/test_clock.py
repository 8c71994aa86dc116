"""The machine's clock jumps, ahead and back: it neither breaks anything nor keeps anybody out."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.accounts.acting import mint
from tests.cast import ALICE, BOB, PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.listener import Listener, kinds
from tests.prompts import run, save, submit
from tests.refusals import faults, wait_until

HOUR, DAY = 3600, 86400


def _library() -> str:
    """libfaketime, which makes a program see another time of day; its monotonic clock goes on."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found or shutil.which("faketime") is None:
        reason = "needs libfaketime (Debian's package faketime)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(found[0])


Jump = Callable[[float], None]


@pytest.fixture(scope="module")
def moment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clock") / "moment"
    path.write_text("+0")
    return path


@pytest.fixture(scope="module")
def timed(
    tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread, moment: Path
) -> Iterator[Gateway]:
    with serving(
        tmp_path_factory.mktemp("timed"),
        comfy.url,
        (ALICE, BOB),
        LD_PRELOAD=_library(),
        FAKETIME_TIMESTAMP_FILE=str(moment),
        FAKETIME_NO_CACHE="1",
        DONT_FAKE_MONOTONIC="1",
        FAKETIME_DONT_RESET="1",
        MSS_LOCKOUT_NAME_FAILURES="5",
    ) as server:
        yield server
        assert faults(server.log(), [PASSWORD]) == []


@pytest.fixture
def jump(moment: Path) -> Iterator[Jump]:
    """Sets the gateway's clock so many seconds off; at the end it is right again."""

    def to(seconds: float) -> None:
        moment.write_text(f"{seconds:+.0f}")

    yield to
    to(0)


def login(gateway: Gateway, name: str, password: str = PASSWORD) -> Client:
    answer = Client(gateway.url).post("/login", json={"username": name, "password": password})
    assert answer.status_code == 200, answer.text
    return Client(gateway.url, answer.json()["jwt_token"])


def test_clock_that_jumps_an_hour_ends_nothing(timed: Gateway, jump: Jump) -> None:
    alice = login(timed, ALICE.username)
    with Listener(alice) as socket:
        for seconds in (HOUR, -HOUR, 0):
            jump(seconds)
            prompt_id = submit(alice, save(), client_id=socket.sid)
            assert "executed" in kinds(socket.until_end(prompt_id))
            assert alice.get("/mss-login/api/me").status_code == 200
            assert login(timed, ALICE.username).get("/queue").status_code == 200
        assert list(run(alice, save()))


def test_session_that_began_ahead_of_time_works_when_the_clock_is_right_again(
    timed: Gateway, jump: Jump
) -> None:
    jump(2 * DAY)
    alice = login(timed, ALICE.username)
    token = Client(timed.url, mint(timed, ALICE))
    jump(0)
    # Neither was used yet: nothing is remembered of them.
    for client in (alice, token):
        assert client.get("/queue").status_code == 200
        assert run(client, save())


def test_session_ends_by_the_clock_and_a_new_one_can_be_had(timed: Gateway, jump: Jump) -> None:
    alice = login(timed, ALICE.username)
    assert alice.get("/queue").status_code == 200
    jump(2 * DAY)
    # Remembered for 5 s, but not beyond its end.
    assert alice.get("/queue").json()["code"] == "TOKEN_EXPIRED"
    assert login(timed, ALICE.username).get("/queue").status_code == 200


def test_failures_ahead_of_time_lock_nobody_out_when_the_clock_is_right_again(
    timed: Gateway, jump: Jump
) -> None:
    wrong = {"username": BOB.username, "password": "wrong"}
    jump(2 * DAY)
    for _ in range(6):
        Client(timed.url).post("/login", json=wrong)
    right = {"username": BOB.username, "password": PASSWORD}
    assert Client(timed.url).post("/login", json=right).json()["code"] == "LOCKED_OUT"
    jump(0)
    wait_until(lambda: Client(timed.url).post("/login", json=right).status_code == 200)
