"""Too many wrong passwords or codes: by name, by address, with a growing wait."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import requests

from tests.accounts.acting import START_SESSION
from tests.accounts.factors import ENROL, App
from tests.browser import NAVIGATION
from tests.cast import CREATE, PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.refusals import check_refusal

SENTENCE = "Too many wrong passwords or codes. Wait, then try again."
_numbers = count(1)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway with the limits it has by default, behind a proxy that says who asks."""
    server = Gateway(
        tmp_path_factory.mktemp("guarded") / "data",
        comfy.url,
        MSS_TRUSTED_PROXIES="127.0.0.1",
        MSS_LOCKOUT_NAME_FAILURES="5",
        MSS_LOCKOUT_ADDRESS_FAILURES="12",
    )
    server.prepare().start()
    yield server
    server.stop()


def new_name(server: Gateway, role: str = "user") -> str:
    name = f"{role}-{next(_numbers)}"
    server.run(CREATE, cast=[(name, role)], password=PASSWORD)
    return name


def new_address() -> str:
    number = next(_numbers)
    return f"203.0.{number // 250}.{number % 250 + 1}"


def attempt(
    server: Gateway, name: str, address: str, password: str = "wrong-Guess-7", path: str = "/login"
) -> requests.Response:
    body = {"username": name, "password": password}
    headers = {"X-Forwarded-For": address}
    return Client(server.url).post(path, json=body, headers=headers)


def wait_of(answer: requests.Response) -> int:
    check_refusal(answer, 429, "LOCKED_OUT")
    return int(answer.headers["Retry-After"])


def lapse(server: Gateway, seconds: int) -> None:
    """Let the failures so far be so much older."""
    server.run(
        "from axes.models import AccessAttempt\n"
        "from datetime import timedelta\n"
        "for row in AccessAttempt.objects.all():\n"
        "    row.attempt_time -= timedelta(seconds=seconds)\n"
        "    row.save()\nresult = None",
        seconds=seconds,
    )


def test_a_name_waits_after_five_failures_from_anywhere(guarded: Gateway) -> None:
    name = new_name(guarded)
    for _ in range(5):
        check_refusal(attempt(guarded, name, new_address()), 401, "INVALID_CREDENTIALS")
    # From yet another address, and even with the right password.
    locked = attempt(guarded, name.upper(), new_address(), PASSWORD)
    assert 25 <= wait_of(locked) <= 30
    assert locked.json()["error"] == SENTENCE
    events = guarded.run(
        "from accounts.models import AuditEntry\n"
        "rows = AuditEntry.objects.filter(subject_name=name)\n"
        "result = [[row.event, row.details.get('by')] for row in rows]",
        name=name,
    )
    assert events.count(["lockout", "user name"]) == 1
    assert events.count(["login.failed", None]) == 5


def test_the_wait_doubles_and_ends(guarded: Gateway) -> None:
    name = new_name(guarded)
    for _ in range(5):
        attempt(guarded, name, new_address())
    waits = [wait_of(attempt(guarded, name, new_address()))]
    for _ in range(3):
        lapse(guarded, waits[-1] + 1)
        check_refusal(attempt(guarded, name, new_address()), 401, "INVALID_CREDENTIALS")
        waits.append(wait_of(attempt(guarded, name, new_address())))
    for wait, expected in zip(waits, (30, 60, 120, 240), strict=True):
        assert expected - 5 <= wait <= expected
    lapse(guarded, 241)
    assert attempt(guarded, name, new_address(), PASSWORD).status_code == 200
    # A login that was right forgives: five more are free.
    for _ in range(5):
        check_refusal(attempt(guarded, name, new_address()), 401, "INVALID_CREDENTIALS")


def test_an_unknown_name_is_locked_like_a_known_one(guarded: Gateway) -> None:
    name = f"nobody-{next(_numbers)}"
    for _ in range(5):
        check_refusal(attempt(guarded, name, new_address()), 401, "INVALID_CREDENTIALS")
    assert 25 <= wait_of(attempt(guarded, name, new_address())) <= 30


def test_an_address_that_goes_through_names_waits(guarded: Gateway) -> None:
    address, bystander = new_address(), new_name(guarded)
    for number in range(12):
        answer = attempt(guarded, f"guess-{next(_numbers)}-{number}", address)
        check_refusal(answer, 401, "INVALID_CREDENTIALS")
    assert 25 <= wait_of(attempt(guarded, bystander, address, PASSWORD)) <= 30
    # Everybody else is let in as ever.
    assert attempt(guarded, bystander, new_address(), PASSWORD).status_code == 200


def test_a_stranger_cannot_keep_somebody_out_of_where_they_are_known(guarded: Gateway) -> None:
    name, home = new_name(guarded), new_address()
    assert attempt(guarded, name, home, PASSWORD).status_code == 200
    for _ in range(6):
        attempt(guarded, name, new_address())
    wait_of(attempt(guarded, name, new_address(), PASSWORD))
    assert attempt(guarded, name, home, PASSWORD).status_code == 200
    # That is no way around the limit for who sits at home.
    for _ in range(5):
        check_refusal(attempt(guarded, name, home), 401, "INVALID_CREDENTIALS")
    wait_of(attempt(guarded, name, home, PASSWORD))


