"""What people do in the accounts' tests: have a session, get a token; and what a log must not
hold.

Hashing a password takes a tenth of a second and more, so only tests of passwords use one.
"""

import re
from collections.abc import Callable
from typing import Any

import requests

from tests.browser import Browser
from tests.cast import PASSWORD, Person
from tests.client import Client
from tests.gateway import Gateway

LOOKS_LIKE_A_TOKEN = re.compile(r"mss_[\w-]{20,}|eyJ[\w-]+\.[\w-]+\.[\w-]+")

# Of the gateway that has no owner yet (fixture `fresh`).
SETUP_TOKEN = "given-by-the-environment-42"

# The fixture that makes accounts.
Newcomer = Callable[..., Person]

# How many users, sessions, API tokens and roles there are.
COUNTS = """
from accounts import models
kinds = (models.User, models.Session, models.ApiToken, models.Role)
result = [kind.objects.count() for kind in kinds]
"""

START_SESSION = """
from accounts import models, proofs
user = models.User.objects.get(username=username)
_, result = proofs.start_session(user, ip=None, user_agent="tests")
"""


INVITE = """
from accounts import links, models
maker = models.User.objects.get(username=maker)
role = models.Role.objects.get(slug=role)
result = links.create_invitation(role, actor=maker, **wanted)[1]
"""

PASSWORD_LINK = """
from accounts import links, models
user, maker = (models.User.objects.get(username=name) for name in (username, maker))
result = links.create_password_link(user, actor=maker)[1]
"""


def invite(gateway: Gateway, maker: Person, role: str = "user", **wanted: Any) -> str:
    """The token of a new invitation, as `maker` gets it in the admin."""
    return str(gateway.run(INVITE, maker=maker.username, role=role, wanted=wanted))


def password_link(gateway: Gateway, maker: Person, person: Person) -> str:
    """The token of a new password link for `person`."""
    return str(gateway.run(PASSWORD_LINK, maker=maker.username, username=person.username))


def session(gateway: Gateway, person: Person) -> str:
    """The JWT of a new session, as a login would give it."""
    return str(gateway.run(START_SESSION, username=person.username))


def app(gateway: Gateway, person: Person) -> Client:
    """A client with a new session's JWT in its header."""
    return Client(gateway.url, session(gateway, person))


def browser(gateway: Gateway, person: Person) -> Browser:
    """A browser with a new session's cookie."""
    return Browser(gateway.url, session(gateway, person))


def mint(gateway: Gateway, person: Person, **wanted: Any) -> str:
    """An API token, as an app gets it."""
    answer = app(gateway, person).post("/mss-login/generate_token", json=wanted)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def with_cookie(gateway: Gateway, jwt: str, **headers: str) -> Client:
    """A client that sends the session's cookie, and of a browser's headers only those named."""
    client = Client(gateway.url)
    client.headers["Cookie"] = f"jwt_token={jwt}"
    client.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return client


def refused(answer: requests.Response) -> tuple[int, str]:
    """Status and code of a refusal, which must have the one shape of the contract."""
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    assert set(body) <= {"error", "code", "field", "permission"}
    assert body["error"]
    return answer.status_code, body["code"]


def secrets_in(log: str) -> list[str]:
    """Tokens and the tests' password, where they must not be."""
    known = [secret for secret in (PASSWORD, SETUP_TOKEN) if secret in log]
    return [*LOOKS_LIKE_A_TOKEN.findall(log), *known]
