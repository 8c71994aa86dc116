"""How often one may ask: logins by address, the API by user; what does not count."""

import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest
import requests
from django.core.cache import caches
from pytest_django.fixtures import Settings
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts import errors, login
from accounts.api.throttles import ApiThrottle, LoginThrottle, address_of
from tests.accounts.acting import mint, session
from tests.browser import Browser
from tests.cast import ADMIN, ALICE, BOB, CREATE, PASSWORD, Person
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.refusals import check_refusal, wait_until

LOGINS, REQUESTS = 3, 8
ME = "/mss-login/api/me"
IS_HTTPS = "/mss-login/api/is-https"
GENERATE = "/mss-login/generate_token"
WRONG = {"username": "nobody", "password": "wrong"}
RIGHT = {"username": ALICE.username, "password": PASSWORD}

END = """
from django.utils import timezone
from accounts import models, tokens
row = models.Session.objects.get(jti=tokens.read_session_jwt(token))
setattr(row, field, timezone.now())
row.save()
"""

_numbers = count(1)


def limited_gateway(data: object, comfy: FakeComfyThread, **env: str) -> Gateway:
    server = Gateway(
        data,  # type: ignore[arg-type]
        comfy.url,
        MSS_LOGIN_RATE=str(LOGINS),
        MSS_API_RATE=str(REQUESTS),
        **env,
    ).prepare()
    cast = [(person.username, person.role) for person in (ADMIN, ALICE, BOB)]
    server.namespaces = server.run(CREATE, cast=cast, password=PASSWORD)
    return server.start()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[Gateway]:
    """A gateway with small limits, whose clients come from where a trusted proxy says."""
    data = tmp_path_factory.mktemp("strict") / "data"
    server = limited_gateway(data, comfy, MSS_TRUSTED_PROXIES="127.0.0.1")
    yield server
    server.stop()


@pytest.fixture
def address() -> str:
    """One that no other test comes from."""
    return f"198.51.100.{next(_numbers)}"


def coming(gateway: Gateway, address: str, token: str | None = None) -> Client:
    client = Client(gateway.url, token)
    client.headers["X-Forwarded-For"] = address
    return client


def elsewhere(address: str) -> str:
    return address.replace("198.51.100.", "192.0.2.")


def check_throttled(answer: requests.Response) -> None:
    check_refusal(answer, 429, "THROTTLED")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def use_up_logins(client: Client) -> None:
    answers = [client.post("/login", json=WRONG) for _ in range(LOGINS)]
    assert [answer.status_code for answer in answers] == [401] * LOGINS


# --- logins ----------------------------------------------------------------------------------


def test_address_that_tries_too_often_waits_and_others_do_not(
    strict: Gateway, address: str
) -> None:
    client = coming(strict, address)
    use_up_logins(client)
    check_throttled(client.post("/login", json=WRONG))
    check_throttled(client.post("/login", json=RIGHT))
    assert coming(strict, elsewhere(address)).post("/login", json=RIGHT).status_code == 200


def test_right_logins_count_too(strict: Gateway, address: str) -> None:
    for _ in range(LOGINS):
        assert coming(strict, address).post("/login", json=RIGHT).status_code == 200
    check_throttled(coming(strict, address).post("/login", json=RIGHT))


def test_whatever_tries_a_secret_uses_one_budget(strict: Gateway, address: str) -> None:
    client = coming(strict, address)
    assert client.post("/login", json=WRONG).status_code == 401
    assert client.post(GENERATE, json=WRONG).status_code == 401
    setup = {"setup_token": "guessed", "username": "mallory", "password": PASSWORD}
    assert client.post("/register", json=setup).status_code == 401
    for path, body in (("/login", WRONG), (GENERATE, RIGHT), ("/generate_token", RIGHT)):
        check_throttled(client.post(path, json=body))
        check_throttled(client.post(path, data=body))
    check_throttled(client.post("/register", json=setup))


