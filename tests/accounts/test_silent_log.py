"""What the server logs at DEBUG while tokens and passwords pass through it in every place."""

from tests.accounts.acting import SETUP_TOKEN, app, mint, secrets_in, session, with_cookie
from tests.cast import PASSWORD, Person
from tests.client import Client, raw_request
from tests.gateway import Gateway

PERSON = Person("lois", "user")
WRONG = "a-Wrong-guess-4711"

MAKE = """
from accounts import services
services.create_user(username=username, password=password, role="user", actor=None)
"""


def test_no_secret_reaches_the_log_whatever_is_asked(fresh: Gateway) -> None:
    fresh.run(MAKE, username=PERSON.username, password=PASSWORD)
    before = len(fresh.log())
    jwt, token = session(fresh, PERSON), mint(fresh, PERSON)
    anyone = Client(fresh.url)
    good = {"username": PERSON.username, "password": PASSWORD}
    for body in (good, good | {"password": WRONG}, good | {"username": PASSWORD}):
        anyone.post("/login", json=body)
        anyone.post("/login", data=body)
    for path in ("/queue", "/nothing/here", "/mss-login/api/me", "/mss-login/none", "/extensions"):
        for secret in (jwt, token):
            Client(fresh.url, secret).get(path)
            with_cookie(fresh, secret).get(path)
            anyone.get(path, params={"token": secret})
            anyone.get(path, params={"access_token": secret, "x": "1"})
            anyone.get(path, auth=("user", secret))
            # In places where no token belongs.
            anyone.get(f"{path}/{secret}")
            anyone.get(f"/t/{secret}{path}")
            anyone.get(f"/login?next={path}%3Ftoken%3D{secret}", headers={"Referer": secret})
            raw_request(fresh.url, secret.upper(), path)
            raw_request(fresh.url, "GET", path, {"Host": secret})
    with_cookie(fresh, jwt).post("/prompt", json={"token": token})
    anyone.post("/register", json={"setup_token": SETUP_TOKEN + "x", **good})
    anyone.get("/register", params={"setup_token": SETUP_TOKEN})
    app(fresh, PERSON).delete("/mss-login/api/tokens", json={"token_hash_prefix": token})
    app(fresh, PERSON).post("/logout")

    log = fresh.log()[before:]
    # It does log: refusals have their line, the path without the query.
    assert "GET /nothing/here: 401 AUTH_REQUIRED" in log or "GET /nothing/here: 403" in log
    assert log.count("/queue/***: ") >= 2 and "GET /queue: 401 TOKEN_INVALID" in log
    assert secrets_in(log) == []
    assert WRONG not in log


def test_a_client_cannot_write_lines_of_its_own_into_the_log(fresh: Gateway) -> None:
    before = len(fresh.log())
    forged = "2026-01-01 00:00:00,000 INFO [-] accounts: all is well"
    path = "/x%0a" + forged.replace(" ", "%20") + "%1b%5b31m"
    assert raw_request(fresh.url, "GET", path).status == 400
    lines = fresh.log()[before:].splitlines()
    assert not any(line.startswith("2026-01-01") for line in lines)
    assert len([line for line in lines if "is" in line and "400 BAD_PATH" in line]) == 1
    assert not any("\x1b" in line for line in lines)
