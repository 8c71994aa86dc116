"""`manage.py owner`: whoever has the console gets back in."""

import pytest

from tests.accounts.acting import Newcomer
from tests.accounts.factors import ENROL
from tests.cast import PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway

NEW = "another-Horse-10-battery"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Gateway:
    """A prepared database without an account; no server runs on it."""
    return Gateway(tmp_path_factory.mktemp("owner") / "data", comfy.url).prepare()


OWNER = """
import io
import sys
from unittest.mock import patch
from django.core.management import CommandError, call_command
out = io.StringIO()
with patch("sys.stdin", io.StringIO(typed)):
    try:
        call_command("owner", *arguments, stdout=out)
        result = [0, out.getvalue().strip()]
    except CommandError as error:
        result = [1, str(error)]
"""


def run(gateway: Gateway, *arguments: str, password: str = "") -> tuple[int, str]:
    code, words = gateway.run(OWNER, arguments=arguments, typed=f"{password}\n")
    return code, words


ROLES = """
from accounts.models import AuditEntry, User
from django.contrib.auth import authenticate
users = {user.username: user.role_id for user in User.objects.all()}
found = authenticate(None, username=name, password=password)
result = [users, found is not None, AuditEntry.objects.filter(event=event).count()]
"""


IS_ENROLLED = """
from accounts import mfa, models
result = mfa.is_enrolled(models.User.objects.get(username="olga"))
"""


def test_console_creates_resets_and_hands_over(empty: Gateway) -> None:
    assert run(empty, "reset-password", password=NEW) == (
        1,
        "There is no owner yet. Create one: manage.py owner create NAME",
    )
    code, words = run(empty, "create", "olga", password="short")
    assert (code, "too short" in words) == (1, True)
    assert run(empty, "create", "olga", password=PASSWORD) == (0, "olga is the owner.")
    assert run(empty, "create", "otto", password=PASSWORD)[0] == 1

    def state(name: str, password: str, event: str) -> list[object]:
        return list(empty.run(ROLES, name=name, password=password, event=event))

    assert state("olga", PASSWORD, "owner.created") == [{"olga": "owner"}, True, 1]
    assert run(empty, "reset-password", password=NEW) == (
        0,
        "The password of olga is set; all sessions ended, API tokens are removed.",
    )
    assert state("olga", NEW, "user.password") == [{"olga": "owner"}, True, 1]
    assert state("olga", PASSWORD, "user.password")[1] is False

    empty.run(ENROL, username="olga")
    assert run(empty, "reset-mfa") == (
        0,
        "olga has no second factor any more; sessions ended.",
    )
    assert empty.run(IS_ENROLLED) is False

    assert run(empty, "transfer", "nobody") == (1, "There is no account nobody.")
    empty.run(
        "from accounts import services\n"
        "services.create_user(username='otto', password=password, role='user', actor=None)",
        password=PASSWORD,
    )
    assert run(empty, "transfer", "otto") == (0, "otto is the owner now; olga is an admin.")
    assert state("otto", PASSWORD, "owner.transferred") == [
        {"olga": "admin", "otto": "owner"},
        True,
        1,
    ]
    empty.stop()


TOKEN = """
from accounts import models, proofs
olga = models.User.objects.get(username="olga")
proofs.create_api_token(olga, label="", scopes=None, expires_at=None, actor=olga)
"""
TOKENS = "from accounts import models; result = models.ApiToken.objects.count()"


def test_console_keeps_the_owners_tokens_only_if_told_to(empty: Gateway) -> None:
    empty.run(
        "from accounts.models import User; User.objects.all().delete()\n"
        "from accounts import services\n"
        "services.create_owner(username='olga', password=password)\n" + TOKEN,
        password=PASSWORD,
    )
    code, words = run(empty, "reset-password", "--keep-tokens", password=NEW)
    assert (code, words.endswith("API tokens are kept.")) == (0, True)
    assert empty.run(TOKENS) == 1
    assert run(empty, "reset-password", password="weak")[0] == 1
    assert empty.run(TOKENS) == 1
    assert run(empty, "reset-password", password=PASSWORD)[0] == 0
    assert empty.run(TOKENS) == 0
    empty.run("from accounts.models import User; User.objects.all().delete()")
    empty.stop()


def test_console_resets_the_password_and_open_sessions_end(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    code = """
from accounts import models, services
user = models.User.objects.get(username=name)
services.set_password(user, password, actor=None)
"""
    person = newcomer(password=True)
    login = {"username": person.username, "password": PASSWORD}
    client = Client(gateway.url, Client(gateway.url).post("/login", json=login).json()["jwt_token"])
    gateway.run(code, name=person.username, password=NEW)
    answer = client.get("/mss-login/api/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_REVOKED")