@pytest.mark.parametrize(
    "path",
    [
        "/mfa",
        "/mfa/passkey",
        "/join",
        "/reset",
        "/account/password",
        "/mss-login/api/mfa/setup",
        "/mss-login/api/mfa/verify-setup",
        "/mss-login/api/mfa/verify",
        "/mss-login/api/passkeys/login",
        "/mss-login/api/passkeys/login-options",
    ],
)
def test_every_other_way_in_has_the_same_budget(strict: Gateway, address: str, path: str) -> None:
    token = None
    if path == "/account/password":
        own = Person(f"own-{next(_numbers)}", "user")
        strict.run(CREATE, cast=[(own.username, own.role)], password=PASSWORD)
        token = session(strict, own)
    client = coming(strict, address, token)
    client.headers["Cookie"] = "mss_mfa=mfa_guess"
    for _ in range(LOGINS):
        answer = client.post(path, json={"mfa_temp_token": "mfa_guess", "code": "000000"})
        assert answer.status_code in (302, 400, 401), (answer.status_code, answer.text)
    check_throttled(client.post(path, json={"mfa_temp_token": "mfa_guess", "code": "000000"}))
    check_throttled(coming(strict, address).post("/login", json=WRONG))


def test_person_sees_it_on_the_page(strict: Gateway, address: str) -> None:
    page = Browser(strict.url)
    page.headers["X-Forwarded-For"] = address
    for _ in range(LOGINS):
        page.submit("/login", username="nobody", password="wrong")
    answer = page.submit("/login", username="nobody", password="wrong")
    assert (answer.status_code, "Too many requests. Wait a moment." in answer.text) == (429, True)
    assert 'value="nobody"' in answer.text
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_looking_is_no_login_nor_is_a_token_made_from_a_session(
    strict: Gateway, address: str
) -> None:
    client = coming(strict, address, session(strict, BOB))
    page = Browser(strict.url, session(strict, ADMIN))
    page.headers["X-Forwarded-For"] = address
    assert [page.get("/login").status_code for _ in range(LOGINS + 1)] == [200] * (LOGINS + 1)
    for _ in range(LOGINS + 1):
        assert client.post(GENERATE, json={}).status_code == 200
    use_up_logins(coming(strict, address))
    # And the other way round: who may not log in for a while still makes a token.
    assert client.post(GENERATE, json={"label": "phone"}).status_code == 200
    check_throttled(client.post(GENERATE, json=RIGHT))


def test_ipv6_counts_by_the_network_that_a_household_gets(strict: Gateway, address: str) -> None:
    network = f"2001:db8:{int(address.split('.')[-1]):x}:1"
    for number in range(LOGINS):
        client = coming(strict, f"{network}:{number}::{number}")
        assert client.post("/login", json=WRONG).status_code == 401
    check_throttled(coming(strict, f"{network}:ffff::1").post("/login", json=WRONG))
    other = coming(strict, network.removesuffix("1") + "2::1")
    assert other.post("/login", json=WRONG).status_code == 401


def test_address_that_a_client_claims_buys_nothing(strict: Gateway, address: str) -> None:
    use_up_logins(coming(strict, address))
    for claim in ("203.0.113.1", "203.0.113.2, 203.0.113.3", "nonsense"):
        check_throttled(coming(strict, f"{claim}, {address}").post("/login", json=WRONG))


def test_nobodys_claim_counts_without_a_trusted_proxy(
    tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread
) -> None:
    server = limited_gateway(tmp_path_factory.mktemp("direct") / "data", comfy)
    try:
        for number in range(LOGINS):
            client = coming(server, f"203.0.113.{number}")
            assert client.post("/login", json=WRONG).status_code == 401
        refused = coming(server, "203.0.113.99")
        check_throttled(refused.post("/login", json=RIGHT))
        for header in ("X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP"):
            answer = Client(server.url).post("/login", json=RIGHT, headers={header: "192.0.2.1"})
            check_throttled(answer)
    finally:
        server.stop()


# --- the API ---------------------------------------------------------------------------------


def test_user_has_one_budget_whatever_the_token_and_the_address(
    strict: Gateway, address: str
) -> None:
    tokens = [session(strict, ADMIN), session(strict, ADMIN), mint(strict, ADMIN)]
    codes = []
    for number in range(REQUESTS + 1):
        client = coming(strict, f"203.0.113.{number}", tokens[number % 3])
        codes.append(client.get(ME).status_code)
    # Making the API token was a request as well.
    assert codes == [200] * (REQUESTS - 1) + [429] * 2
    check_throttled(coming(strict, address, tokens[0]).get("/mss-login/me/sessions"))
    # Neither the neighbours nor ComfyUI's routes are concerned.
    assert coming(strict, address, session(strict, ALICE)).get(ME).status_code == 200
    admin = coming(strict, address, tokens[0])
    assert {admin.get("/queue").status_code for _ in range(2 * REQUESTS)} == {200}