@pytest.mark.parametrize("path", ["/mss-login/generate_token", "/generate_token", "/login"])
def test_every_way_in_counts_for_every_other(guarded: Gateway, path: str) -> None:
    name = new_name(guarded)
    for _ in range(5):
        check_refusal(attempt(guarded, name, new_address(), path=path), 401, "INVALID_CREDENTIALS")
    for other in ("/login", "/mss-login/generate_token"):
        wait_of(attempt(guarded, name, new_address(), PASSWORD, path=other))


def test_the_page_says_so_to_a_person(guarded: Gateway) -> None:
    name = new_name(guarded)
    for _ in range(5):
        attempt(guarded, name, new_address())
    body = {"username": name, "password": PASSWORD}
    headers = {**NAVIGATION, "X-Forwarded-For": new_address(), "Origin": guarded.url}
    page = Client(guarded.url).post("/login", data=body, headers=headers)
    assert (page.status_code, SENTENCE in page.text) == (429, True)
    assert int(page.headers["Retry-After"]) > 0


def test_wrong_codes_count_and_a_right_password_does_not_forgive_them(guarded: Gateway) -> None:
    name = new_name(guarded)
    secret, codes = guarded.run(ENROL, username=name)
    phone = App(secret, codes)
    client = Client(guarded.url)
    client.headers["X-Forwarded-For"] = new_address()

    def temp() -> str:
        body = {"username": name, "password": PASSWORD}
        return str(client.post("/login", json=body).json()["mfa_temp_token"])

    def verify(temp_token: str, **proof: Any) -> requests.Response:
        body = {"mfa_temp_token": temp_token, **proof}
        return client.post("/mss-login/api/mfa/verify", json=body)

    spare = temp()
    for _ in range(5):
        check_refusal(verify(temp(), code=phone.wrong()), 400, "INVALID_CODE")
    wait_of(verify(spare, code=phone.code()))
    wait_of(verify(spare, backup_code=codes[0]))
    wait_of(attempt(guarded, name, new_address(), PASSWORD))
    # Being told to wait uses up neither the tries of the temp token nor the code.
    lapse(guarded, 31)
    assert verify(spare, backup_code=codes[0]).status_code == 200


@pytest.mark.parametrize(
    "token",
    [
        lambda server, name: _ended_session(server, name),
        lambda server, name: "mss_" + "x" * 43,
        lambda server, name: "not-a-token",
    ],
)
def test_dead_tokens_never_lock_anybody_out(
    guarded: Gateway, token: Callable[[Gateway, str], str]
) -> None:
    name, address = new_name(guarded), new_address()
    tab = Client(guarded.url, token(guarded, name))
    tab.headers["X-Forwarded-For"] = address
    for _ in range(20):
        assert tab.get("/queue").status_code == 401
        assert tab.get("/mss-login/api/me").status_code == 401
    assert attempt(guarded, name, address, PASSWORD).status_code == 200


def _ended_session(server: Gateway, name: str) -> str:
    jwt = str(server.run(START_SESSION, username=name))
    Client(server.url, jwt).post("/logout")
    return jwt


def test_client_cannot_choose_its_address(tmp_path: Any, comfy: FakeComfyThread) -> None:
    server = Gateway(tmp_path / "data", comfy.url, MSS_LOCKOUT_ADDRESS_FAILURES="3")
    server.prepare().start()
    try:
        for number in range(3):
            attempt(server, f"guess-{number}", new_address())
        wait_of(attempt(server, "guess-4", new_address()))
    finally:
        server.stop()


def test_axes_keeps_nothing_but_name_and_address(guarded: Gateway) -> None:
    name, address = new_name(guarded), new_address()
    Client(guarded.url).post(
        "/login?secret_token=abc",
        data={"username": name, "password": "wrong-Guess-7", "more": "x" * 1000},
        headers={"X-Forwarded-For": address, "User-Agent": "agent " * 40},
    )
    row = guarded.run(
        "from axes.models import AccessAttempt\n"
        "result = AccessAttempt.objects.filter(username=name).values(\n"
        "    'ip_address', 'get_data', 'post_data', 'http_accept', 'user_agent',\n"
        "    'failures_since_start').get()",
        name=name,
    )
    assert row.pop("ip_address") == address
    assert row.pop("failures_since_start") == 1
    assert "".join(str(value) for value in row.values()) in ("", "<unknown>" * 2, "<unknown>")


@pytest.mark.parametrize("name", ["", "\x00", "ÿ" * 150, "a'b\"--", "%", "_" * 150])
def test_odd_names_are_counted_or_refused(guarded: Gateway, name: str) -> None:
    for _ in range(7):
        answer = attempt(guarded, name, new_address())
        assert answer.status_code in (400, 401, 429), answer.text


def test_admin_unlocks_a_name_and_an_address(guarded: Gateway) -> None:
    name = new_name(guarded)
    address = new_address()
    for _ in range(5):
        attempt(guarded, name, new_address())
    wait_of(attempt(guarded, name, new_address(), PASSWORD))
    for _ in range(12):
        attempt(guarded, f"guess-{next(_numbers)}", address)
    wait_of(attempt(guarded, name, address, PASSWORD))
    guarded.run(
        "from accounts import lockout\n"
        "result = [lockout.unlock(username=name), lockout.unlock(ip=address)]",
        name=name,
        address=address,
    )
    assert attempt(guarded, name, address, PASSWORD).status_code == 200
