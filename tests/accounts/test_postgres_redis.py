"""The essential sequence on PostgreSQL and Redis instead of SQLite and what is embedded."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import redis

from tests.accounts.acting import SETUP_TOKEN, app, invite, mint, secrets_in, session
from tests.browser import Browser
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway
from tests.listener import Listener, Refused
from tests.refusals import check_refusal, wait_until
from tests.services import POSTGRES_URL, REDIS_URL, own_database

ME = "/mss-login/api/me"
USER = Person("petra", "user")
ADMIN = Person("pavel", "admin")
RACERS = 4
GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 5},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "pg"}},
}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a database of this run's own."""
    with own_database() as url:
        yield url


@pytest.fixture(scope="module")
def big(
    tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread, database: str
) -> Iterator[Gateway]:
    """A gateway on PostgreSQL and Redis, with a user and an admin, still without an owner."""
    server = Gateway(
        tmp_path_factory.mktemp("big") / "data",
        comfy.url,
        DATABASE_URL=database,
        REDIS_URL=REDIS_URL,
        MSS_SETUP_TOKEN=SETUP_TOKEN,
        MSS_TRUSTED_PROXIES="127.0.0.1",
    )
    server.prepare()
    server.run(
        """
from accounts import services
for name, role in people:
    services.create_user(username=name, password=password, role=role, actor=None)
""",
        people=[[USER.username, "user"], [ADMIN.username, "admin"]],
        password=PASSWORD,
    )
    server.start()
    yield server
    server.stop()
    redis.Redis.from_url(REDIS_URL).flushdb()
    assert secrets_in(server.log()) == []


def test_nothing_is_kept_in_sqlite(big: Gateway) -> None:
    assert not list(big.data_dir.glob("*.sqlite3*"))
    vendor = "from django.db import connection; result = connection.vendor"
    assert big.run(vendor) == "postgresql"