def test_without_a_token_the_address_has_a_budget(strict: Gateway, address: str) -> None:
    client = coming(strict, address)
    codes = [client.get(IS_HTTPS).status_code for _ in range(REQUESTS + 1)]
    assert codes == [200] * REQUESTS + [429]
    check_throttled(client.get("/login"))
    assert coming(strict, address, session(strict, ALICE)).get(ME).status_code == 200
    assert coming(strict, elsewhere(address)).get(IS_HTTPS).status_code == 200


@pytest.mark.parametrize("kind", ["revoked", "expired", "nonsense", "none"])
def test_tab_whose_session_ended_uses_up_nothing(strict: Gateway, address: str, kind: str) -> None:
    """It goes on asking, every 0.3 s, from the address where its owner wants to log in."""
    token = {"nonsense": "x.y.z", "none": None}.get(kind, "")
    if token == "":
        token = session(strict, BOB)
        strict.run(END, token=token, field={"revoked": "revoked_at", "expired": "expires_at"}[kind])
    tab = coming(strict, address, token)
    for path in (ME, "/mss-login/me/sessions", "/queue", "/mss-login/api/users"):
        answers = {tab.get(path).status_code for _ in range(2 * REQUESTS)}
        assert answers == {401}, path
    if token is not None:
        answers = {tab.post(GENERATE, json=RIGHT).status_code for _ in range(2 * REQUESTS)}
        assert answers == {401}
    assert coming(strict, address).post("/login", json=RIGHT).status_code == 200
    anyone = coming(strict, address)
    codes = [anyone.post("/login", json=WRONG).status_code for _ in range(LOGINS)]
    assert codes == [401] * (LOGINS - 1) + [429]


# --- counting --------------------------------------------------------------------------------


@pytest.fixture
def request_from(settings: Settings) -> Iterator[Request]:
    settings.MSS_LOGIN_RATE = settings.MSS_API_RATE = 5
    caches["throttles"].clear()
    yield Request(APIRequestFactory().post("/login", REMOTE_ADDR="192.0.2.1"))
    caches["throttles"].clear()


def test_a_minute_later_the_budget_is_back(
    request_from: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(LoginThrottle, "timer", lambda self: now)

    def ask() -> float | None:
        throttle = LoginThrottle()
        allowed = throttle.allow_request(request_from, None)  # type: ignore[arg-type]
        return None if allowed else throttle.wait()

    assert [ask() for _ in range(5)] == [None] * 5
    assert ask() == 60
    now += 59.5
    assert ask() == 0.5  # which is 1 in Retry-After
    now += 0.5
    assert [ask() for _ in range(5)] == [None] * 5
    assert ask() == 60


def test_requests_at_once_are_counted_one_by_one(
    request_from: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(throttle: ApiThrottle) -> float:
        time.sleep(0.005)  # between reading the list and writing it
        return 1000.0

    monkeypatch.setattr(ApiThrottle, "timer", slow)
    allowed: list[bool] = []
    start = threading.Barrier(20)

    def ask() -> None:
        throttle = ApiThrottle()
        start.wait()
        allowed.append(throttle.allow_request(request_from, None))  # type: ignore[arg-type]

    askers = [threading.Thread(target=ask) for _ in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert sorted(allowed) == [False] * 15 + [True] * 5


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::1", "::"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_addresses_are_counted_as(address: str, expected: str) -> None:
    request = Request(APIRequestFactory().get("/", REMOTE_ADDR=address))
    assert address_of(request) == expected


def test_who_comes_when_too_many_wait_for_a_password_check_is_refused_at_once() -> None:
    got: list[str] = []

    def wait() -> None:
        login._take_turn()
        got.append("turn")
        login._checks.release()

    waiting = [threading.Thread(target=wait) for _ in range(login.MAX_WAITING)]
    for _ in range(login.PARALLEL_CHECKS):
        login._take_turn()
    for waiter in waiting:
        waiter.start()
    try:
        wait_until(lambda: not _free_places())
        with pytest.raises(errors.Throttled) as refused:
            login._take_turn()
        assert int(refused.value.headers["Retry-After"]) >= 1
        assert got == []
    finally:
        for _ in range(login.PARALLEL_CHECKS):
            login._checks.release()
        for waiter in waiting:
            waiter.join(10)
    assert got == ["turn"] * login.MAX_WAITING
    login._take_turn()
    login._checks.release()


def _free_places() -> bool:
    free = login._waiting.acquire(blocking=False)
    if free:
        login._waiting.release()
    return free
