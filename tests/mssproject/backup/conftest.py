"""A gateway that people have worked with, and what they should find again after a restore."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accounts.acting import mint, session
from tests.accounts.factors import App, enrol, password_step
from tests.browser import Browser
from tests.cast import ADMIN, ALICE, BOB, OWNER, PASSWORD
from tests.client import Client
from tests.fakecomfy.thread import FakeComfyThread
from tests.gateway import Gateway, serving
from tests.prompts import ended, save, submit
from tests.userdata import names, read, saved

WORKFLOW = "workflows/Für Böse/café 1.json"
AS_JSON = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}
GRANTED = ("checkpoints", "sd15.safetensors")

# What only another database minds; a user who is gone, whose number nobody may get again.
ODD = r"""
from accounts import models, services
from accounts.audit import audit
audit("odd", text="nul \0 and half a pair \ud800", whole="📱")
gone = services.create_user(username="gone", password=password, role="user", actor=None)
result = gone.pk
gone.delete()
"""
COMMAND = """
from io import StringIO
from django.core.management import call_command
with StringIO() as said:
    call_command(*arguments, stdout=said)
    result = said.getvalue()
"""
NEXT_NUMBER = """
from accounts import services
user = services.create_user(username="late", password=password, role="user", actor=None)
result = user.pk
"""
AUDITED = """
from accounts.models import AuditEntry
rows = AuditEntry.objects.filter(event="backup.restored")
result = [row.details["file"] for row in rows]
"""


@dataclasses.dataclass
class World:
    """What people have in their hands when the backup is made."""

    gateway: Gateway
    jwt: str
    token: str
    phone: App
    prompt_id: str
    gone: int

    def check(self, restored: Gateway) -> None:
        """Everybody goes on at another gateway as if it were the same."""
        # A session and a token that were there before.
        page = Client(restored.url, self.jwt)
        assert page.get("/mss-login/api/me").json()["username"] == ALICE.username
        app = Client(restored.url, self.token)
        me = app.get("/mss-login/api/me").json()
        assert (me["username"], me["scopes"]) == (BOB.username, ["can_access_api", "can_run"])
        # A password, and a second factor whose secret is encrypted.
        admin = Client(restored.url, password_step(restored, ADMIN)["jwt_token"])
        waiting = password_step(restored, ALICE)
        phone = dataclasses.replace(self.phone)
        proof = {"mfa_temp_token": waiting["mfa_temp_token"], "code": phone.code()}
        answer = Client(restored.url).post("/mss-login/api/mfa/verify", json=proof)
        assert answer.status_code == 200, answer.text
        # Saved files and their versions.
        assert read(page, WORKFLOW).json() == {"is": "new"}
        browser = Browser(restored.url, self.jwt)
        found = browser.get("/account/files", headers=AS_JSON).json()
        assert [version["path"] for version in found["versions"]] == [WORKFLOW]
        shown = browser.get("/account/files", params={"version": found["versions"][0]["version"]})
        assert shown.json() == {"is": "old"}
        assert names(app) == []
        # Whose prompt it was, and which models were given.
        assert list(page.get(f"/history/{self.prompt_id}").json()) == [self.prompt_id]
        assert app.get(f"/history/{self.prompt_id}").json() == {}
        assert page.get(f"/models/{GRANTED[0]}").json() == [GRANTED[1]]
        # Numbers go on behind all that were given out, also to who is gone.
        assert restored.run(NEXT_NUMBER, password=PASSWORD) > self.gone
        assert admin.post("/mss-login/generate_token", json={}).status_code == 200
        assert restored.run(AUDITED)


def command(gateway: Gateway, *arguments: str) -> str:
    """What manage.py says; its error as RuntimeError."""
    return str(gateway.run(COMMAND, arguments=arguments))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, comfy: FakeComfyThread) -> Iterator[World]:
    """A running gateway on SQLite in which all of this was done."""
    people = (OWNER, ADMIN, ALICE, BOB)
    with serving(tmp_path_factory.mktemp("kept"), comfy.url, people) as gateway:
        alice = Client(gateway.url, session(gateway, ALICE), gateway.namespaces[ALICE.username])
        saved(alice, WORKFLOW, b'{"is": "old"}')
        saved(alice, WORKFLOW, b'{"is": "new"}')
        given = dict(zip(("folder", "item_name"), GRANTED, strict=True))
        answer = Client(gateway.url, session(gateway, ADMIN)).post(
            f"/mss-login/api/users/{ALICE.username}/shared-items", json=given
        )
        assert answer.status_code == 200, answer.text
        prompt_id = submit(alice, save())
        ended(alice, prompt_id)
        phone = enrol(gateway, ALICE)
        # Her session from before was ended by the new factor.
        yield World(
            gateway=gateway,
            jwt=session(gateway, ALICE),
            token=mint(gateway, BOB, scopes=["can_access_api", "can_run"]),
            phone=phone,
            prompt_id=prompt_id,
            gone=gateway.run(ODD, password=PASSWORD),
        )


@pytest.fixture(scope="module")
def backup(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it, made while it runs."""
    path = tmp_path_factory.mktemp("backups") / "mss.tar.gz"
    said = command(world.gateway, "backup", str(path))
    # The file, its former version, and of which name that is.
    assert "4 accounts, 3 files" in said
    return path