def test_phone_goes_from_password_to_picture(big: Gateway) -> None:
    body = {
        "username": USER.username,
        "password": PASSWORD,
        "scopes": ["can_run", "can_access_api"],
    }
    made = Client(big.url).post("/mss-login/generate_token", json=body).json()
    phone = Client(big.url, made["token"])
    me = phone.get(ME).json()
    assert (me["username"], me["auth"], me["scopes"]) == (
        USER.username,
        "api_token",
        ["can_access_api", "can_run"],
    )
    sent = phone.post("/prompt", json={"prompt": GRAPH})
    assert sent.status_code == 200, sent.text
    prompt_id = sent.json()["prompt_id"]
    deadline = time.monotonic() + 10
    while not (entry := phone.get(f"/history/{prompt_id}").json()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (picture,) = entry[prompt_id]["outputs"]["2"]["images"]
    assert phone.get("/view", params=picture).headers["Content-Type"] == "image/png"
    assert app(big, ADMIN).get(f"/view?filename={picture['filename']}").status_code == 404


def test_browser_logs_in_and_out(big: Gateway) -> None:
    page = Browser(big.url)
    assert page.submit("/login", username="PETRA", password=PASSWORD).status_code == 302
    jwt = page.cookies["jwt_token"]
    assert Client(big.url, jwt).get("/queue").status_code == 200
    page.get("/logout")
    assert Client(big.url, jwt).get("/queue").json()["code"] == "TOKEN_REVOKED"


CHANGES = {
    "session ended": (
        "proofs.end_sessions(user)",
        lambda client: client.get("/queue").status_code == 401,
    ),
    "demoted": (
        "services.set_role(user, models.Role.objects.get(slug='guest'), actor=None)",
        lambda client: client.post("/queue", json={}).status_code == 403,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_another_process_is_announced_through_redis(big: Gateway, change: str) -> None:
    """Sooner than the five seconds after which it would be noticed without."""
    code, noticed = CHANGES[change]
    person = Person(f"far-{change[:3]}", "user")
    big.run(
        "from accounts import models; models.User(username=name, role_id='user').save()",
        name=person.username,
    )
    client = app(big, person)
    assert client.post("/queue", json={}).status_code == 200
    big.run(
        f"from accounts import models, proofs, services;"
        f"user = models.User.objects.get(username=name); {code}",
        name=person.username,
    )
    deadline = time.monotonic() + 2
    while not noticed(client):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_many_at_once_make_one_owner(big: Gateway) -> None:
    """PostgreSQL lets them all in at the same time; only its constraint holds them apart."""

    def register(number: int) -> tuple[int, str]:
        body = {"setup_token": SETUP_TOKEN, "username": f"racer{number}", "password": PASSWORD}
        answer = Client(big.url).post("/register", json=body)
        return answer.status_code, answer.json().get("code", "OK")

    with ThreadPoolExecutor(RACERS) as pool:
        answers = sorted(pool.map(register, range(RACERS)))
    assert answers[0] == (200, "OK")
    assert set(answers[1:]) <= {
        (401, "TOKEN_INVALID"),
        (404, "NOT_FOUND"),
        (409, "OWNER_EXISTS"),
    }
    count = "from accounts import models; result = models.User.objects.filter(role='owner').count()"
    assert big.run(count) == 1
    assert register(9) == (404, "NOT_FOUND")


def test_many_at_once_join_by_one_link_as_one(big: Gateway) -> None:
    token = invite(big, ADMIN)

    def join(number: int) -> int:
        body = {"invite_token": token, "username": f"joiner{number}", "password": PASSWORD}
        return Client(big.url).post("/join", json=body).status_code

    with ThreadPoolExecutor(RACERS) as pool:
        assert sorted(pool.map(join, range(RACERS))) == [200] + [401] * (RACERS - 1)


GUESTS = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from django.db import connection
from django.test import override_settings
from accounts import guests, models
start = Barrier(racers)
def enter(_):
    start.wait()
    try:
        return guests.account().username
    finally:
        connection.close()
with override_settings(MSS_GUEST_LOGIN=True), ThreadPoolExecutor(racers) as pool:
    result = [*pool.map(enter, range(racers)), models.User.objects.filter(shared=True).count()]
"""


def test_many_first_guests_at_once_share_one_account(big: Gateway) -> None:
    assert big.run(GUESTS, racers=RACERS) == ["guest"] * RACERS + [1]


FORGET = """
from concurrent.futures import ThreadPoolExecutor
from django.db import connection
from accounts import links, models
user = models.User.objects.get(username=username)
models.User.objects.filter(pk=user.pk).update(email="petra@example.org")
def ask(_):
    try:
        return links.forgotten_password_link(models.User.objects.get(pk=user.pk), ip=None)
    finally:
        connection.close()
with ThreadPoolExecutor(4) as pool:
    result = sum(made is not None for made in pool.map(ask, range(4)))
"""


def test_many_at_once_ask_for_one_link(big: Gateway) -> None:
    assert big.run(FORGET, username=USER.username) == 1


def test_lost_connections_to_the_database_are_made_anew(big: Gateway, database: str) -> None:
    """As after a restart of PostgreSQL: nobody notices."""
    clients = [app(big, USER) for _ in range(8)]
    for client in clients[:4]:
        assert client.get("/queue").status_code == 200
    with psycopg.connect(database, autocommit=True) as server:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    # Four threads hold a connection each; these tokens are not in the memory yet.
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda client: client.get("/queue").status_code, clients[4:])
        assert list(answers) == [200] * 4
    assert [client.get(ME).status_code for client in clients] == [200] * 8
    big.run("from django.db import connection; connection.close()")


def test_lost_database_lets_nobody_in_and_nobody_stay(big: Gateway, database: str) -> None:
    """What was known of a token a moment ago counts for 5 s and no longer."""
    client, page = app(big, USER), Browser(big.url, session(big, ADMIN))
    token = Client(big.url, mint(big, USER))
    everyone = (client, page, token, app(big, USER), Client(big.url, "mss_unknown"))
    for known in everyone[:3]:
        assert known.get("/queue").status_code == 200
    socket = Listener(client)
    name = database.rpartition("/")[2]
    with psycopg.connect(f"{POSTGRES_URL}/postgres", autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        lost = time.monotonic()
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            assert socket.close_code(seconds=10) in (1012, 4401)
            assert time.monotonic() - lost < 10
            time.sleep(max(lost + 5.5 - time.monotonic(), 0))
            for path in ("/queue", "/extensions", ME, "/admin/", "/login", "/assets/x.js"):
                for somebody in everyone:
                    answer = somebody.get(path)
                    if somebody is page and "html" in answer.headers["Content-Type"]:
                        # A person reads it on a page.
                        assert (answer.status_code, "DATABASE_AWAY" in answer.text) == (503, True)
                    else:
                        check_refusal(answer, 503, "DATABASE_AWAY")
            with pytest.raises(Refused):
                Listener(client)
        finally:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    wait_until(lambda: client.get("/queue").status_code == 200)
    assert page.get("/admin/").status_code == 200
    big.run("from django.db import connection; connection.close()")


def test_odd_input_that_only_postgresql_minds_is_no_error(big: Gateway) -> None:
    client = app(big, USER)
    odd = {"X-Forwarded-For": "fe80::1%eth0", "User-Agent": "caf\xe9 " * 100}
    body = {"username": USER.username, "password": PASSWORD}
    assert Client(big.url).post("/login", json=body, headers=odd).status_code == 200
    for path, given in (
        ("/login", {"username": "nul\0", "password": "x"}),
        ("/mss-login/generate_token", {"label": "nul\0"}),
    ):
        assert client.post(path, json=given).json()["code"] == "BAD_REQUEST"
    prefix = {"token_hash_prefix": "nul\0nul\0nul"}
    assert client.delete("/mss-login/api/tokens", json=prefix).status_code == 400


def test_admin_pages_work(big: Gateway) -> None:
    token = mint(big, USER, scopes=["can_run"], label="küche 📱")
    assert Client(big.url, token).get(ME).json()["scopes"] == ["can_run"]
    page = Browser(big.url, session(big, ADMIN))
    for model in ("user", "role", "session", "apitoken", "auditentry"):
        for query in ("", "?q=petra", "?q=%00", "?o=1.-2"):
            answer = page.get(f"/admin/accounts/{model}/{query}")
            assert answer.status_code in (200, 302), (model, query)
    key = big.run(
        "from accounts import models; result = models.User.objects.get(username=name).pk",
        name=USER.username,
    )
    changed = page.submit(f"/admin/accounts/user/{key}/change/", role="power")
    assert changed.status_code == 302
    assert app(big, USER).get(ME).json()["role"] == "power"
